"""Committed shards and records that a revision can reuse, its own and its siblings'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from negset_api import names
from negset_api.values import Outcome, ShardResult
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.adapters.threads import parallel
from negset_jobs.download.record import CachedRecord
from negset_jobs.download.shard import shard_input_digest
from negset_jobs.formats.stored import load

_STAGE_MARKERS: Final = {names.RECORDS_FOLDER: names.RECORDS, names.POSITIVES_FOLDER: names.POSITIVES}


class Committed(NamedTuple):
    """A committed shard: its last attempt, and the result of that."""

    attempt: int
    result: ShardResult


def read_committed(store: Store, folder: str) -> dict[str, Committed]:
    """Return every committed shard of a folder by name."""
    latest: dict[str, int] = {}
    for key in store.keys(f"{names.SHARDS_FOLDER}/{folder}"):
        name, attempt = names.shard_of_marker(key)
        latest[name] = max(attempt, latest.get(name, 0))

    def read(item: tuple[str, int]) -> ShardResult:
        return load(store, names.shard_marker(folder, *item), ShardResult)

    results = parallel(read, latest.items())
    return {name: Committed(attempt, result) for (name, attempt), result in zip(latest.items(), results, strict=True)}


def failures(result: ShardResult) -> int:
    """Return how many images of a shard are not stored."""
    return sum(image.outcome is not Outcome.STORED for image in result.results)


def failed(result: ShardResult) -> tuple[int, ...]:
    """Return the positions of a shard's images that could not be stored."""
    return tuple(index for index, image in enumerate(result.results) if image.outcome not in {Outcome.STORED, Outcome.IS_POSITIVE})


def _depends_on_positives(result: ShardResult) -> bool:
    return any(image.outcome is Outcome.IS_POSITIVE for image in result.results)


def transient(result: ShardResult) -> tuple[int, ...]:
    """Return the positions of a shard's images whose failure was transient."""
    return tuple(index for index, image in enumerate(result.results) if image.outcome.transient)


class ShardCache:
    """Shards and single records of other revisions of the dataset, by their input digests."""

    def __init__(self) -> None:
        self._shards: dict[str, tuple[Store, ShardResult]] = {}
        self._records: dict[str, CachedRecord] = {}

    @classmethod
    def of(cls, siblings: Sequence[Store], folder: str) -> ShardCache:
        """Read the markers of every sibling."""
        cache = cls()
        for sibling in siblings:
            accepted = sibling.exists(_STAGE_MARKERS[folder])
            try:
                found = read_committed(sibling, folder)
            # The sibling is being removed (`revisions.trim`). Its shards are made again.
            except MissingObject:
                continue
            for _, result in found.values():
                # If the sibling's dataset was accepted, its permanent failures are accepted too.
                # Otherwise the failed images are requested again, and transient failures always.
                if not (transient(result) if accepted else failures(result)) and not _depends_on_positives(result):
                    cache._shards.setdefault(result.input_digest, (sibling, result))
                for image in result.results:
                    if image.outcome is Outcome.STORED:
                        cache._records.setdefault(image.input_digest, CachedRecord(sibling.url, result.file, image))
        return cache

    def identical_shard(self, inputs: Sequence[str]) -> tuple[Store, ShardResult] | None:
        """Return a shard of another revision that was made from the same inputs, or None."""
        return self._shards.get(shard_input_digest(inputs))

    def cached_records(self, inputs: Sequence[str]) -> dict[int, CachedRecord]:
        """Return the records of other revisions that a shard can reuse, by position in it."""
        found = ((index, self._records.get(wanted)) for index, wanted in enumerate(inputs))
        return {index: cached for index, cached in found if cached is not None}
