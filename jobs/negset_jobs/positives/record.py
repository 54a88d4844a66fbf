"""One record of a user's TFRecords: what its features say, checked against the label map and against the picture itself.

A slip in how the records were made (no labels, a label that the label map does not know, lists of different lengths) is in all of them and stops the work with `InvalidInput`.
A slip of a single picture or box (not decodable, no extent) is an outcome or a rejected box, as it is for the other kinds of positives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_api.spec import Download
from negset_api.values import Box, Outcome
from negset_jobs.fetching.failure import Failed
from negset_jobs.fetching.verify import Picture, decode, inspect, transcode
from negset_jobs.positives.annotated import RejectedBox, shown_classes
from negset_jobs.positives.boxes import Corners, Reason, fit
from negset_jobs.positives.label_map import Item
from negset_jobs.records.example import decode_example, encode_example

_CORNERS: Final = tuple(f"image/object/bbox/{corner}" for corner in Corners._fields)
_LABEL: Final = "image/object/class/label"
_TEXT: Final = "image/object/class/text"
_FLAGS: Final = ("image/object/is_crowd", "image/object/difficult", "image/object/truncated")
_DECISIVE: Final = ("image/encoded", "image/height", "image/width", *_CORNERS, _LABEL, _TEXT)
_MEGA: Final = 1_000_000

Features = Mapping[str, Sequence[Any]]


class RecordObject(NamedTuple):
    """One object as a record has it: normalised corners, the id in the user's label map, and the class name, empty where the record has none."""

    corners: Corners
    label: int
    text: str
    crowd: bool
    difficult: bool
    truncated: bool


class CheckedRecord(NamedTuple):
    """A record of a picture that shows a wanted class. `key` says which picture it is, `picture` is None unless the outcome is stored."""

    key: str
    file_name: str
    source_id: str
    outcome: Outcome
    detail: str
    picture: Picture | None
    boxes: tuple[Box, ...]
    rejected: tuple[RejectedBox, ...]


def read_objects(features: Features, where: str) -> tuple[RecordObject, ...]:
    """The objects of a record, in its order. Raises `InvalidInput`, naming `where`, where the lists do not belong together."""
    corners = [features.get(key, ()) for key in _CORNERS]
    count = len(corners[0])
    if any(len(values) != count for values in corners):
        lengths = ", ".join(f"{len(values)} {field}" for field, values in zip(Corners._fields, corners, strict=True))
        raise InvalidInput(f"{where}: expected the four corners of each box in image/object/bbox/*, got {lengths}")
    labels = features.get(_LABEL, ())
    if len(labels) != count:
        raise InvalidInput(
            f"{where}: expected {_LABEL} with an id for each of the {count} boxes, got {len(labels)}; TensorFlow would read them as boxes without classes"
        )
    texts = [text.decode("utf-8", "replace") for text in _optional(features, _TEXT, count, b"", where)]
    flags = [[bool(value) for value in _optional(features, key, count, 0, where)] for key in _FLAGS]
    rows = zip(zip(*corners, strict=True), labels, texts, *flags, strict=True)
    return tuple(RecordObject(Corners(*box), *row) for box, *row in rows)


def class_name(item: RecordObject, labels: Mapping[int, Item] | None, where: str) -> str:
    """The class of an object: the label map's name for its label or, without a label map (None), its own text. Raises `InvalidInput` where they contradict each other."""
    if labels is None:
        if not item.text:
            raise InvalidInput(f"{where}: expected {_TEXT} for each box, or spec.positives.labelMap to say what label {item.label} is")
        return item.text
    known = labels.get(item.label)
    if known is None:
        raise InvalidInput(f"{where}: expected labels that spec.positives.labelMap has, got {item.label} (class {item.text!r})")
    if item.text and item.text not in (known.name, known.display_name):
        raise InvalidInput(f"{where}: spec.positives.labelMap calls label {item.label} {known.name!r}, the record calls it {item.text!r}")
    return known.name


def check_record(features: Features, objects: Sequence[tuple[str, RecordObject]], *, download: Download, where: str) -> CheckedRecord:
    """The record of a picture that shows `objects`, pairs of class name and object. Raises `InvalidInput`, naming `where`, where the record has no picture at all."""
    encoded, file_name, source_id = (_first(features, f"image/{name}") for name in ("encoded", "filename", "source_id"))
    if not encoded:
        raise InvalidInput(f"{where}: expected the picture's bytes in image/encoded, found none")
    name = file_name.decode("utf-8", "replace")
    key = source_id.decode("utf-8", "replace") or name or hashlib.sha256(encoded).hexdigest()
    result = CheckedRecord(key, name, source_id.decode("utf-8", "replace"), Outcome.STORED, "", None, (), ())
    try:
        picture = _picture(encoded, download)
    except Failed as failure:
        return result._replace(outcome=failure.outcome, detail=failure.detail)
    boxes, rejected = _boxes(objects, picture, key, name)
    if not shown_classes(boxes):
        return result._replace(outcome=Outcome.INVALID_BOX, detail="no object has a usable box", rejected=rejected)
    return result._replace(picture=picture, boxes=boxes, rejected=rejected)


def stored_payload(record: CheckedRecord, payload: bytes, features: Features, label_ids: Mapping[str, int]) -> bytes:
    """What is stored for a record: its own bytes where they say what is wanted, else the same picture and boxes written anew, without keys that negset does not know."""
    assert record.picture is not None
    anew = encode_example(
        encoded=record.picture.encoded,
        image_format=record.picture.format,
        file_name=record.file_name,
        source_id=record.source_id or record.key,
        sha256=hashlib.sha256(record.picture.encoded).hexdigest(),
        height=record.picture.height,
        width=record.picture.width,
        boxes=record.boxes,
        label_ids=label_ids,
    )
    wanted = decode_example(anew)
    return payload if all(list(features.get(key, ())) == wanted[key] for key in _DECISIVE) else anew


def _picture(encoded: bytes, download: Download) -> Picture:
    picture = inspect(encoded, download.max_image_megapixels * _MEGA)
    if not picture.ready:
        return transcode(picture)
    if download.verify == "Decode":
        decode(picture)
    return picture


def _boxes(
    objects: Sequence[tuple[str, RecordObject]], picture: Picture, key: str, file_name: str
) -> tuple[tuple[Box, ...], tuple[RejectedBox, ...]]:
    boxes: list[Box] = []
    rejected: list[RejectedBox] = []
    for name, item in objects:
        box = fit(item.corners, height=picture.height, width=picture.width)
        if isinstance(box, Reason):
            given = f"[{', '.join(map(str, item.corners))}]"
            rejected.append(RejectedBox(image_id=key, file_name=file_name, class_name=name, reason=box, given=given))
        else:
            flags = {"crowd": item.crowd, "difficult": item.difficult, "truncated": item.truncated}
            boxes.append(Box(**box._asdict(), class_name=name, **flags))
    return tuple(boxes), tuple(rejected)


def _optional(features: Features, key: str, count: int, default: Any, where: str) -> Sequence[Any]:
    """A list with a value for each box, or none at all."""
    values = features.get(key, ())
    if len(values) not in (0, count):
        raise InvalidInput(f"{where}: expected {key} with a value for each of the {count} boxes or none, got {len(values)}")
    return values or [default] * count


def _first(features: Features, key: str) -> bytes:
    values = features.get(key, ())
    value = values[0] if values else b""
    return value if isinstance(value, bytes) else b""
