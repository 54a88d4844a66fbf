"""One shard: its images, fetched at the same time, become one TFRecord file in plan order, and a
marker commits it.

The file's bytes depend on the plan and the images alone, not on timing: whoever runs a shard again
gets the same file. Memory is bounded by the images in the window, not by the shard.
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
"""Called with how many more images are finished, and how many of these failed."""

RECORD_FORMAT: Final = 1
"""Counts the changes of what a record holds; part of every digest, so that records of an older form
are not reused.
"""

WINDOW: Final = 2
"""Images in memory per connection: one being fetched, and one that waits for a slower one before it
in the plan. Without the second a single slow image would stall every connection.
"""


class CachedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record that another shard holds and that has the same inputs."""

    store_url: str
    key: str
    result: ImageResult


class ShardTask(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a worker needs to make a shard.

    `cached_records` are by the position of the image in the shard.
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
    """The digest of what decides an image's record, or that there is none.

    How often and how fast it is asked for is not part of it.
    """
    checks = (download.verify, download.max_image_mebibytes, download.max_image_megapixels, download.robots_tag)
    objects = (image.width, image.height, [(box, label_ids.get(box.class_name)) for box in image.objects]) if image.objects else None
    return digest(RECORD_FORMAT, image.url, image.image_id, image.file_name, objects, checks)


def shard_input_digest(images: Iterable[str]) -> str:
    """The digest of what decides a shard's file, from its images' `image_input_digest` in order."""
    return digest(list(images))


def run_shard(task: ShardTask, report: Report = lambda _done, _failed: None) -> ShardResult:
    """Makes the shard and commits it.

    Where another attempt has committed it before, or does so meanwhile, returns what that one made.

    Raises `WorkFailed` where the store cannot be written; what goes wrong with single images is in
    the result.
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
    """Commits a shard whose file is in place.

    Of several attempts the first marker counts: the others' files go, and all return the same
    result.
    """
    winner = commit(store, marker, result)
    if result.file and result.file != winner.file:
        store.remove([result.file])
    return winner


class RecordWriter:
    """Writes records to a stream, and knows the digest and size in bytes of all it has written."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def append(self, payload: bytes) -> tuple[int, int]:
        """Writes one record. Returns its offset and its length in bytes, framing included."""
        header, footer = frame(payload)
        offset = self.size
        for part in (header, payload, footer):
            self._stream.write(part)
            self._digest.update(part)
        self.size += len(payload) + OVERHEAD
        return offset, self.size - offset


class _Record(msgspec.Struct, frozen=True, gc=False):
    """An image that is ready to be written, or what became of it where there is nothing to write."""

    payload: bytes
    result: ImageResult


async def _fill(task: ShardTask, writer: RecordWriter, report: Report) -> list[ImageResult]:
    """Fetches the shard's images and writes them in plan order."""
    images = enumerate(task.shard.images)
    ready: dict[int, _Record] = {}
    results: list[ImageResult] = []
    window = asyncio.Semaphore(WINDOW * task.download.connections)

    async def connection(fetcher: Fetcher) -> None:
        for index, image in images:
            # The window is entered in plan order, so the image that the writing waits for is always
            # in it.
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
    # The group is the task group's own; what is in it goes on.
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
    """Boxes are fractions of the size in the annotations: on an image of another size they would
    lie elsewhere. A negative has none, and keeps its real size.
    """
    if not image.width or (fetched.width, fetched.height) == (image.width, image.height):
        return
    detail = f"the annotations are for {image.width}x{image.height} pixels, the image has {fetched.width}x{fetched.height}"
    if image.objects:
        raise Failed(Outcome.SIZE_MISMATCH, detail)
    log.debug("%s: %s", image.url, detail)


def _read_cached(cached: CachedRecord) -> bytes | None:
    """The cached's record, proved by its checksum and by the image's digest; None where it is gone
    or damaged, and the image has to be fetched after all.
    """
    try:
        payload = unframe(Store(cached.store_url).read_range(cached.key, cached.result.offset, cached.result.length))
        (encoded,) = decode_example(payload)[od_keys.ENCODED]
    except (WorkFailed, KeyError, ValueError):
        return None
    return payload if hashlib.sha256(encoded).hexdigest() == cached.result.sha256 else None
