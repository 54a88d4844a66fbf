"""Arrays of objects out of a JSON document that should not be in memory as a whole.

The document is read in blocks. Within an array the text is cut at a comma between two elements, and
what lies before the cut is decoded as an array of its own by msgspec, in place. Where to cut is
first guessed (`},{` near the end of the block) and the decoder judges the guess: text that starts
at an element of an array and parses as a complete array once its last comma is replaced by `]` can
only have been cut between two elements of that array, because one bracket closes neither an open
string nor two levels. Only where the guesses fail are the brackets counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgspec

from negset_jobs.formats.json_window import STRING, BrokenJson, Window, WrongShape, kind_of

BLOCK: Final = 512 << 10
"""Bytes read at a time: what is read is decoded while the processor still has it in its cache; 4
MiB take 40 % longer.
"""

_GUESSES: Final = 4
_WIDEST_GAP: Final = 256

_SPACE: Final = b" \t\r\n"
_SCALAR: Final = re.compile(rb'[^ \t\r\n,:"{}\[\]]++')
_ANYTHING: Final = msgspec.json.Decoder(msgspec.Raw)
# A string, a bracket, or the quote of a string that has not ended yet.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[{}\[\]"]', re.DOTALL)


def read_arrays(stream: BinaryIO, kinds: Mapping[str, Any], *, block: int = BLOCK) -> Iterator[tuple[str, list[Any]]]:
    """The elements of the arrays under the top-level keys in `kinds`, as `(key, elements)`, in the
    order of the document.

    `kinds` maps a key to the type of one element (anything msgspec decodes). A long array comes in
    several runs; an empty one comes once, as an empty list, so that its key is seen. Everything
    else is checked to be JSON and dropped. Memory: a few blocks, unless one single element or one
    unwanted top-level object is larger. Raises `BrokenJson` and `WrongShape`.
    """
    decoders = {key: msgspec.json.Decoder(list[kind]) for key, kind in kinds.items()}  # type: ignore[valid-type]
    unwanted = msgspec.json.Decoder(list[msgspec.Raw])
    window = Window(stream, block)
    window.skip_byte_order_mark()
    if (first := window.peek()) != b"{":
        raise WrongShape(f"expected a JSON object at the top, found {kind_of(first)}") if first else BrokenJson("the file is empty", 0)
    window.take(b"{")
    seen: set[str] = set()
    more = window.peek() != b"}"
    while more:
        key = window.key()
        if key in decoders and key in seen:
            raise WrongShape(f"expected one key {key!r} at the top, found a second one")
        seen.add(key)
        window.take(b":")
        if window.peek() == b"[":
            for elements in _elements(window, key, decoders.get(key, unwanted)):
                if key in decoders:
                    yield key, elements
        elif key in decoders and window.peek():
            raise WrongShape(f"{key}: expected an array, found {kind_of(window.peek())}")
        else:
            _skip(window)
        more = window.peek() == b","
        if more:
            window.take(b",")
    window.take(b"}")
    if window.peek():
        raise BrokenJson("expected the end of the file after the closing '}'", window.offset)


def _elements(window: Window, key: str, decoder: msgspec.json.Decoder[Any]) -> Iterator[list[Any]]:
    """The elements of the array that starts at `window.start`, in runs; consumes it.

    Throughout, `window.start` is at the `[`, or at the comma before the next element, which becomes
    a `[`.
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
    """Where commas between two objects seem to be, the last first."""
    brace = window.end
    for _ in range(_GUESSES):
        brace = window.buffer.rfind(b"{", window.start, brace)
        if brace < 0:
            return
        lowest = max(window.start, brace - _WIDEST_GAP)
        gap = bytes(window.buffer[lowest:brace]).rstrip(_SPACE)
        if gap.endswith(b",") and gap[:-1].rstrip(_SPACE).endswith(b"}"):
            yield lowest + len(gap) - 1


def _guessed(window: Window, decoder: msgspec.json.Decoder[Any], cut: int, key: str, done: int) -> list[Any] | None:
    """The run up to a guessed cut, or None where the guess was wrong.

    An element of the wrong type is an error even so: its text was complete.
    """
    try:
        return _run(window, decoder, cut, key, done)
    except BrokenJson:
        window.buffer[cut] = ord(",")
        return None


def _run(window: Window, decoder: msgspec.json.Decoder[Any], cut: int, key: str, done: int) -> list[Any]:
    """The elements between `window.start` and `cut`, whose bytes become the brackets of an array."""
    window.buffer[window.start] = ord("[")
    window.buffer[cut] = ord("]")
    elements: list[Any] = window.decode(decoder, window.start, cut + 1, key, done)
    return elements


def _boundary(window: Window) -> tuple[int, bool]:
    """Where the array in the window can be cut, by counting brackets: `(its closing bracket,
    True)`, `(the last comma between elements, False)` or `(-1, False)`.
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


def _truncated(window: Window, decoder: msgspec.json.Decoder[Any], key: str, done: int) -> Exception:
    """Why the array that starts at `window.start` has no end: what the decoder stumbles over first,
    or that the file ends.
    """
    window.buffer[window.start] = ord("[")
    try:
        window.decode(decoder, window.start, window.end, key, done)
    except WrongShape as error:
        return error
    except BrokenJson as error:
        if error.offset < window.offset + (window.end - window.start):
            return error
    return window.ends_within(f"the array {key!r}" if decoder.type != list[msgspec.Raw] else "an array")


def _skip(window: Window) -> None:
    """Consumes the value, not an array, that starts at `window.start`."""
    while (end := _end_of_value(window)) < 0:
        if not window.more():
            raise window.ends_within("a value")
    window.decode(_ANYTHING, window.start, end, "")
    window.start = end


def _end_of_value(window: Window) -> int:
    """The end of the value at `window.start`, or -1 where it lies beyond the window."""
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
