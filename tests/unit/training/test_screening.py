"""Unreadable records: counted, named, and skipped within a budget."""

import io

import pytest

from negset_api.errors import WorkFailed
from negset_jobs.adapters.store import Store
from negset_jobs.formats.stored_images import image_id, read_images
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.training import heldout
from negset_jobs.training.mix import Mix
from negset_jobs.training.screening import NAMED, Unreadable, require_within, screen_held_out, screen_training


def example(number, encoded=b"fine", **changed):
    fields = {"image_format": "jpeg", "file_name": "", "source_id": f"id-{number}", "sha256": "", "height": 2, "width": 2, **changed}
    return encode_example(encoded=encoded, boxes=[], label_ids={}, **fields)


def without(payload, key):
    """The record with the key renamed, which is as good as without it."""
    return payload.replace(key.encode(), key.upper().encode())


def file_of(*payloads, damaged=()):
    """The framed payloads; in those whose index is in `damaged`, one byte is changed."""
    parts = []
    for index, payload in enumerate(payloads):
        stream = io.BytesIO()
        write_record(stream, payload)
        data = bytearray(stream.getvalue())
        if index in damaged:
            data[20] ^= 1
        parts.append(bytes(data))
    return b"".join(parts)


def check(_, features):
    """Stands for the decoder."""
    return "" if features["image/encoded"] == [b"fine"] else "Unknown image file format"


BROKEN = {
    "an image that the decoder refuses": (
        file_of(example(0), example(1, b"no image"), example(2)),
        "train.tfrecord: record 1 (id id-1): Unknown image file format",
    ),
    "a frame whose checksum fails": (
        file_of(example(0), example(1), example(2), damaged={1}),
        f"train.tfrecord: record 1 (at byte {len(file_of(example(0)))}): damaged TFRecord file",
    ),
    "a record without an image": (
        file_of(example(0), without(example(1), "image/encoded"), example(2)),
        "it has no image/encoded",
    ),
    "a record without an id": (file_of(example(0), without(example(1), "image/source_id"), example(2)), "it has no image/source_id"),
    "bytes that are no example": (file_of(example(0), b"\xff" * 9, example(2)), "a record is not a tf.train.Example"),
}


def screened(tmp_path, content, *, max_failed_percent=50, **others):
    """Screens one file of positives; `others` are the contents of one file of each other kind."""
    contents = {"positives": content, **others}
    paths = {kind: str(tmp_path / f"{kind}.tfrecord") for kind in contents}
    for kind, data in contents.items():
        with open(paths[kind], "wb") as stream:
            stream.write(data)
    chosen = Mix(**dict.fromkeys(contents, ("train.tfrecord",)))
    local = Mix(**{kind: (path,) for kind, path in paths.items()})
    return screen_training(chosen, local, check, str(tmp_path / "readable"), max_failed_percent)


def ids_in(path):
    with open(path, "rb") as stream:
        return [image_id(features) for _, features, _ in read_images(stream, path)]


@pytest.mark.parametrize(("content", "name"), BROKEN.values(), ids=BROKEN)
def test_is_left_out_of_what_is_trained_on_and_named(tmp_path, content, name):
    local, unreadable = screened(tmp_path, content)
    assert (unreadable.records, unreadable.count) == (3, 1)
    assert name in unreadable.examples[0]
    (path,) = local.positives
    assert ids_in(path) == ["id-0", "id-2"]
    with open(path, "rb") as stream:
        assert len(list(read_records(stream))) == 2, "what is left reads without any care"


def test_a_file_in_which_all_is_readable_is_used_in_place(tmp_path):
    local, unreadable = screened(tmp_path, file_of(example(0), example(1)))
    assert local.positives == (str(tmp_path / "positives.tfrecord"),)
    assert unreadable == Unreadable(records=2)
    assert not (tmp_path / "readable").exists()


def test_more_than_the_budget_ends_the_round_with_the_count_and_three_examples(tmp_path):
    content = file_of(*(example(number, b"no image" if number < 4 else b"fine") for number in range(10)))
    assert screened(tmp_path, content, max_failed_percent=40)[1].count == 4
    with pytest.raises(WorkFailed) as caught:
        screened(tmp_path, content, max_failed_percent=39)
    message = str(caught.value)
    assert message.startswith("4 of 10 records to train on cannot be read, more than spec.download.maxFailedPercent (39) allows: ")
    assert [f"id-{number}" in message for number in range(4)] == [True, True, True, False]


def test_the_budget_is_of_all_files_of_the_round_together(tmp_path):
    bad, good = file_of(example(0, b"no image"), example(1)), file_of(*map(example, range(8)))
    assert screened(tmp_path, bad, negatives=good, max_failed_percent=10)[1].records == 10


def test_a_kind_of_which_nothing_is_left_ends_the_round_whatever_the_budget(tmp_path):
    bad, good = file_of(example(0, b"no image")), file_of(*map(example, range(8)))
    with pytest.raises(WorkFailed, match=r"none of the negatives to train on can be read: .*id-0"):
        screened(tmp_path, good, negatives=bad, max_failed_percent=100)


def test_ten_are_named_at_most():
    one = Unreadable(records=1, count=1, examples=("x",))
    total = sum([one] * 20, Unreadable())
    assert (total.count, len(total.examples)) == (20, NAMED)


@pytest.mark.parametrize("percent", [0, 5, 100])
def test_where_all_can_be_read_any_budget_holds(percent):
    require_within(Unreadable(records=7), percent, "records")


@pytest.mark.parametrize(("content", "name"), BROKEN.values(), ids=BROKEN)
def test_held_out_records_are_screened_and_measured_without_it(tmp_path, content, name):
    store = Store(str(tmp_path))
    store.write("train.tfrecord", content)
    found = screen_held_out(store, ["train.tfrecord"], check, 50)
    assert found.count == 1
    assert name in found.examples[0]
    with pytest.raises(WorkFailed, match="1 of 3 held-out records cannot be read"):
        screen_held_out(store, ["train.tfrecord"], check, 5)
    measured = [truth.image_id for truth, encoded in heldout.images(store, ["train.tfrecord"]) if encoded == b"fine"]
    assert measured == ["id-0", "id-2"]


def test_a_held_out_record_without_a_size_is_skipped_with_a_warning(tmp_path, caplog):
    store = Store(str(tmp_path))
    store.write("h.tfrecord", file_of(example(0), without(example(1), "image/width")))
    assert [truth.image_id for truth, _ in heldout.images(store, ["h.tfrecord"])] == ["id-0"]
    assert "record 1 (id id-1): its boxes or its size cannot be read" in caplog.text
