"""Make the records of a plan: each image becomes a record or a failure with a reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.spec import NegativeDataset, NegativeDatasetSpec
from negset_api.values import Outcome, Plan, Records, ShardPlan, ShardResult, digest
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import DOWNLOADING_NEGATIVES, Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.adapters.threads import parallel
from negset_jobs.download.manifest import encode_manifest
from negset_jobs.download.shard import CachedRecord, ShardTask, commit_shard, image_input_digest, run_shard
from negset_jobs.download.shard_cache import ShardCache, failures, own_records, read_committed
from negset_jobs.formats.stored import commit

log = logging.getLogger(__name__)

_TITLES: Final = {names.RECORDS_FOLDER: DOWNLOADING_NEGATIVES, names.POSITIVES_FOLDER: "Downloading positives"}


def record_stage(  # noqa: PLR0917 - the signature that all stages share
    store: Store, plan: Plan, dataset: NegativeDataset, access: Access, siblings: Sequence[Store], progress: Progress
) -> Records:
    """Download the planned negatives. Write records/, manifest.parquet and, last, the marker.

    If more than `maxFailedPercent` failed, raise as `check_budget` does. Then manifest.parquet is
    written, so that users see the failures, and the marker is not. Stored records are kept. The
    next run attempts the failed images again.
    """
    spec = dataset.spec
    results = run_shards(
        store, plan.shards, folder=names.RECORDS_FOLDER, spec=spec, access=access, label_ids={}, siblings=siblings, progress=progress
    )
    outcomes = count_outcomes(results)
    store.write(names.MANIFEST, encode_manifest(plan.shards, results))
    tidy(store, names.RECORDS_FOLDER, results)
    check_budget(results, spec, "spec.download.maxFailedPercent")
    records = Records(
        input_digest=digest([result.input_digest for result in results]),
        planned=plan.planned,
        stored=outcomes[Outcome.STORED],
        bytes=sum(result.bytes for result in results),
        outcomes={outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        files=_by_split((result.split, result.file) for result in results if result.file),
        images={split: len(kept) for split, kept in _by_split(_stored(results)).items()},
        manifest=names.MANIFEST,
    )
    return commit(store, names.RECORDS, records)


def run_shards(
    store: Store,
    shards: Sequence[ShardPlan],
    *,
    folder: str,
    spec: NegativeDatasetSpec,
    access: Access,
    label_ids: Mapping[str, int],
    siblings: Sequence[Store],
    progress: Progress,
) -> list[ShardResult]:
    """Return the results of the shards, in plan order.

    Committed shards are kept, shards of other revisions are copied, and the rest is made now.

    If more images failed than `maxFailedPercent` allows, the images that failed in an earlier run
    are attempted once more. This includes permanent failures: the user may have added the missing
    file since. Records of the shard's earlier file are reused.
    """
    committed = read_committed(store, folder)
    earlier = {shard.name: committed[shard.name] for shard in shards if shard.name in committed}
    maker = _ShardMaker(store, folder, spec=spec, access=access, label_ids=dict(label_ids), progress=progress)
    progress.start(_TITLES.get(folder, "Downloading"), sum(len(shard.images) for shard in shards), "images")
    for _, result in earlier.values():
        progress.advance(len(result.results), failed=failures(result))
    results = {name: result for name, (_, result) in earlier.items()}

    missing = [shard for shard in shards if shard.name not in results]
    if missing:
        cache = ShardCache.of(siblings, folder)
        input_digests = {shard.name: maker.input_digests(shard) for shard in missing}
        copied = maker.copy(
            [(shard, identical) for shard in missing if (identical := cache.identical_shard(input_digests[shard.name])) is not None]
        )
        results |= copied
        results |= maker.make(
            [maker.task(shard, cache.cached_records(input_digests[shard.name])) for shard in missing if shard.name not in copied]
        )
    outcomes = count_outcomes(results.values())
    if _exceeds(outcomes.total() - outcomes[Outcome.STORED], outcomes.total(), spec):
        again = [shard for shard in shards if shard.name in earlier and failures(earlier[shard.name][1])]
        results |= maker.make(
            [maker.task(shard, own_records(store, earlier[shard.name][1]), earlier[shard.name][0] + 1) for shard in again]
        )
    progress.finish()
    return [results[shard.name] for shard in shards]


def tidy(store: Store, folder: str, results: Iterable[ShardResult]) -> None:
    """Remove the files that no marker names. Call it only when every shard is committed.

    They are files of attempts that lost a race, were superseded or were killed.
    """
    wanted = {result.file for result in results}
    store.remove([key for key in store.keys(folder) if key.endswith(".tfrecord") and key not in wanted])
    store.sweep(folder)


def count_outcomes(results: Iterable[ShardResult]) -> Counter[Outcome]:
    return Counter(image.outcome for result in results for image in result.results)


def check_budget(results: Sequence[ShardResult], spec: NegativeDatasetSpec, field: str) -> None:
    """Raise if more images failed than `maxFailedPercent` allows, or all of them.

    Raises `InvalidInput` if permanent failures alone exceed the budget; `WorkFailed` if a retry may
    help. The message has the counts and the three most common reasons.
    """
    outcomes = count_outcomes(results)
    planned, stored = outcomes.total(), outcomes[Outcome.STORED]
    if stored and not _exceeds(planned - stored, planned, spec):
        return
    transient = sum(count for outcome, count in outcomes.items() if outcome.transient)
    permanent = stored + transient == 0 or _exceeds(planned - stored - transient, planned, spec)
    del outcomes[Outcome.STORED]
    examples = {image.outcome: image for result in reversed(results) for image in reversed(result.results)}
    reasons = "; ".join(
        f"{count} {outcome} (image {examples[outcome].image_id}: {examples[outcome].detail})" for outcome, count in outcomes.most_common(3)
    )
    share = "none of the" if not stored else f"{planned - stored} of the"
    verb = "could be stored" if not stored else "could not be stored"
    error = InvalidInput if permanent else WorkFailed
    raise error(f"{share} {planned} planned images {verb}, {field} allows {spec.download.max_failed_percent}%: {reasons}")


def _exceeds(failed: int, planned: int, spec: NegativeDatasetSpec) -> bool:
    return failed * 100 > spec.download.max_failed_percent * planned


def _stored(results: Iterable[ShardResult]) -> Iterable[tuple[str, str]]:
    return ((result.split, str(image.image_id)) for result in results for image in result.results if image.outcome is Outcome.STORED)


def _by_split(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, list[str]] = {}
    for split, value in pairs:
        grouped.setdefault(split, []).append(value)
    return {split: tuple(values) for split, values in grouped.items()}


class _ShardMaker:
    """The settings that all shards of one run share, and its progress."""

    def __init__(
        self, store: Store, folder: str, *, spec: NegativeDatasetSpec, access: Access, label_ids: dict[str, int], progress: Progress
    ) -> None:
        self.store, self.folder, self.spec, self.access, self.label_ids = store, folder, spec, access, label_ids
        self._progress = progress

    def task(self, shard: ShardPlan, cached_records: dict[int, CachedRecord], attempt: int = 1) -> ShardTask:
        return ShardTask(
            store_url=self.store.url,
            folder=self.folder,
            shard=shard,
            download=self.spec.download,
            access=self.access,
            label_ids=self.label_ids,
            attempt=attempt,
            cached_records=cached_records,
        )

    def input_digests(self, shard: ShardPlan) -> list[str]:
        return [image_input_digest(image, self.spec.download, self.label_ids) for image in shard.images]

    def make(self, tasks: list[ShardTask]) -> dict[str, ShardResult]:
        """Run the tasks in workers.

        Progress counts the images of first attempts only: later attempts repeat counted images.
        """
        if not tasks:
            return {}
        results = {}
        reported = [(0, 0)] * len(tasks)

        def report(index: int, done: int, failed: int) -> None:
            # After a lost worker, the sums start at zero again. They count once they exceed the
            # sums that were reported before.
            before = reported[index]
            if tasks[index].attempt == 1 and done > before[0]:
                reported[index] = (done, max(failed, before[1]))
                self._progress.advance(done - before[0], failed=max(failed - before[1], 0))

        for index, result in work.map_unordered(run_shard, tasks, workers=self.spec.ray.workers, report=report):
            report(index, len(result.results), failures(result))
            results[result.name] = result
        return results

    def copy(self, pairs: list[tuple[ShardPlan, tuple[Store, ShardResult]]]) -> dict[str, ShardResult]:
        """Copy shards of other revisions on the store's side: the file, then a marker for it."""

        def copy(pair: tuple[ShardPlan, tuple[Store, ShardResult]]) -> ShardResult | None:
            shard, (source, identical) = pair
            key = names.shard_records(self.folder, shard.name, identical.sha256) if identical.file else ""
            try:
                if key:
                    self.store.copy(source, key, identical.file)
            except MissingObject:
                return None
            copied = msgspec.structs.replace(identical, name=shard.name, split=shard.split, file=key)
            return commit_shard(self.store, names.shard_marker(self.folder, shard.name), copied)

        results = {result.name: result for result in parallel(copy, pairs) if result is not None}
        for result in results.values():
            self._progress.advance(len(result.results), failed=failures(result))
        return results
