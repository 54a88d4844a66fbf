"""Make, copy or complete the shards of one run in workers, and report progress."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from negset_api import names
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import ShardPlan, ShardResult
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.adapters.threads import parallel
from negset_jobs.download.record import CachedRecord, image_input_digest
from negset_jobs.download.shard import Again, ShardTask, commit_shard, run_shard
from negset_jobs.download.shard_cache import Committed, failures


class ShardMaker:
    """The settings that all shards of one run share, and its progress."""

    def __init__(
        self, store: Store, folder: str, *, spec: NegativeDatasetSpec, access: Access, label_ids: Mapping[str, int], progress: Progress
    ) -> None:
        self.store, self.folder, self.spec, self.access, self.label_ids = store, folder, spec, access, dict(label_ids)
        self.progress = progress

    def task(self, shard: ShardPlan, cached_records: dict[int, CachedRecord], *, attempt: int = 1, orientation: str = "") -> ShardTask:
        """Return the task that makes a shard from its images and the records that are there."""
        return ShardTask(
            store_url=self.store.url,
            folder=self.folder,
            shard=shard,
            download=self.spec.download,
            access=self.access,
            label_ids=self.label_ids,
            attempt=attempt,
            cached_records=cached_records,
            orientation=orientation,
        )

    def task_again(self, shard: ShardPlan, committed: Committed, requested: tuple[int, ...]) -> ShardTask:
        """Return the task that requests some images of a committed shard again."""
        return self._changed(shard, committed.attempt, Again(earlier=committed.result, requested=requested))

    def task_without(self, shard: ShardPlan, committed: Committed, left_out: tuple[int, ...]) -> ShardTask:
        """Return the task that leaves out images of a committed shard, which are positives."""
        return self._changed(shard, committed.attempt, Again(earlier=committed.result, left_out=left_out))

    def _changed(self, shard: ShardPlan, attempt: int, again: Again) -> ShardTask:
        return msgspec.structs.replace(self.task(shard, {}, attempt=attempt + 1), again=again)

    def input_digests(self, shard: ShardPlan) -> list[str]:
        return [image_input_digest(image, self.spec.download, self.label_ids) for image in shard.images]

    def make(self, tasks: list[ShardTask]) -> dict[str, Committed]:
        """Run the tasks in workers. Progress counts the images that they request or copy."""
        if not tasks:
            return {}
        results = {}
        reported = [(0, 0)] * len(tasks)

        def report(index: int, done: int, failed: int) -> None:
            # After a lost worker, the sums start at zero again. They count once they exceed the
            # sums that were reported before.
            before = reported[index]
            if done > before[0]:
                reported[index] = (done, max(failed, before[1]))
                self.progress.advance(done - before[0], failed=max(failed - before[1], 0))

        for index, result in work.map_unordered(run_shard, tasks, workers=self.spec.ray.workers, report=report):
            report(index, *_counts(tasks[index], result))
            results[result.name] = Committed(tasks[index].attempt, result)
        return results

    def make_again(self, tasks: list[ShardTask]) -> dict[str, Committed]:
        """Run the tasks in workers. The progress counts the images of their shards elsewhere."""
        made = work.map_unordered(run_shard, tasks, workers=self.spec.ray.workers) if tasks else ()
        return {result.name: Committed(tasks[index].attempt, result) for index, result in made}

    def copy(self, pairs: list[tuple[ShardPlan, tuple[Store, ShardResult]]]) -> dict[str, Committed]:
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
            self.progress.advance(len(result.results), failed=failures(result))
        return {name: Committed(1, result) for name, result in results.items()}


def _counts(task: ShardTask, result: ShardResult) -> tuple[int, int]:
    """Return how many images a task has finished, and how many of these failed."""
    if task.again is None:
        return len(result.results), failures(result)
    outcomes = [result.results[index].outcome for index in task.again.requested]
    return len(outcomes), sum(outcome is not outcome.STORED for outcome in outcomes)
