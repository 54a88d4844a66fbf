"""Make one shard: download its images concurrently and write one TFRecord file in plan order.

A marker commits the shard. The file's bytes depend on the plan and the images only, not on timing:
a repeated run makes the same file.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable

import msgspec

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.spec import Download
from negset_api.values import ImageResult, Outcome, ShardPlan, ShardResult, digest
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.worker import Report
from negset_jobs.download import hosts
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.filling import Filling
from negset_jobs.download.plan_order import PlanOrder, Record, in_plan_order
from negset_jobs.download.record import CachedRecord, Recording
from negset_jobs.formats.stored import commit, load


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """A committed shard of which some images are requested again, or left out as positives.

    `requested` and `left_out` have their positions in it. One of them is empty.
    """

    earlier: ShardResult
    requested: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()


class ShardTask(msgspec.Struct, frozen=True, kw_only=True):
    """The input of a worker that makes a shard.

    The keys of `cached_records` are the positions of images in the shard. A later `attempt` is made
    from what `again` has. `orientation` says how images are read that the EXIF turns, if neither
    the spec nor their size decides.
    """

    store_url: str
    folder: str
    shard: ShardPlan
    download: Download
    access: Access
    label_ids: dict[str, int]
    attempt: int = 1
    cached_records: dict[int, CachedRecord] = {}
    again: Again | None = None
    orientation: str = ""


def shard_input_digest(images: Iterable[str]) -> str:
    """Return the digest of a shard's inputs, from its images' `image_input_digest` in order."""
    return digest(list(images))


def run_shard(task: ShardTask, report: Report = lambda _done, _failed: None) -> ShardResult:
    """Make the shard and commit it. Report the images that are requested.

    If another process has committed the same attempt, before or meanwhile, return its result. If a
    later attempt changes nothing, return the earlier result and commit nothing.

    Raises `WorkFailed` if the store cannot be written. Failures of single images are in the result.
    """
    store = Store(task.store_url)
    marker = names.shard_marker(task.folder, task.shard.name, task.attempt)
    if store.exists(marker):
        return load(store, marker, ShardResult)
    with store.spool(task.folder) as path:
        try:
            with in_plan_order(path, os.path.dirname(path)) as (writer, order):
                failed_again = asyncio.run(_fill(task, order, report))
        except OSError as error:
            raise WorkFailed(f"cannot write {path}: {error.strerror or error}") from error
        if failed_again is not None:
            return failed_again if failed_again == _earlier(task) else commit_shard(store, marker, failed_again)
        key = names.shard_records(task.folder, task.shard.name, writer.sha256) if writer.size else ""
        if key:
            store.adopt(path, key)
    result = ShardResult(
        name=task.shard.name,
        split=task.shard.split,
        input_digest=shard_input_digest(image.input_digest for image in order.results),
        file=key,
        sha256=writer.sha256 if key else "",
        bytes=writer.size,
        results=tuple(order.results),
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


def _earlier(task: ShardTask) -> ShardResult | None:
    return task.again.earlier if task.again is not None else None


async def _fill(task: ShardTask, order: PlanOrder, report: Report) -> ShardResult | None:
    """Write the shard's records in plan order.

    If the images that are requested again fail again, nothing is copied. Then return the earlier
    result with their new outcomes.
    """
    images, again = task.shard.images, task.again
    cached = task.cached_records if again is None else own_records(task.store_url, again.earlier)
    async with Fetcher(task.download, task.access) as fetcher:
        filling = Filling(images, cached, Recording(task.download, task.label_ids, task.orientation), hosts.OF_WORKER, order)
        if again is None:
            await filling.run(range(len(images)), fetcher, report)
            return None
        if again.requested:
            await filling.run(again.requested, fetcher, report)
            if all(result.outcome is not Outcome.STORED for result in filling.results.values()):
                results = tuple(filling.results.get(index, result) for index, result in enumerate(again.earlier.results))
                return msgspec.structs.replace(again.earlier, results=results)
        for index, result in enumerate(again.earlier.results):
            if index in again.left_out:
                order.add(index, Record(b"", _as_positive(result)))
            elif index not in cached and index not in again.requested:
                order.add(index, Record(b"", result))
        kept = (index for index in cached if index not in again.left_out)
        await filling.run(kept, fetcher, lambda _done, _failed: None)
    return None


def _as_positive(result: ImageResult) -> ImageResult:
    return ImageResult(
        image_id=result.image_id,
        outcome=Outcome.IS_POSITIVE,
        input_digest=result.input_digest,
        detail="its bytes are those of a positive",
    )


def own_records(store_url: str, result: ShardResult) -> dict[int, CachedRecord]:
    """Return the records that a shard's earlier attempt has stored, by position in it."""
    return {
        index: CachedRecord(store_url, result.file, image) for index, image in enumerate(result.results) if image.outcome is Outcome.STORED
    }
