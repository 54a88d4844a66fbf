"""Write the finished images of a shard in plan order, whatever order they finish in.

An image that is finished before an earlier one waits for it. It waits in memory while the earlier
one is being downloaded. If the earlier one waits for its host, that can take minutes, and others
finish meanwhile. So they wait on disk, and memory does not grow.
"""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

import msgspec

from negset_api.values import ImageResult
from negset_jobs.formats.tfrecord import OVERHEAD, frame


class Record(msgspec.Struct, frozen=True, gc=False):
    """A finished image: its payload, empty if it failed, and its result."""

    payload: bytes
    result: ImageResult


class RecordWriter:
    """Writes records to a stream, and keeps the digest and size in bytes of its content."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def append(self, payload: bytes) -> tuple[int, int]:
        """Write one record. Return its offset and its length in bytes, framing included."""
        header, footer = frame(payload)
        offset = self.size
        for part in (header, payload, footer):
            self._stream.write(part)
            self._digest.update(part)
        self.size += len(payload) + OVERHEAD
        return offset, self.size - offset


class PlanOrder:
    """The finished images of a shard, written to a file in plan order.

    `results` are those of the images that are written, or failed, with no earlier one missing.
    """

    def __init__(self, writer: RecordWriter, disk: BinaryIO) -> None:
        """`disk` is an empty temporary file, for images that wait there."""
        self._writer, self._disk = writer, disk
        self._ready: dict[int, Record] = {}
        self._on_disk: dict[int, tuple[int, int, ImageResult]] = {}
        self.results: list[ImageResult] = []
        self.in_memory = 0
        """Images that wait in memory."""

    @property
    def next_index(self) -> int:
        """The image that is written next."""
        return len(self.results)

    def add(self, index: int, record: Record) -> None:
        """Take a finished image, and write all that now can be written."""
        self._ready[index] = record
        self.in_memory += bool(record.payload)
        while (record_of_next := self._pop(len(self.results))) is not None:
            self.results.append(self._write(record_of_next))

    def spill(self) -> None:
        """Move the images that wait in memory to the disk."""
        if not self.in_memory:
            return
        at = self._disk.seek(0, 2)
        for index, record in self._ready.items():
            if record.payload:
                self._disk.write(record.payload)
            self._on_disk[index] = (at, len(record.payload), record.result)
            at += len(record.payload)
        self._ready.clear()
        self.in_memory = 0

    def _pop(self, index: int) -> Record | None:
        record = self._ready.pop(index, None)
        if record is not None:
            self.in_memory -= bool(record.payload)
            return record
        if index not in self._on_disk:
            return None
        offset, length, result = self._on_disk.pop(index)
        self._disk.seek(offset)
        return Record(self._disk.read(length), result)

    def _write(self, record: Record) -> ImageResult:
        if not record.payload:
            return record.result
        offset, length = self._writer.append(record.payload)
        return msgspec.structs.replace(record.result, offset=offset, length=length)


@contextlib.contextmanager
def in_plan_order(path: str, folder: str) -> Iterator[tuple[RecordWriter, PlanOrder]]:
    """Open the file `path` for the images of a shard. Those that wait on disk are in `folder`."""
    with open(path, "wb") as stream, tempfile.TemporaryFile(dir=folder) as disk:
        writer = RecordWriter(stream)
        yield writer, PlanOrder(writer, disk)
