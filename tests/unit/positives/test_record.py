"""One record of a user's TFRecords."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from negset_api.errors import InvalidInput
from negset_api.spec import Download
from negset_api.values import Box, Outcome
from negset_jobs.formats.boxes import Reason
from negset_jobs.formats.label_map import Item
from negset_jobs.formats.tf_example import decode_example, encode_example
from negset_jobs.positives.record import check_record, class_name, read_objects, stored_payload

WIDTH, HEIGHT = 200, 100
PERSON = Box(ymin=0.25, xmin=0.25, ymax=0.5, xmax=0.75, class_name="person")
CAR = Box(ymin=0, xmin=0.5, ymax=1, xmax=1, class_name="car", truncated=True)


def image(mode="RGB", kind="JPEG"):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(stream, kind)
    return stream.getvalue()


JPEG = image()


def payload(*boxes, encoded=JPEG, label_ids=None, **changed):
    fields = {
        "encoded": encoded,
        "image_format": "jpeg",
        "file_name": "a.jpg",
        "source_id": "7",
        "sha256": "",
        "height": HEIGHT,
        "width": WIDTH,
    }
    return encode_example(**{**fields, **changed}, boxes=boxes, label_ids=label_ids or {"person": 1, "car": 2})


def features(*boxes, **changed):
    return decode_example(payload(*boxes, **changed))


def checked(record_features, **download):
    objects = [(item.text, item) for item in read_objects(record_features, "here")]
    return check_record(record_features, objects, download=Download(**download), where="here")


def test_the_objects_of_a_record():
    person, car = read_objects(features(PERSON, CAR), "here")
    assert (person.corners, person.label, person.text, person.truncated) == ((0.25, 0.25, 0.5, 0.75), 1, "person", False)
    assert (car.corners, car.label, car.text, car.truncated) == ((0, 0.5, 1, 1), 2, "car", True)


def test_a_record_without_boxes_has_no_objects():
    assert read_objects(features(), "here") == ()
    assert read_objects({"image/encoded": [JPEG]}, "here") == ()


CONTRADICTORY = {
    "boxes without labels": (
        {"image/object/class/label": []},
        "here: expected image/object/class/label with an id for each of the 2 boxes, got 0; write one for each, because TensorFlow would read them as boxes without classes",
    ),
    "fewer labels than boxes": (
        {"image/object/class/label": [1]},
        "here: expected image/object/class/label with an id for each of the 2 boxes, got 1;",
    ),
    "fewer corners": (
        {"image/object/bbox/xmax": [1.0]},
        "here: expected the four corners of each box in image/object/bbox/*, got 2 ymin, 2 xmin, 2 ymax, 1 xmax",
    ),
    "fewer names": (
        {"image/object/class/text": [b"person"]},
        "here: expected image/object/class/text with a value for each of the 2 boxes or none, got 1",
    ),
    "more crowd marks": (
        {"image/object/is_crowd": [0, 0, 1]},
        "here: expected image/object/is_crowd with a value for each of the 2 boxes or none, got 3",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONTRADICTORY.values(), ids=CONTRADICTORY)
def test_lists_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(InvalidInput) as caught:
        read_objects(features(PERSON, CAR) | change, "here")
    assert str(caught.value).startswith(message)


def test_marks_and_names_may_be_absent():
    bare = features(CAR)
    for key in ("is_crowd", "difficult", "truncated", "class/text"):
        del bare[f"image/object/{key}"]
    (item,) = read_objects(bare, "here")
    assert (item.text, item.crowd, item.difficult, item.truncated) == ("", False, False, False)


LABELS = {1: Item(1, "person", "/m/01g317"), 3: Item(3, "car")}
NAMES = {
    "by the label map": (1, "person", LABELS, "person"),
    "by the label map, the record has the display name": (1, "/m/01g317", LABELS, "person"),
    "by the label map, the record has no name": (3, "", LABELS, "car"),
    "by the record, without a label map": (9, "dog", None, "dog"),
}


@pytest.mark.parametrize(("label", "text", "labels", "expected"), NAMES.values(), ids=NAMES)
def test_the_class_of_an_object(label, text, labels, expected):
    (item,) = read_objects(features(PERSON) | {"image/object/class/label": [label], "image/object/class/text": [text.encode()]}, "here")
    assert class_name(item, labels, "here") == expected


UNNAMED = {
    "a label that the label map does not have": (
        2,
        "car",
        LABELS,
        "here: expected labels of spec.positives.labelMap, got 2 (class 'car')",
    ),
    "a name that contradicts the label map": (
        1,
        "car",
        LABELS,
        "here: spec.positives.labelMap calls label 1 'person', the record calls it 'car'",
    ),
    "neither a name nor a label map": (
        1,
        "",
        None,
        "here: expected image/object/class/text for each box, or spec.positives.labelMap to name label 1",
    ),
}


@pytest.mark.parametrize(("label", "text", "labels", "message"), UNNAMED.values(), ids=UNNAMED)
def test_labels_without_a_meaning_are_refused(label, text, labels, message):
    (item,) = read_objects(features(PERSON) | {"image/object/class/label": [label], "image/object/class/text": [text.encode()]}, "here")
    with pytest.raises(InvalidInput) as caught:
        class_name(item, labels, "here")
    assert str(caught.value) == message


KEYS = {
    "its source id": ({}, "7"),
    "its file name where it has no id": ({"source_id": ""}, "a.jpg"),
    "the digest of its bytes where it has neither": ({"source_id": "", "file_name": ""}, hashlib.sha256(JPEG).hexdigest()),
}


@pytest.mark.parametrize(("change", "key"), KEYS.values(), ids=KEYS)
def test_an_image_is_known_by(change, key):
    assert checked(features(PERSON, **change)).key == key


def test_a_good_record_is_stored_with_its_boxes():
    record = checked(features(PERSON, CAR))
    assert (record.outcome, record.boxes, record.rejected) == (Outcome.STORED, (PERSON, CAR), ())


OUTCOMES = {
    "an image that is cut off": (features(PERSON, encoded=JPEG[:-200]), Outcome.TRUNCATED),
    "a page instead of an image": (features(PERSON, encoded=b"<html>no</html>"), Outcome.NOT_AN_IMAGE),
    "no usable box": (features(PERSON) | {"image/object/bbox/ymax": [0.25]}, Outcome.INVALID_BOX),
    "a crowd and no usable object": (
        features(PERSON, CAR) | {"image/object/is_crowd": [1, 0], "image/object/bbox/xmin": [0.25, 1.0]},
        Outcome.INVALID_BOX,
    ),
}


@pytest.mark.parametrize(("record_features", "outcome"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_slip_of_one_image_is_its_outcome(record_features, outcome):
    record = checked(record_features)
    assert (record.outcome, record.image, record.boxes) == (outcome, None, ())
    assert record.detail


def test_a_slip_of_one_box_is_a_rejected_box():
    record = checked(features(PERSON, CAR) | {"image/object/bbox/xmax": [0.25, 1.0]})
    assert record.boxes == (CAR,)
    assert [(box.image_id, box.class_name, box.reason) for box in record.rejected] == [("7", "person", Reason.NO_EXTENT)]


def test_a_record_without_an_image_is_refused():
    with pytest.raises(InvalidInput, match=r"^here: expected the image's bytes in image/encoded, found none$"):
        checked(features(PERSON, encoded=b""))


def hollow_png():
    """A PNG whose chunks and checksums are right and whose pixel data is none."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))  # noqa: E731
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"no pixels") + chunk(b"IEND", b"")


@pytest.mark.parametrize("verify", ["Structure", "Decode"])
def test_an_image_that_cannot_be_decoded_is_an_outcome(verify):
    assert checked(features(PERSON, encoded=hollow_png()), verify=verify).outcome is Outcome.UNDECODABLE


def rewritten(data, label_ids=None, wanted=("person", "car")):
    found = decode_example(data)
    objects = [(item.text, item) for item in read_objects(found, "here") if item.text in wanted]
    record = check_record(found, objects, download=Download(), where="here")
    return stored_payload(record, data, found, label_ids or {"person": 1, "car": 2})


def with_mask(data):
    """The record with a key of another kind.

    A serialised map entry appended to the message is one more feature.
    """
    key, feature = b"image/object/mask", b"\x0a\x06\x0a\x04mask"
    entry = b"\x0a" + bytes([len(key)]) + key + b"\x12" + bytes([len(feature)]) + feature
    message = b"\x0a" + bytes([len(entry)]) + entry
    return data + b"\x0a" + bytes([len(message)]) + message


def test_a_record_that_says_what_is_wanted_keeps_its_bytes_with_keys_that_negset_does_not_know():
    data = with_mask(payload(PERSON, CAR))
    assert decode_example(data)["image/object/mask"] == [b"mask"]
    assert rewritten(data) == data


REWRITTEN = {
    "where labels change": (payload(PERSON, CAR, label_ids={"person": 1, "car": 3}), ("person", "car"), [1, 2]),
    "where a class is not trained": (payload(CAR, PERSON), ("person",), [1]),
    "where a box overhangs": (payload(PERSON, Box(ymin=0, xmin=0.5, ymax=1, xmax=1.25, class_name="car")), ("person", "car"), [1, 2]),
    "where the size is wrong": (payload(PERSON, width=1), ("person",), [1]),
    "where the image has to be transcoded": (payload(PERSON, encoded=image("CMYK")), ("person",), [1]),
}


@pytest.mark.parametrize(("data", "wanted", "labels"), REWRITTEN.values(), ids=REWRITTEN)
def test_a_record_is_rewritten(data, wanted, labels):
    found = decode_example(rewritten(data, wanted=wanted))
    assert found["image/object/class/label"] == labels
    assert (found["image/width"], found["image/height"]) == ([WIDTH], [HEIGHT])
    assert max(found["image/object/bbox/xmax"]) <= 1
    assert Image.open(io.BytesIO(found["image/encoded"][0])).mode == "RGB"
