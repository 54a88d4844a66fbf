"""A window onto a JSON document: the part that is in memory, and errors with their position."""

from __future__ import annotations

import io
import re
from typing import Any, BinaryIO, Final

import msgspec

from negset_jobs.formats.json_repair import Utf8, encoding_of, repair

STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SPACES: Final = re.compile(rb"[ \t\r\n]*+")
_BYTE: Final = re.compile(r"^(?:JSON is malformed: )?(.*) \(byte (\d+)\)$")
_ELEMENT: Final = re.compile(r"^(.*) - at `\$\[(\d+)\](.*)`$")
_KINDS: Final = {b"{": "an object", b"[": "an array", b'"': "a string", b"t": "true", b"f": "false", b"n": "null", b"'": "a single quote"}


class BrokenJson(ValueError):
    """The text is not JSON. `offset` is the first wrong byte, counted from 0.

    If it is `incomplete`, the text before it may be right.
    """

    def __init__(self, problem: str, offset: int, *, incomplete: bool = False) -> None:
        advice = "; the file is incomplete, copy or download it again" if incomplete else ""
        super().__init__(f"{problem} at byte {offset}{advice}")
        self.offset = offset


class WrongShape(ValueError):
    """The text is JSON of another shape.

    The message says where, what was expected and what was found.
    """


class Window:
    """The part of the stream that is in memory: `buffer[start:end]` is not consumed yet."""

    def __init__(self, stream: BinaryIO, block: int) -> None:
        self.buffer = bytearray(block)
        self.start = self.end = 0
        self._stream = stream
        self._dropped = 0

    @property
    def offset(self) -> int:
        """The position of `start` in the stream."""
        return self._dropped + self.start

    def more(self) -> bool:
        """Drop the consumed bytes and fill the buffer. Return False at the end of the stream.

        The buffer grows if less than half of it is free.
        """
        kept = self.end - self.start
        if kept > len(self.buffer) // 2:
            # A new buffer: a bytearray with an open memoryview cannot be resized.
            self.buffer = self.buffer[self.start : self.end] + bytes(2 * len(self.buffer) - kept)
        else:
            self.buffer[:kept] = self.buffer[self.start : self.end]
        self._dropped += self.start
        self.start, self.end = 0, kept
        with memoryview(self.buffer) as view:
            # Every stream has readinto: files, gzip, zip members, fsspec's buffered files.
            while self.end < len(view) and (count := self._stream.readinto(view[self.end :])):  # type: ignore[attr-defined]
                self.end += count
        return self.end > kept

    def skip_byte_order_mark(self) -> None:
        """Skip the mark. A document in UTF-16 or UTF-32 is read as UTF-8 from here on."""
        self.more()
        start = bytes(self.buffer[: self.end])
        if (encoding := encoding_of(start)) is not None:
            self._stream = io.BufferedReader(Utf8(start, self._stream, encoding))
            self.start = self.end
            self.more()
            self._dropped = 0
        if self.buffer.startswith(b"\xef\xbb\xbf", self.start, self.end):
            self.start += 3

    def peek(self) -> bytes:
        """Return the next byte that is not white space; empty at the end of the stream.

        White space is consumed, the byte is not.
        """
        while True:
            match = _SPACES.match(self.buffer, self.start, self.end)
            self.start = match.end() if match else self.start
            if self.start < self.end:
                return bytes(self.buffer[self.start : self.start + 1])
            if not self.more():
                return b""

    def take(self, byte: bytes) -> None:
        if (found := self.peek()) != byte:
            raise BrokenJson(f"expected {byte.decode()!r}, found {kind_of(found)}", self.offset)
        self.start += 1

    def key(self) -> str:
        if (found := self.peek()) != b'"':
            raise BrokenJson(f"expected a key in double quotes, found {kind_of(found)}", self.offset)
        while not (match := STRING.match(self.buffer, self.start, self.end)):
            if not self.more():
                raise self.ends_within("a key")
        key: str = self.decode(_ANY_STRING, self.start, match.end(), "")
        self.start = match.end()
        return key

    def decode(self, decoder: msgspec.json.Decoder[Any], start: int, end: int, where: str, first: int = 0) -> Any:
        """Return the decoded `buffer[start:end]`.

        `first` is the index of its first element in the whole array, for error messages.
        """
        try:
            return decoder.decode(memoryview(self.buffer)[start:end])
        except msgspec.ValidationError as error:
            raise WrongShape(_say_where(str(error), where, first)) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if not repair(self.buffer, start, end):
                raise self._broken(error, start, end) from error
        return self.decode(decoder, start, end, where, first)

    def _broken(self, error: Exception, start: int, end: int) -> BrokenJson:
        match = _BYTE.match(str(error))
        if isinstance(error, UnicodeDecodeError):
            return BrokenJson("text that is not in UTF-8 (save the file in UTF-8)", self._dropped + start + self._wrong_byte(start, end))
        if not match:
            return BrokenJson(str(error) if isinstance(error, RecursionError) else "the text is incomplete", self._dropped + end)
        return BrokenJson(match[1], self._dropped + start + int(match[2]))

    def _wrong_byte(self, start: int, end: int) -> int:
        """Return the position of the first byte in `buffer[start:end]` that is not UTF-8."""
        try:
            self.buffer[start:end].decode()
        except UnicodeDecodeError as error:
            return error.start
        return 0

    def ends_within(self, what: str) -> BrokenJson:
        return BrokenJson(f"the file ends within {what}", self._dropped + self.end, incomplete=True)


_ANY_STRING: Final = msgspec.json.Decoder(str)


def _say_where(problem: str, key: str, first: int) -> str:
    """Return the decoder's message with the element's index in the whole array.

    For example "annotations[12].image_id: expected `int`, got `str`".
    """
    match = _ELEMENT.match(problem)
    if not match:
        return f"{key}: {problem}"
    return f"{key}[{first + int(match[2])}]{match[3]}: {match[1][:1].lower()}{match[1][1:]}"


def kind_of(first: bytes) -> str:
    """Return the kind of value that begins with this byte, without quoting the byte."""
    if not first:
        return "the end of the file"
    return _KINDS.get(first, "a number" if first in {bytes((byte,)) for byte in b"-0123456789"} else "something else")
