"""One record of a user's TFRecords, checked against the label map and the image itself.

A record with a mistake of the program that wrote it raises `InvalidInput`. Examples are missing
labels, a label that is not in the label map, and lists of different lengths. As for the other kinds
of positives, a mistake in a single record or image is an outcome, and one in a single box is a
rejected box. A program's mistake affects most records, and these are refused by their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_api.spec import Download
from negset_api.values import Box, Outcome
from negset_jobs.adapters.quoting import quoted
from negset_jobs.download.failure import Failed
from negset_jobs.download.orientation import Reading, is_upright, orientation_of, turned
from negset_jobs.download.verify import EncodedImage, inspect, stored_form
from negset_jobs.formats import od_keys
from negset_jobs.formats.boxes import Corners, Reason, fit
from negset_jobs.formats.class_names import key
from negset_jobs.formats.label_map import Item
from negset_jobs.formats.tf_example import decode_example, encode_example
from negset_jobs.positives.annotated import RejectedBox, shown_classes

_CORNERS: Final = tuple(f"image/object/bbox/{corner}" for corner in Corners._fields)
_LABEL: Final = od_keys.CLASS_LABEL
_TEXT: Final = od_keys.CLASS_TEXT
_FLAGS: Final = (od_keys.IS_CROWD, od_keys.DIFFICULT, od_keys.TRUNCATED)
_DECISIVE: Final = (od_keys.ENCODED, od_keys.SOURCE_ID, od_keys.HEIGHT, od_keys.WIDTH, *_CORNERS, _LABEL, _TEXT)
# The other keys that the API reads from every record (data_decoders/tf_example_decoder.py,
# keys_to_features). A value of another type, or another number of values, ends the training.
_SINGLE: Final = (od_keys.FORMAT, od_keys.FILENAME, od_keys.SHA256)
_PER_OBJECT: Final = {
    **dict.fromkeys((*_FLAGS, od_keys.GROUP_OF), int),
    **dict.fromkeys((od_keys.AREA, od_keys.WEIGHT), float),
}
_PER_IMAGE: Final = {
    od_keys.IMAGE_CLASS_TEXT: bytes,
    od_keys.IMAGE_CLASS_LABEL: int,
    od_keys.IMAGE_CLASS_CONFIDENCE: float,
    od_keys.NEG_CATEGORY_IDS: int,
    od_keys.NOT_EXHAUSTIVE_CATEGORY_IDS: int,
}
_UNKNOWN: Final = Reading()
_MEGA: Final = 1_000_000

Features = Mapping[str, Sequence[Any]]


class RecordObject(NamedTuple):
    """One object of a record.

    It has normalised corners, the id in the user's label map, and the class name, empty if the
    record has none.
    """

    corners: Corners
    label: int
    text: str
    crowd: bool
    difficult: bool
    truncated: bool


class CheckedRecord(NamedTuple):
    """A record of an image that shows a wanted class.

    `key` identifies the image. `image` is None unless the outcome is stored. `orientation` is that
    of its EXIF, `turned` is True if `image` was turned upright. `width` and `height` are the
    image's in pixels as the boxes see it, 0 if it cannot be read.
    """

    key: str
    file_name: str
    source_id: str
    outcome: Outcome
    detail: str
    image: EncodedImage | None
    boxes: tuple[Box, ...]
    rejected: tuple[RejectedBox, ...]
    orientation: int = 1
    turned: bool = False
    width: int = 0
    height: int = 0


def failed_record(key: str, problem: str) -> CheckedRecord:
    """Return a record that cannot be read, and why."""
    return CheckedRecord(key, "", "", Outcome.INVALID_ANNOTATION, problem, None, (), ())


def read_objects(features: Features, where: str) -> tuple[RecordObject, ...]:
    """Return the objects of a record, in its order.

    Raises `InvalidInput`, naming `where`, if the lists do not match.
    """
    corners = [_numbers(features, key, where) for key in _CORNERS]
    count = len(corners[0])
    if any(len(values) != count for values in corners):
        lengths = ", ".join(f"{len(values)} {field}" for field, values in zip(Corners._fields, corners, strict=True))
        raise InvalidInput(f"{where}: expected the four corners of each box in image/object/bbox/*, got {lengths}")
    labels = [_integer(value, _LABEL, where) for value in features.get(_LABEL, ())]
    if len(labels) != count:
        raise InvalidInput(
            f"{where}: expected {_LABEL} with an id for each of the {count} boxes, got {len(labels)}; write one for each, because TensorFlow would read them as boxes without classes"
        )
    texts = [_text(value, _TEXT, where) for value in _optional(features, _TEXT, count, b"", where)]
    flags = [[_number(value, key, where) != 0 for value in _optional(features, key, count, 0, where)] for key in _FLAGS]
    rows = zip(zip(*corners, strict=True), labels, texts, *flags, strict=True)
    return tuple(RecordObject(Corners(*box), *row) for box, *row in rows)


def class_name(item: RecordObject, labels: Mapping[int, Item] | None, where: str) -> str:
    """Return the class of an object.

    It is the label map's name for its label or, without a label map (None), the record's own text.
    Raises `InvalidInput` if they contradict each other.
    """
    if labels is None:
        if not item.text:
            raise InvalidInput(f"{where}: expected {_TEXT} for each box, or spec.positives.labelMap to name label {item.label}")
        return item.text
    known = labels.get(item.label)
    if known is None:
        raise InvalidInput(f"{where}: expected labels of spec.positives.labelMap, got {item.label} (class {quoted(item.text)})")
    if item.text and key(item.text) not in map(key, (known.name, known.display_name)):
        raise InvalidInput(
            f"{where}: spec.positives.labelMap calls label {item.label} {quoted(known.name)}, the record calls it {quoted(item.text)}"
        )
    return known.name


def check_record(
    features: Features, objects: Sequence[tuple[str, RecordObject]], *, download: Download, where: str, reading: Reading = _UNKNOWN
) -> CheckedRecord:
    """Return the record of an image that shows `objects`, pairs of class name and object.

    Raises `InvalidInput`, naming `where`, if the record has no image at all.
    """
    encoded, name = _first_bytes(features, od_keys.ENCODED), _first_bytes(features, od_keys.FILENAME).decode("utf-8", "replace")
    if not encoded:
        raise InvalidInput(f"{where}: expected the image's bytes in image/encoded, found none")
    source_id = _source_id(features)
    # Measuring and mining identify an image by this id, so every record needs one.
    key = source_id or name or hashlib.sha256(encoded).hexdigest()
    result = CheckedRecord(key, name, source_id, Outcome.STORED, "", None, (), ())
    try:
        image = stored_form(inspect(encoded, download.max_image_megapixels * _MEGA), download.verify)
        result = result._replace(orientation=orientation_of(image), width=image.width, height=image.height)
        if _is_upright(image, features, result.orientation, reading):
            image = turned(image, result.orientation)
            result = result._replace(turned=True, width=image.width, height=image.height)
    except Failed as failure:
        return result._replace(outcome=failure.outcome, detail=failure.detail)
    boxes, rejected = _boxes(objects, image, key, name)
    if not shown_classes(boxes):
        return result._replace(outcome=Outcome.INVALID_BOX, detail="no object has a usable box", rejected=rejected)
    return result._replace(image=image, boxes=boxes, rejected=rejected)


def stored_payload(record: CheckedRecord, payload: bytes, features: Features, label_ids: Mapping[str, int]) -> bytes:
    """Return the bytes to store for a record.

    They are the record's own bytes if these have the wanted content. Otherwise the same image and
    boxes are written again, without keys that negset does not know.
    """
    assert record.image is not None
    rewritten = encode_example(
        encoded=record.image.encoded,
        image_format=record.image.format,
        file_name=record.file_name,
        source_id=record.source_id or record.key,
        sha256=hashlib.sha256(record.image.encoded).hexdigest(),
        height=record.image.height,
        width=record.image.width,
        boxes=record.boxes,
        label_ids=label_ids,
    )
    decided = decode_example(rewritten)
    unchanged = all(_same(features.get(key, ()), decided[key]) for key in _DECISIVE) and _same_crowds(features, record.boxes)
    return payload if unchanged and _readable(features) else rewritten


def _same_crowds(features: Features, boxes: Sequence[Box]) -> bool:
    flags = features.get(od_keys.IS_CROWD, ())
    return not flags or [float(flag) != 0 for flag in flags] == [box.crowd for box in boxes]


def recorded_size(features: Features) -> tuple[int, int]:
    """Return the width and height that a record has for its image, in pixels; 0 for none."""
    width, height = (next(iter(features.get(key, ())), 0) for key in (od_keys.WIDTH, od_keys.HEIGHT))
    return (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)


def _is_upright(image: EncodedImage, features: Features, orientation: int, reading: Reading) -> bool:
    # A size that is that of neither image says nothing. The boxes are fractions of any size.
    stored = (image.width, image.height)
    width, height = size if (size := recorded_size(features)) in (stored, stored[::-1]) else (0, 0)
    return is_upright(image, orientation, width=width, height=height, reading=reading)


def _boxes(
    objects: Sequence[tuple[str, RecordObject]], image: EncodedImage, key: str, file_name: str
) -> tuple[tuple[Box, ...], tuple[RejectedBox, ...]]:
    boxes: list[Box] = []
    rejected: list[RejectedBox] = []
    for name, item in objects:
        box = fit(item.corners, height=image.height, width=image.width)
        if isinstance(box, Reason):
            given = f"[{', '.join(map(str, item.corners))}]"
            rejected.append(RejectedBox(image_id=key, file_name=file_name, class_name=name, reason=box, given=given))
        else:
            flags = {"crowd": item.crowd, "difficult": item.difficult, "truncated": item.truncated}
            boxes.append(Box(**box._asdict(), class_name=name, **flags))
    return tuple(boxes), tuple(rejected)


def _optional(features: Features, key: str, count: int, default: Any, where: str) -> Sequence[Any]:
    """Return a list with a value for each box, or an empty list."""
    values = features.get(key, ())
    if len(values) not in (0, count):
        raise InvalidInput(f"{where}: expected {key} with a value for each of the {count} boxes or none, got {len(values)}")
    return values or [default] * count


def _same(values: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Return True if two lists have equal values of the same types; 1 and 1.0 are different."""
    return list(values) == list(wanted) and [type(value) for value in values] == [type(value) for value in wanted]


def _readable(features: Features) -> bool:
    """Return True if the API's decoder can read the keys that do not decide what is stored."""
    count = len(features.get(_LABEL, ()))
    single = all(key not in features or [type(value) for value in features[key]] == [bytes] for key in _SINGLE)
    lists = {key: features.get(key, ()) for key in (*_PER_OBJECT, *_PER_IMAGE)}
    typed = all(isinstance(value, (_PER_OBJECT | _PER_IMAGE)[key]) for key, values in lists.items() for value in values)
    complete = all(len(lists[key]) in (0, count) for key in _PER_OBJECT)
    # In this format, the decoder reads the bytes as the pixels themselves.
    raw = _first_bytes(features, od_keys.FORMAT).lower() == b"raw"
    return single and typed and complete and not raw


def _source_id(features: Features) -> str:
    """Return the id that a record has for its image, numbers as text; empty if it has none."""
    values = features.get(od_keys.SOURCE_ID, ())
    value = values[0] if values else b""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(int(value)) if float(value).is_integer() else str(value)


def _numbers(features: Features, key: str, where: str) -> list[float]:
    return [_number(value, key, where) for value in features.get(key, ())]


def _number(value: Any, key: str, where: str) -> float:
    """Return a number, given as a number or as its text. Raises `InvalidInput` if it is neither."""
    try:
        return float(value)
    except ValueError as error:
        raise InvalidInput(f"{where}: expected numbers in {key}, got text that is not a number; write them as numbers") from error


def _integer(value: Any, key: str, where: str) -> int:
    if isinstance(value, int):
        return value
    number = _number(value, key, where)
    if not number.is_integer():
        raise InvalidInput(f"{where}: expected whole numbers in {key}, got {number}; write the ids of the label map")
    return int(number)


def _text(value: Any, key: str, where: str) -> str:
    if not isinstance(value, bytes):
        raise InvalidInput(f"{where}: expected text in {key}, got the number {value}; write the class names there, or leave the key out")
    return value.decode("utf-8", "replace")


def _first_bytes(features: Features, key: str) -> bytes:
    values = features.get(key, ())
    value = values[0] if values else b""
    return value if isinstance(value, bytes) else b""
