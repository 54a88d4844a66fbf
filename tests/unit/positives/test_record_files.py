"""A user's TFRecords, from the first scan to the files that a round reads.

Nothing may fail later than the scan.
"""

import io
import re

import pytest
from PIL import Image

from negset_api.spec import Download
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.formats import tf_example as wire
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.positives.record_files import Rules, copy_file, scan_file
from negset_jobs.positives.tfrecords import copy_tasks
from negset_jobs.training import heldout

WIDTH, HEIGHT = 64, 48
RULES = Rules(labels=None, wanted=frozenset({"cross"}), download=Download(), access=Access())


def image(number):
    stream = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (40 * number, 128, 255 - 40 * number)).save(stream, "JPEG")
    return stream.getvalue()


def features(number):
    """What another tool wrote: types and keys that the API reads, and an id."""
    return {
        "image/encoded": [image(number)],
        "image/format": [b"jpeg"],
        "image/filename": [f"{number}.jpg".encode()],
        "image/source_id": [f"id-{number}".encode()],
        "image/height": [HEIGHT],
        "image/width": [WIDTH],
        "image/object/bbox/ymin": [0.25, 0.0],
        "image/object/bbox/xmin": [0.25, 0.5],
        "image/object/bbox/ymax": [0.75, 0.5],
        "image/object/bbox/xmax": [0.75, 1.0],
        "image/object/class/text": [b"cross", b"cross"],
        "image/object/class/label": [1, 1],
        "image/object/is_crowd": [0, 1],
    }


def serialised(found):
    """The features as a tf.train.Example; the type of a list is that of its values."""
    lists = {bytes: wire._bytes_list, float: wire._float_list, int: wire._int64_list}
    parts = [part for key, values in found.items() for part in wire._entry(key, lists[type(values[0])](values))]
    return b"".join((b"\x0a", wire._varint(sum(map(len, parts))), *parts))


def written(folder, change):
    """Two records with the same change; None takes a key away."""
    path = folder / "theirs.tfrecord"
    with open(path, "wb") as stream:
        for number in range(2):
            changed = features(number) | change
            write_record(stream, serialised({key: values for key, values in changed.items() if values is not None}))
    return str(path)


def copied(folder, change):
    """Scans and copies the file.

    Returns the store and the keys of what is held out, which is all of it.
    """
    store = Store(str(folder / "store"))
    scanned = scan_file(written(folder, change), RULES)
    held_out = frozenset(record.key for record in scanned.records)
    (task,) = copy_tasks(store, [scanned], RULES, held_out, {"cross": 1})
    return store, [result.file for result in copy_file(task)]


KEPT = ["id-0", "id-1"]
READ = {
    "a record as the API wants it": ({}, KEPT),
    "no id, so the file name is the id": ({"image/source_id": None}, ["0.jpg", "1.jpg"]),
    "an id that is a number is that number as text": ({"image/source_id": [7]}, ["7", "7"]),
    "an id that is a whole float is that number as text": ({"image/source_id": [7.0]}, ["7", "7"]),
    "an id that is not UTF-8": ({"image/source_id": [b"\xff"]}, ["\ufffd", "\ufffd"]),
    "coordinates as text are those numbers": ({"image/object/bbox/ymin": [b"0.25", b"0"]}, KEPT),
    "coordinates as whole numbers": ({"image/object/bbox/ymin": [0.25, 0.0], "image/object/bbox/xmax": [1, 1]}, KEPT),
    "labels as floats": ({"image/object/class/label": [1.0, 1.0]}, KEPT),
    "labels as text": ({"image/object/class/label": [b"1", b"1"]}, KEPT),
    "crowds as text": ({"image/object/is_crowd": [b"0", b"1"]}, KEPT),
    "crowds as floats": ({"image/object/is_crowd": [0.0, 1.0]}, KEPT),
    "a height that is a float": ({"image/height": [float(HEIGHT)]}, KEPT),
    "an area that is a whole number": ({"image/object/area": [100, 200]}, KEPT),
    "fewer weights than boxes": ({"image/object/weight": [1.0]}, KEPT),
    "a format that would have the file read as pixels": ({"image/format": [b"raw"]}, KEPT),
    "a format that is a number": ({"image/format": [3]}, KEPT),
    "two file names": ({"image/filename": [b"a.jpg", b"b.jpg"]}, KEPT),
}


@pytest.mark.parametrize(("change", "ids"), READ.values(), ids=READ)
def test_what_the_scan_accepts_can_be_measured_with(tmp_path, change, ids):
    store, keys = copied(tmp_path, change)
    found = list(heldout.images(store, keys))
    assert [truth.image_id for truth, _ in found] == ids
    for number, (truth, encoded) in enumerate(found):
        assert encoded == image(number)
        assert (truth.width, truth.height) == (WIDTH, HEIGHT)
        assert [box.crowd for box in truth.objects] == [False, True]
        xmax = change.get("image/object/bbox/xmax", [0.75])[0]
        assert (truth.objects[0].ymin, truth.objects[0].xmin, truth.objects[0].xmax) == (0.25, 0.25, xmax)


def test_without_an_id_and_a_name_the_id_is_the_digest_of_the_image(tmp_path):
    store, keys = copied(tmp_path, {"image/source_id": None, "image/filename": None})
    ids = [truth.image_id for truth, _ in heldout.images(store, keys)]
    assert len(set(ids)) == 2
    assert all(len(image_id) == 64 for image_id in ids)


@pytest.mark.tensorflow
def test_what_the_scan_accepts_is_read_by_the_api(tmp_path):
    """One reader for all the cases: its import takes longer than they do together."""
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    import tensorflow as tf
    from object_detection.data_decoders.tf_example_decoder import TfExampleDecoder

    decoder = TfExampleDecoder()
    for name, (change, _) in READ.items():
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        store, keys = copied(folder, change)
        for payload in tf.data.TFRecordDataset([store.location(key) for key in keys]):
            found = decoder.decode(payload)
            assert found["groundtruth_boxes"].shape == (2, 4), name
            assert found["image"].shape == (HEIGHT, WIDTH, 3), name
            assert found["groundtruth_weights"].shape == (2,), name


REFUSED = {
    "coordinates that are words": (
        {"image/object/bbox/ymin": [b"top", b"top"]},
        r"record 0: expected numbers in image/object/bbox/ymin, got text that is not a number",
    ),
    "labels between two numbers": (
        {"image/object/class/label": [1.5, 1.5]},
        r"record 0: expected whole numbers in image/object/class/label, got 1\.5",
    ),
    "class names that are numbers": (
        {"image/object/class/text": [1, 1]},
        r"record 0: expected text in image/object/class/text, got the number 1",
    ),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_lossless_reading_is_a_failure_of_its_record(tmp_path, change, message):
    scanned = scan_file(written(tmp_path, change), RULES)
    assert [(record.outcome, record.shows) for record in scanned.records] == [("invalid_annotation", ())] * 2
    assert scanned.records[0].detail.startswith("spec.positives.tfrecords: ")
    assert re.search(message, scanned.records[0].detail)


def test_a_damaged_record_is_a_failure_and_the_others_of_its_file_are_copied(tmp_path):
    path = written(tmp_path, {})
    with open(path, "r+b") as stream:
        stream.seek(200)
        stream.write(b"damage")
    scanned = scan_file(path, RULES)
    assert [(record.key, record.outcome) for record in scanned.records] == [("theirs.tfrecord#0", "invalid_annotation"), ("id-1", "stored")]
    store = Store(str(tmp_path / "store"))
    (task,) = copy_tasks(store, [scanned], RULES, frozenset(), {"cross": 1})
    (result,) = copy_file(task)
    assert [(ended.image_id, ended.outcome) for ended in result.results] == [
        ("theirs.tfrecord#0", "invalid_annotation"),
        ("id-1", "stored"),
    ]
    assert [truth.image_id for truth, _ in heldout.images(store, [result.file])] == ["id-1"]


def test_a_class_in_another_spelling_is_scanned_and_stored_as_the_manifest_spells_it(tmp_path):
    store = Store(str(tmp_path / "out"))
    scanned = scan_file(str(written(tmp_path, {"image/object/class/text": [b"Cross ", b"CROSS"]})), RULES)
    assert {record.shows for record in scanned.records} == {("cross",)}
    (task, *_) = copy_tasks(store, [scanned], RULES, frozenset(), {"cross": 1})
    (result,) = copy_file(task)
    (_, payload), *_ = read_records(io.BytesIO(store.read(result.file)))
    assert wire.decode_example(payload)["image/object/class/text"] == [b"cross", b"cross"]
