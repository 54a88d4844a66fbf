"""Decoding from any thread.

msgspec (0.21) collects what it knows about a type when the type is decoded first, partly in Python,
where another thread may take over. A second thread that decodes the same type meanwhile finds it
half collected, and the process ends with a segmentation fault. So a type is made known here, under
one lock, before it is used.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_collecting = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def from_json(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """The value of type `kind` in a JSON document.

    Raises `msgspec.ValidationError`, or `msgspec.DecodeError` where it is not JSON.
    """
    value: T = decoder(kind).decode(data)
    return value


def convert(value: Any, kind: type[T]) -> T:
    """The value of type `kind` from plain dicts, lists and scalars.

    Raises `msgspec.ValidationError`.
    """
    decoder(kind)
    return msgspec.convert(value, kind)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one decoder of a type."""
    known = _decoders.get(kind)
    if known is None:
        with _collecting:
            known = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    return known
