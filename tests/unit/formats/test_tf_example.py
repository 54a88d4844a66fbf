import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negset_api.errors import InvalidInput, WorkFailed
from negset_api.values import Box
from negset_jobs.formats.tf_example import decode_example, encode_example

EMPTY_WHEN_NEGATIVE = [
    "image/object/bbox/xmax",
    "image/object/bbox/xmin",
    "image/object/bbox/ymax",
    "image/object/bbox/ymin",
    "image/object/class/label",
    "image/object/class/text",
    "image/object/difficult",
    "image/object/is_crowd",
    "image/object/truncated",
    "image/object/weight",
]


def example(*, boxes=(), label_ids=None, **changes) -> bytes:
    fields = {
        "encoded": b"\xff\xd8",
        "image_format": "jpeg",
        "file_name": "straße.jpg",
        "source_id": "42",
        "sha256": "ab" * 32,
        "height": 480,
        "width": 640,
    }
    return encode_example(**{**fields, **changes}, boxes=boxes, label_ids=label_ids or {})


def box(**changes) -> Box:
    return Box(**{"ymin": 0.25, "xmin": 0.5, "ymax": 0.75, "xmax": 1.0, "class_name": "cat", **changes})


def test_a_negative_has_every_key_and_empty_lists_of_objects():
    features = decode_example(example())
    assert list(features) == sorted(features)
    assert [key for key, values in features.items() if not values] == EMPTY_WHEN_NEGATIVE
    assert features["image/encoded"] == [b"\xff\xd8"]
    assert features["image/filename"] == ["straße.jpg".encode()]
    assert features["image/format"] == [b"jpeg"]
    assert features["image/source_id"] == [b"42"]
    assert features["image/key/sha256"] == [b"ab" * 32]
    assert (features["image/height"], features["image/width"]) == ([480], [640])


def test_a_positive_keeps_its_boxes_in_order():
    boxes = (box(crowd=True), box(class_name="dog", ymin=0.0, difficult=True), box(truncated=True))
    features = decode_example(example(boxes=boxes, label_ids={"cat": 1, "dog": 300}))
    assert features["image/object/class/text"] == [b"cat", b"dog", b"cat"]
    assert features["image/object/class/label"] == [1, 300, 1]
    assert features["image/object/bbox/ymin"] == [0.25, 0.0, 0.25]
    assert features["image/object/bbox/xmax"] == [1.0, 1.0, 1.0]
    assert features["image/object/is_crowd"] == [1, 0, 0]
    assert features["image/object/difficult"] == [0, 1, 0]
    assert features["image/object/truncated"] == [0, 0, 1]
    assert features["image/object/weight"] == [0.0, 1.0, 1.0], "a crowd's box is not learned"


def test_a_box_without_an_id_for_its_class_is_refused():
    with pytest.raises(InvalidInput, match=r"straße\.jpg: expected an id in the label map for every class, found none for 'dog'"):
        example(boxes=(box(), box(class_name="dog")), label_ids={"cat": 1})


@given(st.binary(max_size=400), st.text(max_size=20), st.integers(0, 2**31), st.lists(st.floats(0, 1, width=32), max_size=5))
def test_encoding_is_deterministic_and_loses_nothing(encoded, file_name, height, corners):
    boxes = tuple(box(ymin=corner) for corner in corners)
    payload = example(encoded=encoded, file_name=file_name, height=height, boxes=boxes, label_ids={"cat": 1})
    assert payload == example(encoded=encoded, file_name=file_name, height=height, boxes=boxes, label_ids={"cat": 1})
    features = decode_example(payload)
    assert features["image/encoded"] == [encoded]
    assert features["image/filename"] == [file_name.encode()]
    assert features["image/height"] == [height]
    assert features["image/object/bbox/ymin"] == corners


def delimited(tag: int, content: bytes) -> bytes:
    return bytes((tag, len(content))) + content


def foreign(feature: bytes) -> bytes:
    """Return an example with the one feature "f", as another writer may encode it."""
    return delimited(0x0A, delimited(0x0A, delimited(0x0A, b"f") + delimited(0x12, feature)))


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        pytest.param(delimited(0x1A, b"\x08\x05\x08\x07"), [5, 7], id="integers that are not packed"),
        pytest.param(delimited(0x12, b"\x0d" + struct.pack("<f", 0.5)), [0.5], id="floats that are not packed"),
        pytest.param(delimited(0x1A, delimited(0x0A, b"\xff" * 9 + b"\x01")), [-1], id="a negative integer"),
        pytest.param(b"", [], id="a feature without a kind"),
        pytest.param(delimited(0x1A, b""), [], id="an empty list"),
    ],
)
def test_what_other_writers_write_is_read(feature, values):
    assert decode_example(foreign(feature)) == {"f": values}


@pytest.mark.parametrize("damaged", [b"\x0a\x7fabc", b"\x0a", b"\x0b\x00", b"\x0a\x05hello", b"\xff" * 12])
def test_what_is_not_an_example_is_refused(damaged):
    with pytest.raises(WorkFailed, match=r"not a tf\.train\.Example"):
        decode_example(damaged)
