"""The TFRecord container: a file of records, one after another.

A record has four parts: the payload's length (uint64), the masked CRC32C of those 8 bytes (uint32),
the payload, and its masked CRC32C (uint32). All numbers are little-endian. The mask is needed
because the CRC of data that contains CRCs is unreliable. Source: the comment in
tensorflow/core/lib/io/record_writer.h and `Mask` in tensorflow/core/lib/hash/crc32c.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import google_crc32c

from negset_api.errors import WorkFailed

OVERHEAD: Final = 16
"""Bytes that a record needs besides its payload: 8 + 4 before it and 4 after it."""

_HEADER: Final = struct.Struct("<QI")
_FOOTER: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<Q")
_MASK_DELTA: Final = 0xA282EAD8
_SHORT: Final = bytes(4)  # the upper half of a length below 4 GiB
_SEARCHED: Final = 1 << 20  # bytes that are searched for a header at a time


def frame(payload: bytes) -> tuple[bytes, bytes]:
    """Return the bytes before and after the payload in the file."""
    length = _LENGTH.pack(len(payload))
    return length + _FOOTER.pack(_masked_crc(length)), _FOOTER.pack(_masked_crc(payload))


def write_record(stream: BinaryIO, payload: bytes) -> int:
    """Append one record. Return the number of bytes written: the payload's and `OVERHEAD`."""
    header, footer = frame(payload)
    stream.write(header)
    stream.write(payload)
    stream.write(footer)
    return len(payload) + OVERHEAD


def read_records(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the records of a file in order: offset of the record in bytes, and payload.

    Raises `WorkFailed` if the file is truncated or damaged.
    """
    for offset, record in salvage_records(stream):
        if isinstance(record, WorkFailed):
            raise record
        yield offset, record


def salvage_records(stream: BinaryIO) -> Iterator[tuple[int, bytes | WorkFailed]]:
    """Yield records as `read_records` does, with the error in place of a damaged record's payload.

    The records after a damaged one are found again and follow.
    """
    source = _Source(stream)
    while header := source.read(_HEADER.size):
        offset = source.offset - len(header)
        try:
            length = _checked_length(header, offset)
        except WorkFailed as error:
            yield offset, error
            if not source.find_header():
                return
            continue
        rest = source.read(length + _FOOTER.size)
        if len(rest) != length + _FOOTER.size:
            yield offset, WorkFailed(f"TFRecord file ends within the record at byte {offset}")
            return
        try:
            record: bytes | WorkFailed = _checked_payload(rest, length, offset)
        except WorkFailed as error:
            record = error
        yield offset, record


def unframe(record: bytes) -> bytes:
    """Return the payload of exactly one framed record.

    Raises `WorkFailed` if the bytes are not one record.
    """
    length = _checked_length(record[: _HEADER.size], 0)
    rest = record[_HEADER.size :]
    if len(rest) != length + _FOOTER.size:
        raise WorkFailed(f"expected one TFRecord record of {length + OVERHEAD} bytes, got {len(record)} bytes")
    return _checked_payload(rest, length, 0)


def _checked_length(header: bytes, offset: int) -> int:
    if len(header) != _HEADER.size:
        raise WorkFailed(f"TFRecord file ends within the record at byte {offset}")
    length, crc = _HEADER.unpack(header)
    if crc != _masked_crc(header[: _LENGTH.size]):
        raise WorkFailed(f"not a TFRecord file, or damaged: the length at byte {offset} does not match its checksum")
    return int(length)


def _checked_payload(rest: bytes, length: int, offset: int) -> bytes:
    payload = rest[:length]
    (crc,) = _FOOTER.unpack_from(rest, length)
    if crc != _masked_crc(payload):
        raise WorkFailed(f"damaged TFRecord file: the record at byte {offset} does not match its checksum")
    return payload


def _masked_crc(data: bytes) -> int:
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


class _Source:
    """A stream that knows its offset and can skip damaged bytes."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._ahead = b""
        self.offset = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end of the stream.

        One read of a raw or remote stream may return fewer.
        """
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        if not data:
            data = self._stream.read(size)
        if data and len(data) < size:
            parts = [data]
            missing = size - len(data)
            while missing and (data := self._stream.read(missing)):
                parts.append(data)
                missing -= len(data)
            data = b"".join(parts)
        self.offset += len(data)
        return data

    def find_header(self) -> bool:
        """Skip to the next 12 bytes that are a length and its checksum.

        Random bytes match at one offset in 2**32. Return False at the end of the stream.
        """
        window = self._ahead
        while True:
            at = _header_in(window)
            keep = len(window) - _HEADER.size + 1 if at is None else at
            self.offset += max(0, keep)
            window = window[max(0, keep) :]
            if at is not None:
                self._ahead = window
                return True
            if not (more := self._stream.read(_SEARCHED)):
                return False
            window += more


def _header_in(data: bytes) -> int | None:
    """Return where the first header in `data` begins, or None."""
    at = data.find(_SHORT, _LENGTH.size // 2)
    while at != -1:
        start = at - _LENGTH.size // 2
        header = data[start : start + _HEADER.size]
        if len(header) == _HEADER.size and _HEADER.unpack(header)[1] == _masked_crc(header[: _LENGTH.size]):
            return start
        at = data.find(_SHORT, at + 1)
    return None
