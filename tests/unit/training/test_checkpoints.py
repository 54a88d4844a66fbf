"""Checkpoints in the store.

Only complete ones count, the newest three stay, and a failed upload is reported.
"""

import logging
import re
from types import SimpleNamespace

import pytest

from negset_api import names
from negset_api.errors import InvalidInput, Unavailable, WorkFailed
from negset_jobs.adapters.store import Store
from negset_jobs.training import checkpoint_upload
from negset_jobs.training.checkpoint_upload import Uploader
from negset_jobs.training.checkpoints import KEPT, DamagedCheckpoint, complete, download, newest, of_round

FOLDER = names.round_checkpoints(1)


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path / "store") if request.param == "local" else f"memory://checkpoints-{tmp_path.name}")


def write(folder, step):
    """A checkpoint's files, as TensorFlow names them."""
    folder.mkdir(exist_ok=True)
    for suffix in ("index", "data-00000-of-00001"):
        (folder / f"ckpt-{step}.{suffix}").write_text(f"{suffix} {step}")
    return str(folder / f"ckpt-{step}")


def uploader(store, tmp_path, input_digest="digest", **options):
    events = tmp_path / "events"
    events.mkdir(exist_ok=True)
    (events / "events.out.tfevents.1").write_text("events")
    return Uploader(store, 1, names.MINED, input_digest, events=str(events), **options)


def test_the_newest_three_stay_and_can_be_fetched(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        for step in (10, 20, 100, 200, 1000):
            uploads.save(write(tmp_path / "scratch", step), step, step * 8, step)
    found = complete(store, FOLDER, "digest")
    assert [checkpoint.step for checkpoint in found] == [100, 200, 1000]
    assert len(found) == KEPT
    assert len(store.keys(FOLDER)) == 3 * KEPT, "nothing of the older ones is left"
    assert (found[-1].images, found[-1].images_without_boxes) == (8000, 1000)
    assert store.read(f"{names.round_events(1)}/events.out.tfevents.1") == b"events"
    prefix = download(store, found[-1].prefix, str(tmp_path / "fetched"))
    with open(f"{prefix}.index", encoding="utf-8") as stream:
        assert stream.read() == "index 1000"
    # ckpt-100 is a prefix of ckpt-1000's name, and not of its files.
    assert len(list((tmp_path / "fetched").iterdir())) == 2
    download(store, found[0].prefix, str(tmp_path / "first"))
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["ckpt-100.data-00000-of-00001", "ckpt-100.index"]


def test_a_checkpoint_without_its_index_is_not_resumed(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    for suffix in ("index", "data-00000-of-00001"):
        store.write(f"{FOLDER}/ckpt-20.{suffix}", b"half of it")
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10]


def test_a_damaged_index_is_not_resumed(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    store.write(f"{FOLDER}/ckpt-20.json", b'{"step": ')
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10]


def test_a_checkpoint_of_other_inputs_is_not_resumed(store, tmp_path):
    with uploader(store, tmp_path, input_digest="other") as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    assert complete(store, FOLDER, "digest") == []


class Away(Store):
    """A store that is unavailable for so many uploads, and counts the requests."""

    def __init__(self, url, *, times=0, files=""):
        super().__init__(url)
        self.times, self.files, self.asked = times, files, 0

    def put(self, source, key):
        if self.files in key:
            self.asked += 1
            if self.asked <= self.times:
                raise Unavailable("nothing answers")
        super().put(source, key)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(checkpoint_upload, "_FIRST_PAUSE", 0.05)


def test_a_store_that_is_away_for_a_while_loses_no_checkpoint(store, tmp_path, quick):
    away = Away(store.url, times=3)
    with uploader(away, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10]
    assert store.exists(f"{names.round_events(1)}/events.out.tfevents.1")


def test_a_training_goes_on_while_the_store_is_away_and_the_newest_checkpoint_is_uploaded(store, tmp_path, quick):
    away = Away(store.url, times=1 << 30)
    scratch = tmp_path / "scratch"
    with uploader(away, tmp_path) as uploads:
        for step in (10, 20, 30):
            uploads.save(write(scratch, step), step, 8 * step, step)
            for suffix in ("index", "data-00000-of-00001"):  # as TensorFlow removes the older ones
                (scratch / f"ckpt-{step - 10}.{suffix}").unlink(missing_ok=True)
        away.times = 0
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [30]


def test_a_store_that_does_not_come_back_is_reported_at_the_end(store, tmp_path, quick):
    uploads = uploader(Away(store.url, times=1 << 30), tmp_path, patience=0.2)
    with pytest.raises(Unavailable, match="nothing answers"), uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)


def test_an_event_file_ends_no_training(store, tmp_path, quick):
    with uploader(Away(store.url, times=1 << 30, files="events"), tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10]


def test_a_missing_checkpoint_is_named(store, tmp_path):
    with pytest.raises(WorkFailed, match=r"expected a checkpoint at .*ckpt-7, found none"):
        download(store, f"{FOLDER}/ckpt-7", str(tmp_path))


def test_an_upload_that_fails_ends_the_training(tmp_path):
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(WorkFailed, match="cannot write"), uploader(Store(str(tmp_path / "store")), tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)


DATA, TABLE, INDEX = (f"{FOLDER}/ckpt-30.{suffix}" for suffix in ("data-00000-of-00001", "index", "json"))
DAMAGES = {
    "the data cut": (lambda store: store.write(DATA, store.read(DATA)[:-3]), r"ckpt-30\.data.* is truncated .*expected 22 bytes, got 19"),
    "the data empty, as a full disk leaves it": (lambda store: store.write(DATA, b""), r"expected 22 bytes, got 0"),
    "a byte flipped": (
        lambda store: store.write(DATA, bytes([store.read(DATA)[0] ^ 1]) + store.read(DATA)[1:]),
        r"ckpt-30\.data.* is damaged: expected the SHA-256",
    ),
    "a file missing": (lambda store: store.remove([TABLE]), r"ckpt-30\.index is missing"),
    "a file of a checkpoint of the same name half uploaded": (
        lambda store: store.write(DATA, b"data-00000-of-00001 3?"),
        r"ckpt-30\.data.* is damaged",
    ),
    "the index cut": (lambda store: store.write(INDEX, store.read(INDEX)[:-20]), r"ckpt-30\.json, which is not the index of a checkpoint"),
    "the index missing": (lambda store: store.remove([INDEX]), None),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_skipped_with_a_warning_that_says_why(store, tmp_path, caplog, damage, message):
    with uploader(store, tmp_path) as uploads:
        for step in (10, 20, 30):
            uploads.save(write(tmp_path / "scratch", step), step, step * 8, step)
    damage(store)
    with caplog.at_level(logging.WARNING):
        found, prefix = newest(store, FOLDER, "digest", str(tmp_path / "start"))
    assert (found.step, found.images) == (20, 160)
    with open(f"{prefix}.data-00000-of-00001", encoding="utf-8") as stream:
        assert stream.read() == "data-00000-of-00001 20"
    if message:
        assert len(caplog.messages) == 1
        assert caplog.records[0].levelno == logging.WARNING
        assert re.search(message, caplog.messages[0])
    # The next attempt is not stopped by it, and it does not push a good one out.
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10, 20]


def test_if_every_checkpoint_is_damaged_there_is_none_to_resume_from(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        for step in (10, 20):
            uploads.save(write(tmp_path / "scratch", step), step, 0, 0)
    for step in (10, 20):
        store.write(f"{FOLDER}/ckpt-{step}.index", b"")
    assert newest(store, FOLDER, "digest", str(tmp_path / "start")) is None
    assert complete(store, FOLDER, "digest") == []


def test_the_checkpoint_of_a_finished_round_is_verified_too(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 30), 30, 0, 0)
    store.write(DATA, store.read(DATA)[:-1])
    with pytest.raises(DamagedCheckpoint, match="is truncated"):
        download(store, f"{FOLDER}/ckpt-30", str(tmp_path / "start"))


def test_a_round_whose_checkpoint_is_damaged_is_named_with_what_to_do(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 30), 30, 0, 0)
    store.write(DATA, b"")
    finished = SimpleNamespace(number=1, arm=names.MINED, checkpoint=f"{FOLDER}/ckpt-30")
    with pytest.raises(
        InvalidInput, match=r"^cannot use the checkpoint of round 1: .*is truncated.*; remove .*training/round-1 to train the round again$"
    ):
        of_round(store, finished, str(tmp_path / "start"))


def test_a_finished_rounds_checkpoint_whose_index_is_lost_is_used_with_a_warning(store, tmp_path, caplog):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 30), 30, 0, 0)
    store.remove([INDEX])
    download(store, f"{FOLDER}/ckpt-30", str(tmp_path / "start"))
    assert len(list((tmp_path / "start").iterdir())) == 2
    assert "without verification" in caplog.text


def test_a_store_that_is_away_removes_nothing(store, tmp_path, monkeypatch):
    """Only what was read and is wrong is damaged; a retry may read the rest."""
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 30), 30, 0, 0)

    def away(*_):
        raise WorkFailed("cannot read: connection reset")

    monkeypatch.setattr(Store, "get", away)
    with pytest.raises(WorkFailed, match="connection reset"):
        newest(store, FOLDER, "digest", str(tmp_path / "start"))
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [30]
