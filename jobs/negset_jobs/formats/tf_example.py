"""Encode and decode tf.train.Example with the Object Detection API's keys, without TensorFlow.

The encoder is our own, and writes the keys in sorted order: see jobs/README.md. The message is that
of tensorflow/core/example/{example,feature}.proto.

The keys are those of object_detection/core/standard_fields.py (`TfExampleFields`), as
`TfExampleDecoder` reads them.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from negset_api.errors import InvalidInput, WorkFailed
from negset_api.values import Box
from negset_jobs.formats import od_keys

# Tags of the wire format: field number << 3 | wire type. Length-delimited fields have type 2.
_FIELD_1: Final = b"\x0a"
_FIELD_2: Final = b"\x12"
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_MORE: Final = 0x80  # the bit of a varint's byte that says another follows
_ONE_BYTE: Final = [bytes((value,)) for value in range(_MORE)]
_KINDS: Final = {1: "bytes", 2: "float", 3: "int64"}  # the field numbers of Feature


def encode_example(
    *,
    encoded: bytes,
    image_format: str,
    file_name: str,
    source_id: str,
    sha256: str,
    height: int,
    width: int,
    boxes: Sequence[Box],
    label_ids: Mapping[str, int],
) -> bytes:
    """Return one image as a serialised tf.train.Example. The same arguments give the same bytes.

    `encoded` is the content of the image's file, `image_format` is "jpeg" or "png", `height` and
    `width` are in pixels. Boxes have corners normalised to [0, 1]. A negative has no boxes: its
    lists are present and empty. Raises `InvalidInput` if a box's class has no id in `label_ids`:
    the Object Detection API would silently decode such boxes without classes.
    """
    unknown = sorted({box.class_name for box in boxes} - label_ids.keys())
    if unknown:
        raise InvalidInput(f"{file_name}: expected an id in the label map for every class, found none for {', '.join(map(repr, unknown))}")
    parts = [  # in sorted order of the keys
        *_entry(od_keys.ENCODED, _bytes_list((encoded,))),
        *_entry(od_keys.FILENAME, _bytes_list((file_name.encode(),))),
        *_entry(od_keys.FORMAT, _bytes_list((image_format.encode(),))),
        *_entry(od_keys.HEIGHT, _int64_list((height,))),
        *_entry(od_keys.SHA256, _bytes_list((sha256.encode(),))),
        _objects(boxes, label_ids) if boxes else _NO_OBJECTS,
        *_entry(od_keys.SOURCE_ID, _bytes_list((source_id.encode(),))),
        *_entry(od_keys.WIDTH, _int64_list((width,))),
    ]
    return b"".join((_FIELD_1, _varint(sum(map(len, parts))), *parts))


def decode_example(payload: bytes) -> dict[str, list[Any]]:
    """Return the features of a serialised tf.train.Example: name → list of bytes, int or float.

    Raises `WorkFailed` if the bytes are not a tf.train.Example.
    """
    try:
        view = memoryview(payload)
        return {
            bytes(_only(entry, 1)).decode(): _feature_values(_only(entry, 2))
            for features in _fields(view, 1)
            for entry in _fields(features, 1)
        }
    except (IndexError, struct.error, ValueError) as error:
        raise WorkFailed("a record is not a tf.train.Example, or is damaged") from error


def _objects(boxes: Sequence[Box], label_ids: Mapping[str, int]) -> bytes:
    """Return the entries of the keys below image/object/, in sorted order."""
    entries = (
        _entry(od_keys.XMAX, _float_list([box.xmax for box in boxes])),
        _entry(od_keys.XMIN, _float_list([box.xmin for box in boxes])),
        _entry(od_keys.YMAX, _float_list([box.ymax for box in boxes])),
        _entry(od_keys.YMIN, _float_list([box.ymin for box in boxes])),
        _entry(od_keys.CLASS_LABEL, _int64_list([label_ids[box.class_name] for box in boxes])),
        _entry(od_keys.CLASS_TEXT, _bytes_list([box.class_name.encode() for box in boxes])),
        _entry(od_keys.DIFFICULT, _int64_list([int(box.difficult) for box in boxes])),
        _entry(od_keys.IS_CROWD, _int64_list([int(box.crowd) for box in boxes])),
        _entry(od_keys.TRUNCATED, _int64_list([int(box.truncated) for box in boxes])),
        # A crowd's box is neither one object nor background: an anchor that is matched to a box
        # with weight 0 carries no loss (core/target_assigner.py).
        _entry(od_keys.WEIGHT, _float_list([0.0 if box.crowd else 1.0 for box in boxes])),
    )
    return b"".join(part for entry in entries for part in entry)


def _entry(key: str, feature: list[bytes]) -> list[bytes]:
    """Return one entry of the map: a message with the key as field 1 and the value as field 2.

    It is field 1 of the message that contains the map.
    """
    head = _key(key)
    size = sum(map(len, feature))
    length = _varint(size)
    return [_FIELD_1, _varint(len(head) + len(length) + size), head, length, *feature]


@functools.cache
def _key(key: str) -> bytes:
    """Return the key of an entry, and the tag of the value that follows."""
    name = key.encode()
    return b"".join((_FIELD_1, _varint(len(name)), name, _FIELD_2))


def _bytes_list(values: Sequence[bytes]) -> list[bytes]:
    """Return the parts of a Feature.

    They are joined once, with the whole example, so that the image is copied once.
    """
    items = [part for value in values for part in (_FIELD_1, _varint(len(value)), value)]
    return [_BYTES_LIST, _varint(sum(map(len, items))), *items]


def _float_list(values: Sequence[float]) -> list[bytes]:
    return _packed(_FLOAT_LIST, struct.pack(f"<{len(values)}f", *values))


def _int64_list(values: Sequence[int]) -> list[bytes]:
    return _packed(_INT64_LIST, b"".join(_varint(value & 0xFFFFFFFFFFFFFFFF) for value in values))


def _packed(kind: bytes, packed: bytes) -> list[bytes]:
    """Return a list of numbers in one packed field. An empty list has the kind and no field."""
    items = _FIELD_1 + _varint(len(packed)) + packed if packed else b""
    return [kind, _varint(len(items)), items]


def _varint(value: int) -> bytes:
    """Encode in base 128, least significant group first, high bit set on all bytes but the last."""
    if value < _MORE:
        return _ONE_BYTE[value]
    groups = bytearray()
    while value >= _MORE:
        groups.append(value & 0x7F | _MORE)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_NO_OBJECTS: Final = _objects((), {})  # most images that negset writes are negatives


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at` and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        byte = view[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < _MORE:
            return value, at
    raise ValueError("a number has more than 64 bits")


def _read_fields(view: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Yield the fields of a message in order: number, wire type, value.

    A fixed-size value is yielded as its bytes.
    """
    at = 0
    while at < len(view):
        tag, at = _read_varint(view, at)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, at = _read_varint(view, at)
            yield tag >> 3, wire_type, value
            continue
        if wire_type == _DELIMITED:
            size, at = _read_varint(view, at)
        elif wire_type in (_FIXED32, _FIXED64):
            size = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if at + size > len(view):
            raise ValueError("a field is longer than its message")
        yield tag >> 3, wire_type, view[at : at + size]
        at += size


def _fields(view: memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the value of every length-delimited field with the number `wanted`."""
    for number, wire_type, value in _read_fields(view):
        if number == wanted and wire_type == _DELIMITED:
            assert isinstance(value, memoryview)
            yield value


def _only(view: memoryview, wanted: int) -> memoryview:
    """Return the field's last value, which counts if it is repeated; empty if it is absent."""
    return [memoryview(b""), *_fields(view, wanted)][-1]


def _feature_values(feature: memoryview) -> list[Any]:
    values: list[Any] = []
    for number, _, content in _read_fields(feature):
        kind = _KINDS.get(number)
        if kind is None or isinstance(content, int):
            continue
        values = [bytes(value) for value in _fields(content, 1)] if kind == "bytes" else list(_numbers(content, kind))
    return values


def _numbers(content: memoryview, kind: str) -> Iterator[float]:
    """Yield a list of numbers: packed into one field or, from other writers, one field each."""
    for number, _, value in _read_fields(content):
        if number != 1:
            continue
        if isinstance(value, int):
            yield _signed(value)
        elif kind == "float":
            yield from struct.unpack(f"<{len(value) // 4}f", value)
        else:
            at = 0
            while at < len(value):
                unsigned, at = _read_varint(value, at)
                yield _signed(unsigned)


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
