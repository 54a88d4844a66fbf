"""How the elements of a JSON array are decoded: strictly, and where that fails, tolerantly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from negset_jobs.formats.json_window import Window, WrongShape


class Reading(NamedTuple):
    """How the elements of an array are decoded.

    `strict` is the type of one element (anything msgspec decodes). Where a part of the array does
    not have it, or is not `complete`, the part is decoded as `tolerant`. So an array that is as
    expected is decoded at full speed. An `optional` key may hold something else than an array.
    """

    strict: Any
    tolerant: Any = None
    complete: Callable[[list[Any]], bool] = bool
    optional: bool = False


class Decoder:
    """Decodes parts of one array. `wanted` says whether the caller wants its elements."""

    def __init__(self, reading: Reading, *, wanted: bool = True) -> None:
        self._strict = msgspec.json.Decoder(list[reading.strict])  # type: ignore[name-defined]
        self._complete = reading.complete
        self._tolerant: tuple[msgspec.json.Decoder[list[Any]], ...] = ()
        if reading.tolerant is not None:
            kind = list[reading.tolerant | None]  # type: ignore[name-defined]
            # The second also reads numbers that are too large for a float, but calls Python for
            # each number.
            self._tolerant = (msgspec.json.Decoder(kind), msgspec.json.Decoder(kind, float_hook=float))
        self.optional = reading.optional
        self.wanted = wanted

    def decode(self, window: Window, end: int, key: str, done: int) -> list[Any]:
        """Return the elements of the array `window.buffer[window.start:end]`.

        `done` elements of the whole array lie before it. Raises `BrokenJson` and `WrongShape`.
        """
        try:
            elements: list[Any] = window.decode(self._strict, window.start, end, key, done)
            if not self._tolerant or not elements or self._complete(elements):
                return elements
        except WrongShape:
            if not self._tolerant:
                raise
        return self._decode_tolerantly(window, end, key, done)

    def _decode_tolerantly(self, window: Window, end: int, key: str, done: int) -> list[Any]:
        """Return the elements without those that are null."""
        first, second = self._tolerant
        try:
            elements = window.decode(first, window.start, end, key, done)
        except WrongShape:
            elements = window.decode(second, window.start, end, key, done)
        return [element for element in elements if element is not None]
