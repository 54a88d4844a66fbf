"""Two repairs of almost-JSON: what Python's json module writes by default, and UTF-16.

`json.dump` writes NaN, Infinity and half surrogate pairs, which are not JSON, and C's `printf`
writes nan and inf. They are replaced in place by text of the same length, so that positions in
error messages stay right.
"""

from __future__ import annotations

import codecs
import io
import re
from typing import Any, Final

_WORDS: Final = (b"NaN", b"Infinity", b"nan", b"inf")
_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
"""A string, even one without an end."""

_TOKEN: Final = re.compile(_STRING, re.DOTALL)
# All that may stand before the next word, consumed at once.
_NO_NUMBER: Final = rb"[Nn]a[Nn]|[Ii]nfinity|inf"
_WORD: Final = re.compile(rb'(?:[^"NIni]++|' + _STRING + rb"|(?!" + _NO_NUMBER + rb")[NIni])*+(" + _NO_NUMBER + rb")", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|\\.", re.DOTALL)
_HALF_PAIR: Final = 6
_REPLACEMENT: Final = b"\\ufffd"
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"{\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
)


def repair(buffer: bytearray, start: int, end: int) -> bool:
    """Replace what is not JSON in `buffer[start:end]`, and return whether anything changed.

    NaN and Infinity become an empty string, which no reader takes for a number. Half of a surrogate
    pair becomes U+FFFD. `start` must not lie within a string.
    """
    words = _replace_words(buffer, start, end) if _holds(buffer, start, end, *_WORDS) else False
    halves = _replace_halves(buffer, start, end) if _holds(buffer, start, end, b"\\ud", b"\\uD") else False
    return words or halves


def _holds(buffer: bytearray, start: int, end: int, *words: bytes) -> bool:
    return any(buffer.find(word, start, end) >= 0 for word in words)


def _replace_words(buffer: bytearray, start: int, end: int) -> bool:
    changed = False
    while match := _WORD.match(buffer, start, end):
        first, start = match.start(1), match.end(1)
        first -= buffer[first - 1] == ord("-")
        buffer[first:start] = b'""'.ljust(start - first)
        changed = True
    return changed


def _replace_halves(buffer: bytearray, start: int, end: int) -> bool:
    changed = False
    for token in list(_TOKEN.finditer(buffer, start, end)):
        new = _ESCAPE.sub(_whole, token[0])
        if new != token[0]:
            buffer[token.start() : token.end()] = new
            changed = True
    return changed


def _whole(escape: re.Match[bytes]) -> bytes:
    return _REPLACEMENT if len(escape[0]) == _HALF_PAIR else escape[0]


def encoding_of(start: bytes | bytearray) -> str | None:
    """Return the encoding of a document that is not in UTF-8, by its first bytes; else None."""
    return next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)


class Utf8(io.RawIOBase):
    """A stream in UTF-8 of a stream in another encoding. `start` are bytes already read from it."""

    def __init__(self, start: bytes, stream: Any, encoding: str) -> None:
        self._start = start
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            data, self._start = self._start or self._stream.read(len(buffer)), b""
            self._pending = self._decoder.decode(data, final=not data).encode("utf-8", "replace")
            if not data:
                break
        part, self._pending = self._pending[: len(buffer)], self._pending[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)
