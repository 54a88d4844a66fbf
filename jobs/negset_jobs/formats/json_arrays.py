"""Read arrays of objects from a JSON document that is too large to hold in memory.

The document is read in blocks. Within an array, the text is cut at a comma between two elements.
msgspec decodes the part before the cut in place, as an array of its own.

The cut is first guessed: `},{` near the end of the block. The decoder verifies the guess. The text
starts at an element of the array, and its last comma is replaced by `]`. If it then parses as a
complete array, the cut was between two elements of that array. One bracket closes neither an open
string nor two levels. Brackets are counted only if the guesses fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgspec

from negset_jobs.formats.file_kind import recognised
from negset_jobs.formats.json_reading import Decoder, Reading
from negset_jobs.formats.json_window import STRING, BrokenJson, Window, WrongShape, kind_of

BLOCK: Final = 512 << 10
"""Bytes read at a time: a block is decoded while it is in the processor's cache.

4 MiB take 40 % longer.
"""

_GUESSES: Final = 4
_WIDEST_GAP: Final = 256

_SPACE: Final = b" \t\r\n"
_SCALAR: Final = re.compile(rb'[^ \t\r\n,:"{}\[\]]++')
_ANYTHING: Final = msgspec.json.Decoder(msgspec.Raw)
# A string, a bracket, or the quote of a string that has not ended yet.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)


def read_arrays(
    stream: BinaryIO, kinds: Mapping[str, Reading], *, block: int = BLOCK, keys: set[str] | None = None
) -> Iterator[tuple[str, list[Any]]]:
    """Yield `(key, elements)` for the arrays under the top-level keys in `kinds`.

    They come in the order of the document. A long array is yielded in several parts. An empty array
    is yielded once, as an empty list, so that the caller sees its key. Everything else is only
    checked to be JSON. All top-level keys are added to `keys`. Memory: a few blocks, unless one
    element or one unwanted top-level object is larger. Raises `BrokenJson` and `WrongShape`.
    """
    decoders = {key: Decoder(reading) for key, reading in kinds.items()}
    unwanted = Decoder(Reading(msgspec.Raw, optional=True), wanted=False)
    window = _opened(stream, block)
    seen: set[str] = set() if keys is None else keys
    more = window.peek() != b"}"
    while more:
        key = window.key()
        if key in decoders and key in seen:
            raise WrongShape(f"expected one key {key!r} at the top, found a second one")
        seen.add(key)
        window.take(b":")
        decoder = decoders.get(key, unwanted)
        if window.peek() == b"[":
            parts = _elements(window, key, decoder)
            yield from ((key, elements) for elements in parts if decoder.wanted)
        elif decoder.optional or not window.peek():
            _skip(window)
        else:
            raise WrongShape(f"{key}: expected an array, found {kind_of(window.peek())}")
        more = window.peek() == b","
        if more:
            window.take(b",")
    _close(window)


def _opened(stream: BinaryIO, block: int) -> Window:
    """Return a window behind the brace that opens the document."""
    window = Window(stream, block)
    window.skip_byte_order_mark()
    if (first := window.peek()) != b"{":
        raise WrongShape(_other_file(window, first)) if first else BrokenJson("the file is empty", 0, incomplete=True)
    window.take(b"{")
    return window


def _close(window: Window) -> None:
    """Consume the end of the document."""
    window.take(b"}")
    if window.peek() == b"{":
        raise WrongShape("it holds several JSON objects (JSON Lines); join them into one object with the arrays of COCO")
    if window.peek():
        raise BrokenJson("expected the end of the file after the closing '}'", window.offset)


def _other_file(window: Window, first: bytes) -> str:
    """Return what a file is that does not begin with a JSON object."""
    found = recognised(bytes(window.buffer[window.start : window.end]))
    return f"it is {found}" if found else f"expected a JSON object at the top, found {kind_of(first)}"


def _elements(window: Window, key: str, decoder: Decoder) -> Iterator[list[Any]]:
    """Yield the elements of the array that starts at `window.start`, in parts, and consume it.

    `window.start` is always at the `[`, or at the comma before the next element, which becomes a
    `[`.
    """
    done = 0
    while True:
        for cut in _guesses(window):
            elements = _guessed(window, decoder, cut, key, done)
            if elements is not None:
                break
        else:
            cut, closed = _boundary(window)
            if cut < 0:
                if not window.more():
                    raise _truncated(window, decoder, key, done)
                continue
            elements = _run(window, decoder, cut, key, done)
            if closed:
                window.start = cut + 1
                yield elements
                return
        window.start = cut
        yield elements
        done += len(elements)
        window.more()


def _guesses(window: Window) -> Iterator[int]:
    """Yield the probable positions of commas between two objects, the last first."""
    brace = window.end
    for _ in range(_GUESSES):
        brace = window.buffer.rfind(b"{", window.start, brace)
        if brace < 0:
            return
        lowest = max(window.start, brace - _WIDEST_GAP)
        gap = bytes(window.buffer[lowest:brace]).rstrip(_SPACE)
        if gap.endswith(b",") and gap[:-1].rstrip(_SPACE).endswith(b"}"):
            yield lowest + len(gap) - 1


def _guessed(window: Window, decoder: Decoder, cut: int, key: str, done: int) -> list[Any] | None:
    """Return the elements up to a guessed cut, or None if the guess was wrong.

    An element of the wrong type is an error all the same: its text was complete.
    """
    try:
        return _run(window, decoder, cut, key, done)
    except BrokenJson:
        window.buffer[cut] = ord(",")
        return None


def _run(window: Window, decoder: Decoder, cut: int, key: str, done: int) -> list[Any]:
    """Return the elements between `window.start` and `cut`.

    The bytes at these two positions become the brackets of an array.
    """
    window.buffer[window.start] = ord("[")
    window.buffer[cut] = ord("]")
    return decoder.decode(window, cut + 1, key, done)


def _boundary(window: Window) -> tuple[int, bool]:
    """Find where the array in the window can be cut, by counting brackets.

    Return `(closing bracket, True)`, `(last comma between elements, False)` or `(-1, False)`.
    """
    depth, comma, outside = 0, -1, window.start + 1
    for token in _TOKEN.finditer(window.buffer, window.start + 1, window.end):
        text, begin = token[0], token.start()
        if depth == 0:
            comma = max(comma, window.buffer.rfind(b",", outside, begin))
            outside = token.end()
            if text == b"]":
                return begin, True
        if text in b"{[":
            depth += 1
        elif text in b"}]":
            depth -= 1
            outside = token.end()
        elif text == b'"':
            return comma, False
    if depth == 0:
        comma = max(comma, window.buffer.rfind(b",", outside, window.end))
    return comma, False


def _truncated(window: Window, decoder: Decoder, key: str, done: int) -> Exception:
    """Return why the array that starts at `window.start` has no end.

    That is the decoder's first error, or else that the file ends within the array.
    """
    window.buffer[window.start] = ord("[")
    try:
        decoder.decode(window, window.end, key, done)
    except WrongShape as error:
        return error
    except BrokenJson as error:
        if error.offset < window.offset + (window.end - window.start):
            return error
    return window.ends_within(f"the array {key!r}" if decoder.wanted else "an array")


def _skip(window: Window) -> None:
    """Consume the value that starts at `window.start`. It is not an array."""
    while (end := _end_of_value(window)) < 0:
        if not window.more():
            raise window.ends_within("a value")
    window.decode(_ANYTHING, window.start, end, "")
    window.start = end


def _end_of_value(window: Window) -> int:
    """Return the end of the value at `window.start`, or -1 if it lies beyond the window."""
    first = window.peek()
    if first != b"{":
        match = (STRING if first == b'"' else _SCALAR).match(window.buffer, window.start, window.end)
        return match.end() if match and match.end() < window.end else -1
    depth = 0
    for token in _TOKEN.finditer(window.buffer, window.start, window.end):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token[0], 0)
        if token[0] == b'"':
            return -1
        if depth == 0:
            return token.end()
    return -1
