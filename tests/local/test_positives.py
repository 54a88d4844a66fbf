"""Positives from real images: COCO, Pascal VOC and TFRecords give the same records.

The Object Detection API reads the same boxes as in the annotations.
"""

import collections
import io
import json
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.local.positives_run import CLASSES, make, records

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.values import Positives, decode
from negset_jobs.adapters import work
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import read_records, write_record


@pytest.fixture(scope="module", autouse=True)
def workers():
    with work.session(2):
        yield


@pytest.fixture(scope="module")
def instances(coco_mini):
    return json.loads((coco_mini / "annotations" / "instances_train2017.json").read_bytes())


@pytest.fixture(scope="module")
def coco(coco_mini):
    return {"annotations": f"{coco_mini}/annotations/instances_train2017.json", "imageUrl": f"{coco_mini}/train2017/{{file_name}}"}


def boxes(record):
    """The objects of a record: class, crowd, and the box as x, y, width, height in pixels."""
    width, height = record["image/width"][0], record["image/height"][0]
    corners = (record[f"image/object/bbox/{corner}"] for corner in ("xmin", "ymin", "xmax", "ymax"))
    return [
        (text.decode(), crowd, (xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height))
        for text, crowd, xmin, ymin, xmax, ymax in zip(
            record["image/object/class/text"], record["image/object/is_crowd"], *corners, strict=True
        )
    ]


def source_boxes(coco_reader, image_id, classes=CLASSES):
    """The same from the annotations, by pycocotools."""
    wanted = coco_reader.getCatIds(catNms=list(classes))
    annotations = coco_reader.loadAnns(coco_reader.getAnnIds(imgIds=[image_id], catIds=wanted))
    return [(coco_reader.cats[item["category_id"]]["name"], item["iscrowd"], item["bbox"]) for item in annotations]


def same(found, expected):
    """Whether two lists of objects are equal.

    Equal means to a thousandth of a pixel, which is float32's resolution there.
    """
    assert [item[:2] for item in found] == [item[:2] for item in expected]
    for (*_, box), (*_, other) in zip(found, expected, strict=True):
        assert box == pytest.approx(other, abs=1e-3)


@pytest.fixture(scope="module")
def reader(coco):
    from pycocotools.coco import COCO

    return COCO(coco["annotations"])


@pytest.fixture(scope="module")
def from_coco(tmp_path_factory, coco):
    return make(tmp_path_factory.mktemp("coco"), {"coco": coco, "heldOutPercent": 25})


def test_every_image_with_a_person_or_a_car_is_stored_with_the_boxes_of_the_annotations(from_coco, reader):
    store, positives = from_coco
    expected = {image for name in CLASSES for image in reader.getImgIds(catIds=reader.getCatIds(catNms=[name]))}
    found = {int(record["image/source_id"][0]): record for stored in records(store, positives).values() for record in stored}
    assert set(found) == expected
    for image_id, record in found.items():
        same(boxes(record), source_boxes(reader, image_id))
    assert sum(crowd for record in found.values() for _, crowd, _ in boxes(record)) > 0


def test_the_images_are_the_files_themselves(from_coco, coco_mini):
    store, positives = from_coco
    for record in records(store, positives)[names.HELD_OUT]:
        file = coco_mini / "train2017" / record["image/filename"][0].decode()
        assert record["image/encoded"] == [file.read_bytes()]


def test_the_value_counts_what_is_there(from_coco):
    store, positives = from_coco
    stored = records(store, positives)
    assert positives.classes == CLASSES
    assert positives.images == {split: len(found) for split, found in stored.items()}
    assert positives.boxes == {split: sum(len(boxes(record)) for record in found) for split, found in stored.items()}
    assert positives.most_boxes == max(len(boxes(record)) for found in stored.values() for record in found) > 1
    assert positives.outcomes == {"stored": sum(positives.images.values())}
    assert positives.images[names.HELD_OUT] == round(sum(positives.images.values()) * 0.25)
    assert decode(store.read(names.POSITIVES), Positives) == positives
    assert store.read(names.LABEL_MAP).decode() == 'item {\n  name: "person"\n  id: 1\n}\nitem {\n  name: "car"\n  id: 2\n}\n'


def test_nothing_is_left_over(from_coco):
    store, positives = from_coco
    files = [key for keys in positives.files.values() for key in keys]
    assert set(store.keys(names.POSITIVES_FOLDER)) == {
        *files,
        names.LABEL_MAP,
        names.POSITIVE_COPIES,
        names.REJECTED_BOXES,
        names.FAILED_POSITIVES,
    }


def test_another_run_gives_the_same_bytes(from_coco, coco, tmp_path):
    store, positives = from_coco
    again, repeated = make(tmp_path, {"coco": coco, "heldOutPercent": 25})
    assert repeated == positives
    for keys in positives.files.values():
        assert all(again.read(key) == store.read(key) for key in keys)


def test_a_subset_of_the_classes_in_another_order(coco, tmp_path, reader):
    store, positives = make(tmp_path, {"coco": coco, "classes": ["car"]})
    assert positives.classes == ("car",)
    for record in (record for stored in records(store, positives).values() for record in stored):
        same(boxes(record), source_boxes(reader, int(record["image/source_id"][0]), ["car"]))
        assert set(record["image/object/class/label"]) == {1}


@pytest.fixture(scope="module")
def voc_folder(tmp_path_factory, instances):
    """The same annotations as files of Pascal VOC: counted from 1, the last pixel included."""
    folder = tmp_path_factory.mktemp("voc")
    names_by_id = {category["id"]: category["name"] for category in instances["categories"]}
    by_image = collections.defaultdict(list)
    for annotation in instances["annotations"]:
        if not annotation["iscrowd"]:
            by_image[annotation["image_id"]].append(annotation)
    for image in instances["images"]:
        root = ET.Element("annotation")
        ET.SubElement(root, "filename").text = image["file_name"]
        size = ET.SubElement(root, "size")
        for side in ("width", "height"):
            ET.SubElement(size, side).text = str(image[side])
        for annotation in by_image[image["id"]]:
            x, y, width, height = annotation["bbox"]
            item = ET.SubElement(root, "object")
            ET.SubElement(item, "name").text = names_by_id[annotation["category_id"]]
            ET.SubElement(item, "truncated").text = "1"
            box = ET.SubElement(item, "bndbox")
            for side, value in (("xmin", x + 1), ("ymin", y + 1), ("xmax", x + width), ("ymax", y + height)):
                ET.SubElement(box, side).text = repr(value)
        ET.ElementTree(root).write(folder / f"{image['file_name'].removesuffix('.jpg')}.xml")
    return folder


def test_pascal_voc_gives_the_same_boxes_as_coco(voc_folder, coco_mini, from_coco, tmp_path):
    store, positives = make(tmp_path, {"voc": {"annotations": f"{voc_folder}/*.xml", "imageUrl": f"{coco_mini}/train2017/{{filename}}"}})
    voc = {record["image/filename"][0]: record for stored in records(store, positives).values() for record in stored}
    coco = {record["image/filename"][0]: record for stored in records(*from_coco).values() for record in stored}
    assert voc.keys() == coco.keys()
    for file_name, record in voc.items():
        same(boxes(record), [item for item in boxes(coco[file_name]) if not item[1]])
        assert set(record["image/object/truncated"]) == {1}
    assert positives.classes == CLASSES
    assert positives.most_boxes == max(len(boxes(record)) for record in voc.values())


def test_tfrecords_of_our_own_come_back_byte_for_byte(from_coco, tmp_path):
    store, positives = from_coco
    sources = [store.location(key) for keys in positives.files.values() for key in keys]
    copy, copied = make(tmp_path, {"tfrecords": sources, "labelMap": store.location(names.LABEL_MAP), "heldOutPercent": 25})
    assert (copied.images, copied.boxes, copied.classes) == (positives.images, positives.boxes, positives.classes)
    assert copied.most_boxes == positives.most_boxes
    payloads = [sorted(_payloads(one, value)) for one, value in ((store, positives), (copy, copied))]
    assert payloads[0] == payloads[1]


def _payloads(store, positives):
    for keys in positives.files.values():
        for key in keys:
            with store.reading(key) as stream:
                yield from (payload for _, payload in read_records(stream))


def test_tfrecords_are_not_copied_again_for_a_new_revision(from_coco, tmp_path):
    store, positives = from_coco
    sources = {"tfrecords": [store.location(key) for keys in positives.files.values() for key in keys]}
    earlier, first = make(tmp_path / "earlier", sources)
    later, second = make(tmp_path / "later", sources, siblings=(earlier,))
    assert second == first
    assert {key: later.read(key) for keys in second.files.values() for key in keys} == {
        key: earlier.read(key) for keys in first.files.values() for key in keys
    }


def solid_image(color=0, kind="JPEG"):
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (color, 128, 255 - color)).save(stream, kind)
    return stream.getvalue()


def example(number, *objects, encoded=None, label_ids=None, **changed):
    from negset_api.values import Box

    fields = {
        "encoded": solid_image(number) if encoded is None else encoded,
        "image_format": "jpeg",
        "file_name": f"{number}.jpg",
        "source_id": str(number),
        "sha256": "",
        "height": 48,
        "width": 64,
    }
    listed = [Box(ymin=0.1, xmin=0.1, ymax=0.6, xmax=0.6, class_name=name) for name in objects]
    return encode_example(**{**fields, **changed}, boxes=listed, label_ids=label_ids or {"person": 1, "car": 2, "dog": 3})


def tfrecord(path, *payloads):
    with open(path, "wb") as stream:
        for payload in payloads:
            write_record(stream, payload)
    return str(path)


def test_tfrecords_are_sorted_into_stored_skipped_and_failed(tmp_path):
    broken = example(5, "person", encoded=solid_image()[:-100])
    source = tfrecord(
        tmp_path / "a.tfrecord", example(1, "person", "dog"), example(2, "dog"), example(3), example(4, "car"), broken, example(6, "person")
    )
    store, positives = make(tmp_path / "out", {"tfrecords": [source]}, download={"maxFailedPercent": 30})
    assert positives.outcomes == {"stored": 3, "truncated": 1}
    found = {record["image/source_id"][0]: record for stored in records(store, positives).values() for record in stored}
    assert {key: record["image/object/class/text"] for key, record in found.items()} == {
        b"1": [b"person"],
        b"4": [b"car"],
        b"6": [b"person"],
    }
    assert positives.boxes == positives.images


def test_labels_are_renumbered_if_the_label_map_has_more_classes(tmp_path):
    label_map = tmp_path / "map.pbtxt"
    label_map.write_text("item { id: 1 name: 'dog' } item { id: 7 name: '/m/0k4j' display_name: 'car' } item { id: 9 name: 'person' }")
    ids = {"dog": 1, "car": 7, "person": 9}
    source = tfrecord(tmp_path / "a.tfrecord", *(example(number, "car", "person", label_ids=ids) for number in range(4)))
    store, positives = make(tmp_path / "out", {"tfrecords": [source], "labelMap": str(label_map)})
    labels = {tuple(record["image/object/class/label"]) for stored in records(store, positives).values() for record in stored}
    assert labels == {(2, 1)}
    assert positives.classes == ("person", "car")


def without(payload, key):
    """The record with the key renamed, which is as good as without it."""
    assert payload.count(key.encode()) == 1
    return payload.replace(key.encode(), key.upper().encode())


def test_boxes_without_labels_are_refused(tmp_path):
    source = tfrecord(tmp_path / "a.tfrecord", example(1, "person"), without(example(2, "person"), "image/object/class/label"))
    with pytest.raises(InvalidInput) as caught:
        make(tmp_path / "out", {"tfrecords": [source]})
    assert str(caught.value) == (
        "spec.positives.tfrecords: 1 of 2 images cannot be used, spec.download.maxFailedPercent allows 5%: "
        f"spec.positives.tfrecords: {source}: record 1: expected image/object/class/label with an id for each of the 1 boxes, got 0; "
        "write one for each, because TensorFlow would read them as boxes without classes"
    )


REFUSED = {
    "a label with two names": (
        lambda path: tfrecord(path / "a.tfrecord", example(1, "person"), example(2, "car", label_ids={"car": 1})),
        r"expected one class for each label, 1 is called 'car' and 'person'",
    ),
    "a name with two labels": (
        lambda path: tfrecord(path / "a.tfrecord", example(1, "person"), example(2, "person", label_ids={"person": 2})),
        r"expected one label for each class, 'person' has 1 and 2",
    ),
    "a file that is no TFRecord": (lambda path: _written(path / "a.tfrecord", b"PK" * 20), r"a\.tfrecord: not a TFRecord file"),
    "a file that is cut off": (
        lambda path: _cut(tfrecord(path / "a.tfrecord", example(1, "person"))),
        r"a\.tfrecord: TFRecord file ends within the record at byte 0",
    ),
    "a record that is no example": (
        lambda path: tfrecord(path / "a.tfrecord", b"\xff" * 9),
        r"a\.tfrecord: a record is not a tf\.train\.Example",
    ),
    "no file": (lambda path: str(path / "*.tfrecord"), r"expected files matching .*, found none"),
    "one image": (lambda path: tfrecord(path / "a.tfrecord", example(1, "person")), r"expected at least two images"),
    "other classes": (
        lambda path: tfrecord(path / "a.tfrecord", example(1, "dog"), example(2, "dog")),
        r"expected usable objects of at least one of the excluded classes \('person', 'car'\), got annotations of 'dog'",
    ),
}


def _cut(path):
    os.truncate(path, os.path.getsize(path) - 9)
    return path


def _written(path, data):
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize(("source", "message"), REFUSED.values(), ids=REFUSED)
def test_tfrecords_that_cannot_be_trained_on_are_refused(source, message, tmp_path):
    with pytest.raises(InvalidInput, match=message) as caught:
        make(tmp_path / "out", {"tfrecords": [source(tmp_path)]})
    assert "\n" not in str(caught.value)
    assert not Store(str(tmp_path / "out")).exists(names.POSITIVES)


def edited(tmp_path, instances, coco_mini, edit):
    """COCO positives whose annotations were changed by `edit`."""
    changed = json.loads(json.dumps(instances))
    edit(changed)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(changed))
    return {"coco": {"annotations": str(path), "imageUrl": f"{coco_mini}/train2017/{{file_name}}"}}


def test_a_box_that_cannot_be_used_is_listed_and_an_image_without_any_other_is_an_outcome(tmp_path, instances, coco_mini):
    shown = collections.Counter(item["image_id"] for item in instances["annotations"] if item["category_id"] in (1, 3))
    alone = next(image for image, count in shown.items() if count == 1)
    among = next(image for image, count in shown.items() if count > 3)

    def edit(changed):
        for image_id in (alone, among):
            item = next(item for item in changed["annotations"] if item["image_id"] == image_id and item["category_id"] in (1, 3))
            item["bbox"] = [10, 10, 0, 20]

    store, positives = make(tmp_path / "out", edited(tmp_path, instances, coco_mini, edit))
    assert positives.outcomes == {"stored": len(shown) - 1, "invalid_box": 1}
    assert positives.rejected_boxes == {"no_extent": 2}
    found = {int(record["image/source_id"][0]): record for stored in records(store, positives).values() for record in stored}
    assert alone not in found
    assert len(boxes(found[among])) == shown[among] - 1
    listed = [json.loads(line) for line in store.read(names.REJECTED_BOXES).splitlines()]
    assert {line["imageId"] for line in listed} == {alone, among}
    assert {line["reason"] for line in listed} == {"no_extent"}


def test_too_many_missing_images_are_refused_and_a_second_run_asks_for_them_again(tmp_path, coco, coco_mini):
    image_files = tmp_path / "images"
    shutil.copytree(coco_mini / "train2017", image_files)
    kept = tmp_path / "kept"
    kept.mkdir()
    for path in sorted(image_files.iterdir())[::2]:
        path.rename(kept / path.name)
    source = {"coco": {**coco, "imageUrl": f"{image_files}/{{file_name}}"}}
    with pytest.raises(InvalidInput, match=r"planned images could not be stored, spec\.download\.maxFailedPercent allows 5%: .*not_found"):
        make(tmp_path / "out", source)
    assert not Store(str(tmp_path / "out")).exists(names.POSITIVES)
    for path in kept.iterdir():
        path.rename(image_files / path.name)
    store, positives = make(tmp_path / "out", source)
    assert positives.outcomes == {"stored": sum(positives.images.values())}
    assert set(store.keys(names.POSITIVES_FOLDER)) == {
        *(key for keys in positives.files.values() for key in keys),
        names.LABEL_MAP,
        names.POSITIVE_COPIES,
        names.REJECTED_BOXES,
        names.FAILED_POSITIVES,
    }


def test_annotations_that_changed_since_an_interrupted_run_are_stored_as_they_are_now(tmp_path, instances, coco_mini):
    out = tmp_path / "out"
    make(out, edited(tmp_path, instances, coco_mini, lambda _: None))
    (out / names.POSITIVES).unlink()
    changed = next(item for item in instances["annotations"] if item["category_id"] == 1)

    def edit(content):
        next(item for item in content["annotations"] if item["id"] == changed["id"])["bbox"] = [1, 2, 50, 50]

    store, positives = make(out, edited(tmp_path, instances, coco_mini, edit))
    found = {int(record["image/source_id"][0]): record for stored in records(store, positives).values() for record in stored}
    record = found[changed["image_id"]]
    width, height = record["image/width"][0], record["image/height"][0]
    corners = zip(record["image/object/bbox/xmin"], record["image/object/bbox/ymin"], strict=True)
    assert (1, 2) in [(round(xmin * width), round(ymin * height)) for xmin, ymin in corners]


def test_the_object_detection_api_reads_the_boxes_of_the_annotations(from_coco, reader):
    store, positives = from_coco
    files = [store.location(key) for keys in positives.files.values() for key in keys]
    command = [sys.executable, "-m", "tests.local.object_detection_reader", store.location(positives.label_map), *files]
    decoded = [json.loads(line) for line in subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.splitlines()]
    for image in decoded:
        height, width = image["height"], image["width"]
        found = [
            (CLASSES[label - 1], int(crowd), (xmin * width, ymin * height, (xmax - xmin) * width, (ymax - ymin) * height))
            for label, crowd, (ymin, xmin, ymax, xmax) in zip(image["classes"], image["is_crowd"], image["boxes"], strict=True)
        ]
        same(found, source_boxes(reader, image["id"]))
        assert image["weights"] == [0.0 if crowd else 1.0 for crowd in image["is_crowd"]], "the API learns every box with weight 1"
    assert len(decoded) == sum(positives.images.values())
