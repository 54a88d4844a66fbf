"""YOLO datasets as Ultralytics, Roboflow and CVAT export them, on other machines."""

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import YoloPositives
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.urls import parse
from negset_jobs.formats.boxes import Reason
from negset_jobs.positives.annotated import planned_images
from negset_jobs.positives.yolo import label_url, parse_labels, read_yolo
from negset_jobs.positives.yolo_data import parse_data

NAMES = {0: "person", 1: "car"}


def make(folder, **files):
    """Write files by path. An image is a name only: nothing here decodes it."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def read(url, wanted=("person", "car"), **more):
    return read_yolo(YoloPositives(data=str(url), **more), frozenset(wanted), Access())


def shown(found):
    return {image.image_id: [item.class_name for item in image.annotations] for image in found.images}


def dataset(prefix, images, labels):
    """Two images of a split, the first with a person."""
    return {
        f"{prefix}{images}/a.jpg": "",
        f"{prefix}{images}/b.png": "",
        f"{prefix}{labels}/a.txt": "0 0.5 0.5 0.2 0.4\n",
        f"{prefix}{labels}/b.txt": "1 0.5 0.5 0.2 0.4\n",
    }


ULTRALYTICS = dataset("", "images/train", "labels/train")
ROBOFLOW = dataset("", "train/images", "train/labels")
LAYOUTS = {
    "Ultralytics": (ULTRALYTICS, "path: .\ntrain: images/train\nval: images/val\nnames:\n  0: person\n  1: car\n"),
    "Ultralytics without a path": (ULTRALYTICS, "train: images/train/\nnames: [person, car]\n"),
    "Ultralytics beside the folder of the dataset": (dataset("coco8/", "images/train", "labels/train"), "path: coco8\ntrain: images/train\nnames: [person, car]\n"),
    "Ultralytics with a path to the folder that it lies in": (ULTRALYTICS, "path: ../datasets/coco8\ntrain: images/train\nnames: [person, car]\n"),
    "a path of another machine": (ULTRALYTICS, "path: /content/datasets/coco8\ntrain: images/train\nnames: [person, car]\n"),
    "a path of a Windows machine": (ULTRALYTICS, "path: C:\\data\\coco8\ntrain: images\\train\nnames: [person, car]\n"),
    "an absolute folder of another machine": (ULTRALYTICS, "train: /home/someone/coco8/images/train\nnames: [person, car]\n"),
    "Roboflow": (ROBOFLOW, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['person', 'car']\n"),
    "Roboflow, corrected": (ROBOFLOW, "train: train/images\nnames: ['person', 'car']\n"),
    "labels beside the images": (dataset("", "data", "data"), "train: data\nnames: [person, car]\n"),
    "a list of folders": (ULTRALYTICS, "train: [images/other, images/train]\nnames: [person, car]\n"),
    "CVAT": (ULTRALYTICS | {"train.txt": "data/images/train/a.jpg\ndata/images/train/b.png\n"}, "path: ./\ntrain: train.txt\nnames:\n  0: person\n  1: car\n"),
    "a list that begins with ./": (ULTRALYTICS | {"images/train.txt": "./train/a.jpg\n./train/b.png\n"}, "train: images/train.txt\nnames: [person, car]\n"),
    "a list of another machine": (ULTRALYTICS | {"train.txt": "/content/x/images/train/a.jpg\n\n/content/x/images/train/b.png\n"}, "train: train.txt\nnames: [person, car]\n"),
    "darknet, as CVAT exports it": (
        dataset("", "obj_train_data", "obj_train_data") | {"train.txt": "data/obj_train_data/a.jpg\ndata/obj_train_data/b.png\n", "obj.names": "person\ncar\n"},
        "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("files", "text"), LAYOUTS.values(), ids=LAYOUTS)
def test_images_and_labels_are_found_in_the_layout_of(files, text, tmp_path):
    make(tmp_path, **files, **{"data.yaml": text})
    found = read(tmp_path / "data.yaml")
    assert list(shown(found).values()) == [["person"], ["car"]]
    assert all(image.url.startswith(str(tmp_path)) for image in found.images)
    assert found.classes == {"person", "car"}
    box = found.images[0].annotations[0]
    assert (box.corners.xmin, box.corners.ymin) == pytest.approx((0.4, 0.3))


UNNAMED = {
    "supervision, with a folder for each split": ROBOFLOW | dataset("", "test/images", "test/labels"),
    "Ultralytics": ULTRALYTICS | dataset("", "images/test", "labels/test"),
    "one folder": dataset("", "images", "labels"),
}


@pytest.mark.parametrize("files", UNNAMED.values(), ids=UNNAMED)
def test_a_description_without_splits_is_read_in_the_layout_of(files, tmp_path):
    make(tmp_path, **files, **{"data.yaml": "nc: 2\nnames: [person, car]\n"})
    assert list(shown(read(tmp_path / "data.yaml")).values()) == [["person"], ["car"]]


CLASSES = {
    "FiftyOne": ("fo/obj.names", dataset("fo/", "data", "data"), "data/"),
    "Label Studio": ("ls/classes.txt", dataset("ls/", "images", "labels"), "images/"),
    "labelImg": ("data/classes.txt", dataset("", "data", "data"), ""),
}


@pytest.mark.parametrize(("file", "files", "folder"), CLASSES.values(), ids=CLASSES)
def test_a_dataset_without_a_description_is_found_from_its_classes(file, files, folder, tmp_path):
    make(tmp_path, **files, **{file: "person\ncar\n"})
    assert shown(read(tmp_path / file)) == {f"{folder}a.jpg": ["person"], f"{folder}b.png": ["car"]}


def test_classes_in_an_archive_are_read_without_unpacking_it(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path, text in dataset("", "images", "labels").items() | {("classes.txt", "person\ncar\n")}:
            archive.writestr(path, text)
    assert shown(read(f"zip://classes.txt::{tmp_path}/a.zip")) == {"images/a.jpg": ["person"], "images/b.png": ["car"]}


@pytest.mark.parametrize(("file", "text"), [("classes.txt", "person\n"), ("data.yaml", "names: [person]\n")])
def test_labels_without_their_images_are_told_to_be_exported_with_them(file, text, tmp_path):
    make(tmp_path, **{file: text, "labels/a.txt": "0 0.5 0.5 0.2 0.4\n"})
    with pytest.raises(
        InvalidInput, match=r"expected images in the folder of .* or below it, found none; export the images with the labels"
    ):
        read(tmp_path / file)


def test_hidden_files_are_no_images(tmp_path):
    make(tmp_path, **ROBOFLOW, **{"data.yaml": "train: train/images\nnames: [person, car]\n"})
    make(tmp_path, **{"train/images/._a.jpg": "", "train/labels/._a.txt": "\0", "train/images/.ipynb_checkpoints/a.jpg": ""})
    assert list(shown(read(tmp_path / "data.yaml"))) == ["train/images/a.jpg", "train/images/b.png"]


def test_images_are_named_by_their_place_in_the_dataset_wherever_the_program_runs(tmp_path, monkeypatch):
    make(tmp_path, **ROBOFLOW, **{"data.yaml": "train: ../train/images\nnames: [person, car]\n"})
    monkeypatch.chdir(tmp_path)
    assert (
        shown(read("data.yaml")) == shown(read(tmp_path / "data.yaml")) == {"train/images/a.jpg": ["person"], "train/images/b.png": ["car"]}
    )


def test_an_archive_is_read_without_being_unpacked(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for path, text in ROBOFLOW.items() | {("data.yaml", "train: ../train/images\nnames: [person, car]\n")}:
            archive.writestr(path, text)
    found = read(f"zip://data.yaml::{tmp_path}/a.zip")
    assert shown(found) == {"train/images/a.jpg": ["person"], "train/images/b.png": ["car"]}
    assert found.images[0].url == f"zip://train/images/a.jpg::{tmp_path}/a.zip"


def test_train_and_val_are_taken_and_test_only_if_it_is_asked_for(tmp_path):
    files = {f"{split}/{kind}/{split}.{suffix}": text for split in ("train", "valid", "test") for kind, suffix, text in (("images", "jpg", ""), ("labels", "txt", "0 .5 .5 .1 .1"))}  # fmt: skip
    make(tmp_path, **files, **{"data.yaml": "train: train/images\nval: valid/images\ntest: test/images\nnames: [person]\n"})
    assert list(shown(read(tmp_path / "data.yaml"))) == ["train/images/train.jpg", "valid/images/valid.jpg"]
    assert list(shown(read(tmp_path / "data.yaml", splits=("test",)))) == ["test/images/test.jpg"]


def test_background_images_and_other_classes_are_left_out_and_counted(tmp_path):
    files = {f"images/{name}.jpg": "" for name in "abcd"} | {
        "labels/a.txt": "0 .5 .5 .1 .1",
        "labels/b.txt": "",
        "labels/c.txt": "1 .5 .5 .1 .1",
    }
    make(tmp_path, **files, **{"data.yaml": "train: images\nnames: [person, car]\n", "images/Thumbs.db": "", "images/labels.cache": ""})
    found = read(tmp_path / "data.yaml", wanted=("person",))
    assert shown(found) == {"images/a.jpg": ["person"]}
    assert found.left_out == {"images_without_objects": 2, "images_of_other_classes": 1}


def test_one_image_in_two_splits_is_one(tmp_path):
    make(tmp_path, **ULTRALYTICS, **{"data.yaml": "train: images/train\nval: images/train\nnames: [person, car]\n"})
    assert len(read(tmp_path / "data.yaml").images) == 2


ROWS = {
    "a box": ("0 0.5 0.4 0.2 0.1", "person", (0.4, 0.35, 0.6, 0.45)),
    "a class as a decimal": ("1.0 0.5 0.4 0.2 0.1", "car", (0.4, 0.35, 0.6, 0.45)),
    "the score of a model": ("0 0.5 0.4 0.2 0.1 0.93", "person", (0.4, 0.35, 0.6, 0.45)),
    "commas": ("0, 0.5, 0.4, 0.2, 0.1", "person", (0.4, 0.35, 0.6, 0.45)),
    "a polygon": ("1 0.1 0.2 0.5 0.3 0.3 0.9", "car", (0.1, 0.2, 0.5, 0.9)),
    "a turned box": ("0 0.3 0.1 0.5 0.3 0.3 0.5 0.1 0.3", "person", (0.1, 0.1, 0.5, 0.5)),
    "a class that is not in names": ("7 0.5 0.4 0.2 0.1", "", (0.4, 0.35, 0.6, 0.45)),
    "a name in place of the class": ("person 0.5 0.4 0.2 0.1", "", (0.4, 0.35, 0.6, 0.45)),
    "three numbers": ("0 0.5 0.4 0.2", "person", None),
    "a word in place of a number": ("0 0.5 x 0.2 0.1", "person", None),
    "half a point": ("0 0.1 0.2 0.5 0.3 0.3 0.9 0.4", "person", None),
}


@pytest.mark.parametrize(("row", "name", "corners"), ROWS.values(), ids=ROWS)
def test_a_row_is_read_or_left_to_be_rejected(row, name, corners):
    (found,) = (each.annotation(0) for each in parse_labels(f"\ufeff{row}\r\n\n".encode(), NAMES))
    assert found.class_name == name
    if corners is None:
        assert found.corners is None
    else:
        ymin, xmin, ymax, xmax = found.corners
        assert (xmin, ymin, xmax, ymax) == pytest.approx(corners)


def test_keypoints_after_a_box_are_not_a_polygon():
    (row,) = parse_labels(b"0 0.5 0.4 0.2 0.1 0.1 0.1 2 0.2 0.2 2", NAMES)
    assert row.annotation(6).given == (0.5, 0.4, 0.2, 0.1)


POSES = [
    "0 0.30 0.40 0.20 0.40 0.25 0.25 0.35 0.24 0.24 0.55 0.37 0.58 0.31 0.41",
    "0 0.60 0.50 0.30 0.20 0.50 0.42 0.72 0.44 0.49 0.59 0.70 0.57 0.61 0.52",
    "0 0.75 0.30 0.10 0.30 0.71 0.20 0.79 0.18 0 0 0.78 0.41 0.74 0.31",
]


@pytest.mark.parametrize("shape", ["", "kpt_shape: [17, 3]\n"], ids=["without kpt_shape", "with a wrong kpt_shape"])
def test_keypoints_that_the_description_does_not_know_are_found_from_all_rows(shape, tmp_path, caplog):
    labels = {f"labels/{number}.txt": row for number, row in enumerate(POSES)}
    make(tmp_path, **{f"images/{number}.jpg": "" for number in range(3)}, **labels)
    make(tmp_path, **{"data.yaml": f"train: images\n{shape}names: [person]\n"})
    found = read(tmp_path / "data.yaml")
    assert [image.annotations[0].given for image in found.images] == [(0.3, 0.4, 0.2, 0.4), (0.6, 0.5, 0.3, 0.2), (0.75, 0.3, 0.1, 0.3)]
    assert "3 rows with 14 numbers after the class are read as a box and keypoints" in caplog.text


def test_rows_that_may_be_polygons_or_keypoints_are_refused_until_the_description_says_it(tmp_path):
    boxes = ["0 .5 .5 .1 .1 .46 .54 .54 .46", "0 .4 .6 .1 .1 .36 .64 .44 .56", "0 .6 .3 .1 .2 .57 .25 .64 .38"]
    quads = ["0 .3 .3 .32 .3 .32 .32 .3 .32", "0 .4 .3 .42 .3 .42 .32 .4 .32", "0 .5 .3 .52 .3 .52 .32 .5 .32"]
    files = {f"images/{number}.jpg": "" for number in range(6)} | {
        f"labels/{number}.txt": row for number, row in enumerate([*boxes, *quads])
    }
    make(tmp_path, **files, **{"data.yaml": "train: images\nnames: [person]\n"})
    with pytest.raises(InvalidInput, match=r"6 rows with 8 numbers .* may be .*; add kpt_shape: \[2, 2\] .* or kpt_shape: \[0, 2\]"):
        read(tmp_path / "data.yaml")
    for shape, width in (("[2, 2]", 0.32), ("[0, 2]", 0.02)):
        make(tmp_path, **{"data.yaml": f"train: images\nkpt_shape: {shape}\nnames: [person]\n"})
        assert read(tmp_path / "data.yaml").images[3].annotations[0].given[2] == pytest.approx(width)


def test_a_row_that_is_there_twice_is_one_object():
    assert len(parse_labels(b"0 .5 .5 .1 .1\n0 .5 .5 .1 .1\n0 .5 .5 .1 .2\n", NAMES)) == 2


def test_rows_that_cannot_be_used_are_rejected_with_their_reason(tmp_path):
    rows = "0 .5 .5 .1 .1\n9 .5 .5 .1 .1\n0 .5 .5 0 .1\n0 .5 x .1 .1\n0 .98 .5 .1 .1\n"
    make(tmp_path, **{"images/a.jpg": "", "labels/a.txt": rows, "data.yaml": "train: images\nnames: [person]\n"})
    found = planned_images(read(tmp_path / "data.yaml"))
    assert [box.reason for box in found.rejected] == [Reason.NO_CLASS, Reason.NO_EXTENT, Reason.MISSING]
    ((_, clipped),) = (image.objects for image in found.images)
    assert (clipped.xmin, clipped.xmax) == pytest.approx((0.93, 1))


LABELS = {
    "/d/images/train/a.b.jpg": "/d/labels/train/a.b.txt",
    "/d/images/x/images/a.jpg": "/d/images/x/labels/a.txt",
    "/d/train/a.jpg": "/d/train/a.txt",
    "s3://b/images/a.jpg": "s3://b/labels/a.txt",
    "zip://images/a.jpg::s3://b/a.zip": "zip://labels/a.txt::s3://b/a.zip",
    "/images.old/a.jpg": "/images.old/a.txt",
}


@pytest.mark.parametrize(("image", "label"), LABELS.items())
def test_labels_are_where_ultralytics_looks_for_them(image, label):
    assert str(label_url(parse(image))) == label


def test_names_are_texts_as_they_are_written():
    data = parse_data(b"train: a\nnames: [yes, no, 007, 1.50, null]\n", "data.yaml")
    assert list(data.names.values()) == ["yes", "no", "007", "1.50", "null"]


REFUSED = {
    "not YAML": ("names: [", r".* is not readable YAML \(line 1\)"),
    "no names": ("train: images/train\n", "expected a data.yaml with the key names"),
    "empty names": ("train: images/train\nnames:\n", "expected a data.yaml with the key names"),
    "names that are no names": ("train: a\nnames: {person: 0}\n", ".*expected names as a list, or as a mapping from numbers to names"),
    "only another split": ("test: images/train\nnames: [person]\n", "expected one of the splits train, val"),
    "a folder that is not there": ("train: images/none\nnames: [person]\n", "expected images where .* says train is, found none"),
    "an export of CVAT for images": (
        "<?xml version='1.0'?><annotations/>",
        ".* is not a dataset's description; it is XML: give Pascal VOC's",
    ),
    "annotations of COCO": ('{"images": [], "categories": [{"id": 1}]}', ".* is not a dataset's description; it is JSON: give COCO's"),
    "JSON Lines": ('{"type": "dataset"}\n{"type": "image"}\n', ".* is not readable YAML .*; it is JSON: give COCO's"),
    "an archive": ("PK\x03\x04", ".* is not readable YAML; it is a zip archive: give the file in it as zip://data.yaml::URL"),
    "words": ("hello", "expected a data.yaml with the key names"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_used_is_refused_by_name(text, message, tmp_path):
    make(tmp_path, **ULTRALYTICS, **{"data.yaml": text})
    with pytest.raises(InvalidInput, match=rf"^spec\.positives\.yolo\.data: {message}") as caught:
        read(tmp_path / "data.yaml")
    assert "\n" not in str(caught.value)


def test_images_without_any_labels_are_refused_with_the_place_where_they_are_expected(tmp_path):
    make(tmp_path, **{"images/a.jpg": "", "annotations/a.txt": "0 .5 .5 .1 .1", "data.yaml": "train: images\nnames: [person]\n"})
    with pytest.raises(
        InvalidInput, match=r"expected labels of the 1 images, found none; those of .*images/a\.jpg' are expected at .*labels/a\.txt"
    ):
        read(tmp_path / "data.yaml")


def test_a_dataset_on_a_store_cannot_lead_to_local_files():
    import fsspec

    store = fsspec.filesystem("memory")
    store.pipe("/yolo/data.yaml", b"path: /etc\ntrain: /etc\nnames: [person]\n")
    with pytest.raises(InvalidInput, match="found none"):
        read("memory://yolo/data.yaml")
    store.pipe("/yolo/data.yaml", b"train: file:///etc\nnames: [person]\n")
    with pytest.raises(InvalidInput, match="local paths work on a laptop only"):
        read_yolo(YoloPositives(data="memory://yolo/data.yaml"), frozenset(), Access(local_files=False))
    store.rm("/yolo", recursive=True)
