"""`output.revisionHistoryLimit` removes the oldest revisions of this object, and nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import time
import types
from typing import Any

import pytest
from tests.s3_server import s3_server

from negset_api import names, validation
from negset_api.errors import Unavailable
from negset_api.values import Labels, encode
from negset_jobs import cli, pipeline, revisions
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.commands import distributed_stages, job
from negset_jobs.download.shard_cache import ShardCache
from negset_jobs.pipeline import data_stages
from negset_jobs.pipeline.reuse import reuse

MINE, THEIRS = "1111", "2222"


OLDEST, OLDER, NEWER, PRESENT = (f"{letter}" * 12 for letter in "abcd")


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path)


@pytest.fixture(params=["a folder", "S3"])
def url(request, tmp_path) -> str:
    if request.param == "a folder":
        return str(tmp_path)
    return f"s3://{request.getfixturevalue('s3').bucket}/{tmp_path.name}"


def manifest(url: str, limit: int | None, uid: str = MINE) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": "team-a", "uid": uid, "annotations": {names.LABEL_REVISION: PRESENT}},
        "spec": {
            "source": {"coco": {"annotations": "s3://a/b.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 100},
            "output": {"url": url, **({"revisionHistoryLimit": limit} if limit is not None else {})},
        },
    }


def opened(url: str, limit: int | None, uid: str = MINE) -> pipeline.Revision:
    return pipeline.prepare(validation.parse(manifest(url, limit, uid)), Access(), PRESENT)


def place(url: str, name: str, of: str = "street") -> Store:
    return Store(f"{names.dataset_root(url, 'team-a', of)}/{name}")


def make(url: str, name: str, *owners: str, age: int = 0, of: str = "street") -> Store:
    """Make a revision of this age in minutes.

    If the store has its own clock, the revision is made a second after the previous one.
    """
    store = place(url, name, of)
    for number in range(3):
        store.write(f"records/train-{number}.tfrecord", name.encode())
    if not store.local_root:
        time.sleep(1.1)
    for uid in owners:
        store.write(names.owner(uid), b"")
        if store.local_root:
            made = time.time() - 60 * age
            os.utime(f"{store.local_root}/{names.owner(uid)}", (made, made))
    return store


def content(store: Store) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.keys()}  # noqa: SIM118 - a store is no dict


def four(url: str) -> list[Store]:
    return [make(url, name, MINE, age=age) for age, name in zip((30, 20, 10, 0), (OLDEST, OLDER, NEWER, PRESENT), strict=True)]


def test_the_present_revision_and_the_newest_earlier_one_stay_and_what_is_not_ours_stays_byte_for_byte(url):
    oldest, older, newer, present = four(url)
    strangers = [
        make(url, "eeeeeeeeeeee", THEIRS, age=40),
        make(url, "ffffffffffff", MINE, THEIRS, age=40),
        make(url, "0123456789ab", age=40),
        make(url, "notes", MINE, age=40),
        make(url, OLDEST, MINE, age=40, of="another"),
        newer,
        present,
    ]
    before = [content(store) for store in strangers]
    told = revisions.trim(opened(url, 1))
    assert (content(oldest), content(older)) == ({}, {})
    assert [content(store) for store in strangers] == before
    assert told == "; ".join(
        [
            "spec.output.revisionHistoryLimit is 1: removed 2 earlier revisions, kept 1, skipped 3",
            f"removed: {OLDEST}, {OLDER}",
            f"{place(url, '0123456789ab').location('').rstrip('/')} (not made by this object)",
            f"{place(url, 'eeeeeeeeeeee').location('').rstrip('/')} (also made by {THEIRS})",
            f"{place(url, 'ffffffffffff').location('').rstrip('/')} (also made by {THEIRS})",
        ]
    )


def test_a_revision_that_becomes_the_present_one_again_is_the_newest(url, monkeypatch):
    oldest, older, newer, present = four(url)
    # As the data step does when the spec is changed back.
    monkeypatch.setattr(data_stages, "plan", lambda _run: None)
    monkeypatch.setattr(data_stages, "find", lambda *_: types.SimpleNamespace(outcomes={}))
    time.sleep(1.1)
    back = pipeline.prepare(validation.parse(manifest(url, 1)), Access(), OLDEST)
    pipeline.data(back, None)
    revisions.trim(back)
    assert [bool(content(store)) for store in (oldest, older, newer, present)] == [True, False, False, True]


LIMITS = {
    "without a limit nothing goes": (None, 4, ""),
    "0 keeps the present one alone": (0, 1, "removed 3 earlier revisions, kept 0, skipped 0"),
    "2 of 3 earlier ones stay": (2, 3, "removed 1 earlier revisions, kept 2, skipped 0"),
    "3 of 3 stay": (3, 4, "removed 0 earlier revisions, kept 3, skipped 0"),
    "more than there are stay": (9, 4, "removed 0 earlier revisions, kept 3, skipped 0"),
}


@pytest.mark.parametrize(("limit", "stay", "said"), LIMITS.values(), ids=LIMITS)
def test_the_limit_counts_earlier_revisions(limit, stay, said, folder):
    stores = four(folder)
    told = revisions.trim(opened(folder, limit))
    assert said in told
    assert bool(told) is bool(said)
    assert [bool(content(store)) for store in stores] == [False] * (4 - stay) + [True] * stay


def test_a_removed_revision_is_not_mentioned_again(folder):
    four(folder)
    revisions.trim(opened(folder, 1))
    again = revisions.trim(opened(folder, 1))
    assert again == "spec.output.revisionHistoryLimit is 1: removed 0 earlier revisions, kept 1, skipped 0"


def test_a_revision_that_a_later_edit_has_begun_is_not_an_earlier_one(folder):
    oldest, _, newer, present = four(folder)
    os.utime(f"{newer.local_root}/{names.owner(MINE)}")
    os.utime(f"{present.local_root}/{names.owner(MINE)}", (time.time() - 60,) * 2)
    revisions.trim(opened(folder, 0))
    assert content(oldest) == {}
    assert content(newer)


def test_a_laptop_removes_nothing(folder):
    stores = [make(folder, name, "laptop", age=age) for age, name in ((9, OLDEST), (0, PRESENT))]
    told = revisions.trim(opened(folder, 0, uid=""))
    assert "nothing was removed: a run on a laptop has no uid" in told
    assert all(content(store) for store in stores)


def test_without_a_marker_of_the_present_revision_nothing_goes(folder):
    stores = [make(folder, OLDEST, MINE, age=9), make(folder, PRESENT)]
    assert "nothing was removed: the marker of the current revision is missing" in revisions.trim(opened(folder, 0))
    assert all(content(store) for store in stores)


FAILURES = {
    "listing": ("keys", "skipped 3"),
    "asking when": ("modified", "nothing was removed: cannot reach it"),
    "removing": ("remove", "removed 0 earlier revisions, kept 0, skipped 3"),
}


@pytest.mark.parametrize(("verb", "said"), FAILURES.values(), ids=FAILURES)
def test_an_unavailable_store_is_reported_and_fails_nothing(verb, said, folder, monkeypatch):
    four(folder)
    run = opened(folder, 0)

    def away(*_: object) -> None:
        raise Unavailable("cannot reach it")

    with monkeypatch.context() as patched:
        patched.setattr(Store, verb, away)
        told = revisions.trim(run)
    assert said in told
    assert "cannot reach it" in told
    assert "removed 3" in revisions.trim(run), "the next time it succeeds"


def test_a_removal_that_was_cut_off_leaves_nothing_to_copy_from_and_is_finished_by_the_next(folder, monkeypatch):
    oldest = four(folder)[0]
    for key in (names.PLAN, names.RECORDS, names.shard_marker("records", "train-00000-of-00001"), names.round_marker(1)):
        oldest.write(key, b"{}")

    def cut_off(store: Store, key: str) -> None:
        if key.endswith(".tfrecord"):
            raise KeyboardInterrupt
        store.remove([key])

    with monkeypatch.context() as patched:
        patched.setattr(revisions, "_remove", cut_off)
        with pytest.raises(KeyboardInterrupt):
            revisions.trim(opened(folder, 2))
    assert sorted(content(oldest)) == [names.owner(MINE), *(f"records/train-{number}.tfrecord" for number in range(3))]
    revisions.trim(opened(folder, 2))
    assert content(oldest) == {}


ENDS = {
    "the last step on a cluster": (["job", "data", "--cluster"], True),
    "a step of a laptop, whose report is not written yet": (["job", "data"], False),
}


@pytest.mark.parametrize(("words", "trims"), ENDS.values(), ids=ENDS)
def test_it_is_done_after_the_report_by(words, trims, tmp_path, monkeypatch):
    path = tmp_path / "dataset.yaml"
    path.write_text(json.dumps(manifest("s3://a/b" if trims else str(tmp_path), 1)))
    order = []
    monkeypatch.setattr(
        pipeline,
        "prepare",
        lambda dataset, access, *_, **__: pipeline.Revision(dataset=dataset, access=access, root=None, store=None, siblings=()),
    )
    monkeypatch.setattr(pipeline, "alone", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(pipeline, "report", lambda *_: order.append("report"))
    monkeypatch.setattr(pipeline, "status", lambda _: {})
    monkeypatch.setattr(distributed_stages, "data", lambda *_: order.append("data"))
    monkeypatch.setattr(job, "_status_writer", lambda *_: None)
    monkeypatch.setattr(revisions, "trim", lambda _: order.append("trim") or "said")
    assert cli.main([*words, "--file", str(path)]) == 0
    assert order == ["data", *(["report", "trim"] if trims else [])]


def cached(url: str) -> tuple[Store, str, tuple[str, ...]]:
    """Make an earlier revision with a reusable stage. Return its store, marker and folders."""
    earlier = make(url, OLDER, MINE)
    for name in ("a", "b", "c"):
        earlier.write(f"labels/{name}.txt", b"")
    earlier.write(names.LABELS, encode(Labels(input_digest="same", folders={}, images=3)))
    return earlier, names.LABELS, (names.LABELS_FOLDER,)


@pytest.mark.parametrize("moment", ["before the list", "after the first copy", "after the last copy"])
def test_a_revision_that_is_removed_while_another_copies_from_it_leaves_no_half_stage(url, monkeypatch, moment):
    earlier, marker, folders = cached(url)
    run = opened(url, None)
    mine, copied = names.owner(MINE), []
    copy, keys = Store.copy, Store.keys

    def copying(store: Store, source: Store, key: str) -> None:
        copied.append(key)
        copy(store, source, key)
        if moment == "after the first copy" and len(copied) == 1:
            revisions._remove_all(earlier, mine)

    def listing(store: Store, prefix: str = "") -> list[str]:
        if moment == "before the list" and prefix == names.LABELS_FOLDER:
            revisions._remove_all(earlier, mine)
        return keys(store, prefix)

    monkeypatch.setattr(Store, "copy", copying)
    monkeypatch.setattr(Store, "keys", listing)
    taken = reuse(run, marker, "same", Labels, folders=folders)
    monkeypatch.undo()
    whole = moment == "after the last copy"
    assert (taken is not None, run.store.exists(marker)) == (whole, whole)
    assert len(run.store.keys(names.LABELS_FOLDER)) == (3 if whole else 0)


@pytest.mark.parametrize("change", ["one file was removed", "the stage was made again"])
def test_a_stage_that_changes_while_another_revision_copies_it_is_not_taken(folder, monkeypatch, change):
    earlier, marker, folders = cached(folder)
    run = opened(folder, None)
    copy = Store.copy

    def copying(store: Store, source: Store, key: str) -> None:
        copy(store, source, key)
        if change == "one file was removed":
            earlier.remove(["labels/c.txt"])
        else:  # with more images, by a run that requested the failed ones again
            earlier.write(marker, encode(Labels(input_digest="same, and more", folders={}, images=4)))

    monkeypatch.setattr(Store, "copy", copying)
    assert reuse(run, marker, "same", Labels, folders=folders) is None
    assert content(run.store) == {}, "half a stage, or a mixture of two, is none"


def test_shards_of_a_revision_that_is_being_removed_are_made_again(url, monkeypatch):
    earlier = make(url, OLDER, MINE)
    earlier.write(names.shard_marker(names.RECORDS_FOLDER, "train-0"), b"{}")
    read = Store.read

    def reading(store: Store, key: str) -> bytes:
        revisions._remove_all(earlier, names.owner(MINE))
        return read(store, key)

    monkeypatch.setattr(Store, "read", reading)
    assert ShardCache.of((earlier,), names.RECORDS_FOLDER).identical_shard(["any"]) is None
