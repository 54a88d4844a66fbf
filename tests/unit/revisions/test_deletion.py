"""`deletionPolicy: Delete` removes what this object made, and nothing else in the same place."""

from __future__ import annotations

import pytest
from tests.s3_server import s3_server

from negset_api import names, validation
from negset_jobs import pipeline, revisions
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store

MINE, THEIRS = "1111", "2222"


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture(params=["a folder", "S3"])
def url(request, tmp_path) -> str:
    if request.param == "a folder":
        return str(tmp_path)
    return f"s3://{request.getfixturevalue('s3').bucket}/{tmp_path.name}"


def dataset(url: str, uid: str):
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street", "namespace": "team-a", "uid": uid},
        "spec": {
            "source": {"coco": {"annotations": "s3://a/b.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 100},
            "output": {"url": url},
        },
    }
    return validation.parse(document)


def revision(url: str, name: str, *owners: str) -> Store:
    store = Store(f"{names.dataset_root(url, 'team-a', 'street')}/{name}")
    for number in range(30):
        store.write(f"records/train-{number}.tfrecord", b"x")
    store.write(names.PLAN, b"{}")
    for uid in owners:
        store.write(names.owner(uid), b"")
    return store


def delete(url: str, uid: str = MINE) -> tuple[str, ...]:
    return revisions.delete(pipeline.prepare(dataset(url, uid), Access()))


def test_every_revision_that_the_object_made_goes(url):
    stores = [revision(url, name, MINE) for name in ("aaaa", "bbbb")]
    assert delete(url) == ()
    assert [store.keys() for store in stores] == [[], []]


def test_what_it_did_not_make_stays_whole_and_is_named(url):
    mine, anothers, nobodys = revision(url, "aaaa", MINE), revision(url, "bbbb", THEIRS), revision(url, "cccc")
    left = delete(url)
    assert mine.keys() == []
    assert (len(anothers.keys()), len(nobodys.keys())) == (32, 31)
    assert left == (
        f"{anothers.location('').rstrip('/')} (also made by {THEIRS})",
        f"{nobodys.location('').rstrip('/')} (not made by this object)",
    )


def test_what_two_made_goes_with_the_second(url):
    shared = revision(url, "aaaa", MINE, THEIRS)
    assert delete(url) == (f"{shared.location('').rstrip('/')} (also made by {THEIRS})",)
    assert len(shared.keys()) == 32
    assert delete(url, THEIRS) == ()
    assert shared.keys() == []


def test_a_deletion_that_was_cut_off_is_finished_by_the_next(url, monkeypatch):
    store = revision(url, "aaaa", MINE)
    removed = []

    def failing(store: Store, key: str) -> None:
        removed.append(key)
        if len(removed) > 5:
            raise ConnectionError
        store.remove([key])

    with monkeypatch.context() as patched:
        patched.setattr(revisions, "_remove", failing)
        with pytest.raises(ConnectionError):
            delete(url)
    assert store.exists(names.owner(MINE))
    assert delete(url) == ()
    assert store.keys() == []
