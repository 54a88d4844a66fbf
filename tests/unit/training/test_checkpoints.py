"""Checkpoints in the store: complete ones alone count, the newest three stay, and a failed upload is not swallowed."""

import pytest

from negset_api import names
from negset_api.errors import WorkFailed
from negset_jobs.store import Store
from negset_jobs.training.checkpoints import KEPT, Uploader, complete, download

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


def uploader(store, tmp_path, inputs="digest"):
    events = tmp_path / "events"
    events.mkdir(exist_ok=True)
    (events / "events.out.tfevents.1").write_text("events")
    return Uploader(store, 1, names.MINED, inputs, events=str(events))


def test_the_newest_three_stay_and_can_be_fetched(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        for step in (10, 20, 100, 200, 1000):
            uploads.save(write(tmp_path / "scratch", step), step, step * 8, step)
    found = complete(store, FOLDER, "digest")
    assert [checkpoint.step for checkpoint in found] == [100, 200, 1000]
    assert len(found) == KEPT
    assert len(store.keys(FOLDER)) == 3 * KEPT, "nothing of the older ones is left"
    assert (found[-1].pictures, found[-1].blanks) == (8000, 1000)
    assert store.read(f"{names.round_events(1)}/events.out.tfevents.1") == b"events"
    prefix = download(store, found[-1].prefix, str(tmp_path / "fetched"))
    with open(f"{prefix}.index", encoding="utf-8") as stream:
        assert stream.read() == "index 1000"
    # ckpt-100 is a prefix of ckpt-1000's name, and not of its files.
    assert len(list((tmp_path / "fetched").iterdir())) == 2
    download(store, found[0].prefix, str(tmp_path / "first"))
    assert sorted(path.name for path in (tmp_path / "first").iterdir()) == ["ckpt-100.data-00000-of-00001", "ckpt-100.index"]


def test_a_checkpoint_without_its_index_is_not_gone_on_from(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    for suffix in ("index", "data-00000-of-00001"):
        store.write(f"{FOLDER}/ckpt-20.{suffix}", b"half of it")
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10]


def test_a_damaged_index_is_not_gone_on_from(store, tmp_path):
    with uploader(store, tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    store.write(f"{FOLDER}/ckpt-20.json", b'{"step": ')
    assert [checkpoint.step for checkpoint in complete(store, FOLDER, "digest")] == [10]


def test_a_checkpoint_of_other_inputs_is_not_gone_on_from(store, tmp_path):
    with uploader(store, tmp_path, inputs="other") as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
    assert complete(store, FOLDER, "digest") == []


def test_a_missing_checkpoint_is_named(store, tmp_path):
    with pytest.raises(WorkFailed, match=r"expected a checkpoint at .*ckpt-7, found none"):
        download(store, f"{FOLDER}/ckpt-7", str(tmp_path))


def test_an_upload_that_fails_ends_the_training(tmp_path):
    (tmp_path / "store").write_text("a file where the folder should be")
    with pytest.raises(WorkFailed, match="cannot write"), uploader(Store(str(tmp_path / "store")), tmp_path) as uploads:
        uploads.save(write(tmp_path / "scratch", 10), 10, 80, 8)
