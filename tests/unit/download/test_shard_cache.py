"""A new revision reuses shards and records of the other revisions of its dataset."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from negset_api import names
from negset_api.values import ImageResult, Outcome, ShardResult, encode
from negset_jobs.adapters.store import Store
from negset_jobs.download.shard import shard_input_digest
from negset_jobs.download.shard_cache import ShardCache, read_committed

INPUTS = ("image 1", "image 2")
FAILED = Outcome.NOT_FOUND
STORED = Outcome.STORED


@pytest.fixture
def root() -> Iterator[Store]:
    store = Store(f"memory://shard-cache/{uuid.uuid4().hex}")
    yield store
    store.remove(store.keys())


def shard(*outcomes: Outcome, inputs: tuple[str, ...] = INPUTS) -> ShardResult:
    images = [
        ImageResult(image_id=number, outcome=outcome, input_digest=digest, offset=100 * number, length=100)
        for number, (outcome, digest) in enumerate(zip(outcomes, inputs, strict=True), 1)
    ]
    return ShardResult(
        name="train-00000-of-00001",
        split=names.TRAIN,
        input_digest=shard_input_digest(inputs),
        file="records/train-00000-of-00001-abcd.tfrecord",
        sha256="abcd",
        bytes=200,
        results=tuple(images),
    )


def revision(root: Store, name: str, *attempts: ShardResult, accepted: bool = False) -> Store:
    store = root.child(name)
    for number, result in enumerate(attempts, 1):
        store.write(names.shard_marker(names.RECORDS_FOLDER, result.name, number), encode(result))
    if accepted:
        store.write(names.RECORDS, b"{}")
    return store


def cache(*siblings: Store) -> ShardCache:
    return ShardCache.of(siblings, names.RECORDS_FOLDER)


FOUND: dict[str, tuple[ShardResult, bool, tuple[str, ...], bool, list[int]]] = {
    "an identical shard is found": (shard(STORED, STORED), False, INPUTS, True, [0, 1]),
    "a shard with another input digest is not": (shard(STORED, STORED), False, ("image 1", "image 3"), False, [0]),
    "nor is one with the same images in another order": (shard(STORED, STORED), False, INPUTS[::-1], False, [0, 1]),
    "the failures of an accepted dataset are accepted": (shard(STORED, FAILED), True, INPUTS, True, [0]),
    "but transient ones are not": (shard(STORED, Outcome.TIMEOUT), True, INPUTS, False, [0]),
    "those of another dataset are not, but what it stored is taken": (shard(STORED, FAILED), False, INPUTS, False, [0]),
}


@pytest.mark.parametrize(("made", "accepted", "wanted", "identical", "cached"), FOUND.values(), ids=FOUND)
def test_from_a_sibling(
    *, made: ShardResult, accepted: bool, wanted: tuple[str, ...], identical: bool, cached: list[int], root: Store
) -> None:
    sibling = revision(root, "earlier", made, accepted=accepted)
    found = cache(sibling)
    pair = found.identical_shard(wanted)
    assert (pair and (pair[0].url, pair[1])) == ((sibling.url, made) if identical else None)
    records = found.cached_records(wanted)
    assert sorted(records) == cached
    assert {(record.store_url, record.key) for record in records.values()} <= {(sibling.url, made.file)}


def test_the_first_sibling_that_has_a_shard_gives_it(root: Store) -> None:
    first, second = (revision(root, name, shard(STORED, STORED)) for name in ("a", "b"))
    pair = cache(first, second).identical_shard(INPUTS)
    assert pair is not None
    assert pair[0].url == first.url


def test_a_sibling_without_shards_and_no_sibling_give_nothing(root: Store) -> None:
    for found in (cache(), cache(revision(root, "empty"))):
        assert found.identical_shard(INPUTS) is None
        assert found.cached_records(INPUTS) == {}


def test_of_several_attempts_the_last_one_counts(root: Store) -> None:
    last = msgspec.structs.replace(shard(STORED, STORED), file="records/last.tfrecord")
    sibling = revision(root, "earlier", shard(STORED, FAILED), last)
    assert read_committed(sibling, names.RECORDS_FOLDER) == {last.name: (2, last)}
    assert {record.key for record in cache(sibling).cached_records(INPUTS).values()} == {last.file}


def test_a_sibling_that_is_being_removed_is_skipped(root: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    terminating = revision(root, "a", shard(STORED, STORED, inputs=("image 8", "image 9")))
    stays = revision(root, "b", shard(STORED, STORED))
    keys = Store.keys

    def listing(store: Store, *prefix: Any) -> list[str]:
        found = keys(store, *prefix)
        if store.url == terminating.url:
            store.remove(found)
        return found

    monkeypatch.setattr(Store, "keys", listing)
    found = cache(terminating, stays)
    monkeypatch.undo()
    assert found.identical_shard(("image 8", "image 9")) is None
    pair = found.identical_shard(INPUTS)
    assert pair is not None
    assert pair[0].url == stays.url
