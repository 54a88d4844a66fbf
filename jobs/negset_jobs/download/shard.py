"""Make one shard: download its images concurrently and write one TFRecord file in plan order.

A marker commits the shard. The file's bytes depend on the plan and the images only, not on timing:
a repeated run makes the same file. Memory is bounded by the images in the window, not by the shard.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, Final

import msgspec

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.spec import Download
from negset_api.values import ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult, digest
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.verify import EncodedImage
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored import commit, load
from negset_jobs.formats.tf_example import decode_example, encode_example
from negset_jobs.formats.tfrecord import OVERHEAD, frame, unframe

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Called with the number of newly finished images, and how many of these failed."""

RECORD_FORMAT: Final = 2
"""The version of a record's content.

It is part of every digest, so that records of an older version are not reused.
"""

WINDOW: Final = 2
"""Images in memory per connection: one in download, and one that waits for a slower image.

Images are written in plan order. Without the second, one slow image would stall every connection.
"""


class CachedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of another shard that was made from the same inputs."""

    store_url: str
    key: str
    result: ImageResult


class ShardTask(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a worker that makes a shard.

    The keys of `cached_records` are the positions of images in the shard.
    """

    store_url: str
    folder: str
    shard: ShardPlan
    download: Download
    access: Access
    label_ids: dict[str, int]
    attempt: int = 1
    cached_records: dict[int, CachedRecord] = {}


def image_input_digest(image: PlannedImage, download: Download, label_ids: Mapping[str, int]) -> str:
    """Return the digest of all inputs of an image's record.

    The number and the pace of attempts are not part of it.
    """
    checks = (download.verify, download.max_image_mebibytes, download.max_image_megapixels, download.robots_tag)
    objects = (image.width, image.height, [(box, label_ids.get(box.class_name)) for box in image.objects]) if image.objects else None
    return digest(RECORD_FORMAT, image.url, image.image_id, image.file_name, objects, checks)


def shard_input_digest(images: Iterable[str]) -> str:
    """Return the digest of a shard's inputs, from its images' `image_input_digest` in order."""
    return digest(list(images))


def run_shard(task: ShardTask, report: Report = lambda _done, _failed: None) -> ShardResult:
    """Make the shard and commit it.

    If another process has committed the same attempt, before or meanwhile, return its result.

    Raises `WorkFailed` if the store cannot be written. Failures of single images are in the result.
    """
    store = Store(task.store_url)
    marker = names.shard_marker(task.folder, task.shard.name, task.attempt)
    if store.exists(marker):
        return load(store, marker, ShardResult)
    with store.spool(task.folder) as path:
        try:
            with open(path, "wb") as stream:
                writer = RecordWriter(stream)
                results = asyncio.run(_fill(task, writer, report))
        except OSError as error:
            raise WorkFailed(f"cannot write {path}: {error.strerror or error}") from error
        key = names.shard_records(task.folder, task.shard.name, writer.sha256) if writer.size else ""
        if key:
            store.adopt(path, key)
    result = ShardResult(
        name=task.shard.name,
        split=task.shard.split,
        input_digest=shard_input_digest(image.input_digest for image in results),
        file=key,
        sha256=writer.sha256 if key else "",
        bytes=writer.size,
        results=tuple(results),
    )
    return commit_shard(store, marker, result)


def commit_shard(store: Store, marker: str, result: ShardResult) -> ShardResult:
    """Commit a shard whose file is already stored.

    If several processes make the shard, the first marker counts: the files of the others are
    removed, and all of them return the same result.
    """
    winner = commit(store, marker, result)
    if result.file and result.file != winner.file:
        store.remove([result.file])
    return winner


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


class _Record(msgspec.Struct, frozen=True, gc=False):
    """A finished image: its payload, empty if it failed, and its result."""

    payload: bytes
    result: ImageResult


async def _fill(task: ShardTask, writer: RecordWriter, report: Report) -> list[ImageResult]:
    """Download the shard's images and write them in plan order."""
    images = enumerate(task.shard.images)
    ready: dict[int, _Record] = {}
    results: list[ImageResult] = []
    window = asyncio.Semaphore(WINDOW * task.download.connections)

    async def connection(fetcher: Fetcher) -> None:
        for index, image in images:
            # Images enter the window in plan order, so it always contains the next image to write.
            await window.acquire()
            record = await _record(task, index, image, fetcher)
            report(1, int(record.result.outcome is not Outcome.STORED))
            ready[index] = record
            while len(results) in ready:
                results.append(_write(writer, ready.pop(len(results))))
                window.release()

    try:
        async with Fetcher(task.download, task.access) as fetcher, asyncio.TaskGroup() as group:
            for _ in range(min(task.download.connections, len(task.shard.images))):
                group.create_task(connection(fetcher))
    # The task group wraps errors in a group of its own. The first of them is raised.
    except* Exception as errors:  # noqa: BLE001
        raise errors.exceptions[0] from None
    return results


def _write(writer: RecordWriter, record: _Record) -> ImageResult:
    if not record.payload:
        return record.result
    offset, length = writer.append(record.payload)
    return msgspec.structs.replace(record.result, offset=offset, length=length)


async def _record(task: ShardTask, index: int, image: PlannedImage, fetcher: Fetcher) -> _Record:
    input_digest = image_input_digest(image, task.download, task.label_ids)
    cached = task.cached_records.get(index)
    if cached is not None:
        payload = await asyncio.to_thread(_read_cached, cached)
        if payload is not None:
            return _Record(payload, cached.result)
    try:
        fetched = await fetcher.image(image.url)
        _check_size(image, fetched)
    except Failed as failure:
        return _Record(b"", ImageResult(image_id=image.image_id, outcome=failure.outcome, input_digest=input_digest, detail=failure.detail))
    sha256 = hashlib.sha256(fetched.encoded).hexdigest()
    payload = encode_example(
        encoded=fetched.encoded,
        image_format=fetched.format,
        file_name=image.file_name,
        source_id=str(image.image_id),
        sha256=sha256,
        height=fetched.height,
        width=fetched.width,
        boxes=image.objects,
        label_ids=task.label_ids,
    )
    result = ImageResult(
        image_id=image.image_id,
        outcome=Outcome.STORED,
        input_digest=input_digest,
        sha256=sha256,
        bytes=len(fetched.encoded),
        width=fetched.width,
        height=fetched.height,
    )
    return _Record(payload, result)


def _check_size(image: PlannedImage, fetched: EncodedImage) -> None:
    """Raise `Failed` if a positive has another size than its annotations say.

    Boxes are fractions of the size in the annotations: on an image of another size they would be
    wrong. A negative has no boxes, and is stored with its real size.
    """
    if not image.width or (fetched.width, fetched.height) == (image.width, image.height):
        return
    detail = f"expected {image.width}x{image.height} pixels as in the annotations, got {fetched.width}x{fetched.height}"
    if image.objects:
        raise Failed(Outcome.SIZE_MISMATCH, detail)
    log.debug("%s: %s", image.url, detail)


def _read_cached(cached: CachedRecord) -> bytes | None:
    """Return the cached record after checking its checksum and the image's digest.

    None if it was removed or is damaged. Then the image must be downloaded.
    """
    try:
        payload = unframe(Store(cached.store_url).read_range(cached.key, cached.result.offset, cached.result.length))
        (encoded,) = decode_example(payload)[od_keys.ENCODED]
    except (WorkFailed, KeyError, ValueError):
        return None
    return payload if hashlib.sha256(encoded).hexdigest() == cached.result.sha256 else None
