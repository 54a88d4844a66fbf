"""The label datasets, read by the rules of the tools that users have.

pycocotools is the tool itself. Ultralytics and Datumaro are not installed with negset; what they
look for in a folder is written out here, with the place in their source that asks for it.
"""

import contextlib
import io
import pathlib
import xml.etree.ElementTree as ET

import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from tests.negatives import IMAGES, SIDES, STORED, dataset, stored
from tests.progress import Silent

from negset_jobs.adapters import work
from negset_jobs.labels.label_task import FORMATS
from negset_jobs.labels.stage import labels_stage


@pytest.fixture(scope="module")
def workers():
    with work.session(2):
        yield


@pytest.fixture(scope="module", params=[True, False], ids=["with held-out images", "without"])
def labels(request, tmp_path_factory, workers):
    """The folder of the label datasets, and the number of stored images by split."""
    folder = tmp_path_factory.mktemp("labels")
    wanted = dataset(folder, formats=tuple(FORMATS), held_out=request.param)
    store, plan, records = stored(wanted, f"{folder}/revision")
    labels_stage(store, wanted, plan, records, Silent())
    counts = {{"train": "train", "heldout": "val"}[split]: count for split, count in records.images.items()}
    assert sum(counts.values()) == STORED
    assert ("val" in counts) == request.param
    return folder / "revision" / "labels", counts


def test_pycocotools_loads_every_image_and_no_annotation(labels):
    folder, counts = labels
    for split, count in counts.items():
        with contextlib.redirect_stdout(io.StringIO()):
            reader = COCO(folder / "coco" / "annotations" / f"instances_{split}.json")
        assert len(reader.getImgIds()) == count
        assert reader.getAnnIds() == []
        assert {category["name"] for category in reader.loadCats(reader.getCatIds())} == {"person", "car", "dog"}
        licenses = {item["id"] for item in reader.dataset["licenses"]}
        for image in reader.loadImgs(reader.getImgIds()):
            with Image.open(folder / "coco" / "images" / split / image["file_name"]) as opened:
                assert (opened.height, opened.width) == (image["height"], image["width"]) == SIDES
            assert image["license"] in licenses
            assert 1 <= image["id"] <= len(IMAGES)


def test_pycocotools_evaluates_detections_on_the_images(labels):
    """Without annotations every detection is a false positive.

    COCO's average precision is then undefined (-1).
    """
    from pycocotools.cocoeval import COCOeval

    folder, _ = labels
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(folder / "coco" / "annotations" / "instances_train.json")
        found = truth.loadRes([{"image_id": truth.getImgIds()[0], "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.9}])
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[0] == -1


def test_ultralytics_finds_a_label_file_beside_every_image(labels):
    """The rules of ultralytics/data/utils.py.

    check_det_dataset needs the keys train, val and names, and uses the folder of data.yaml if there
    is no path. img2label_paths replaces the last /images/ by /labels/ and the extension by .txt.
    """
    folder, counts = labels
    root = folder / "yolo"
    listing = yaml.safe_load((root / "data.yaml").read_text())
    assert {"train", "val", "names"} <= listing.keys()
    assert "path" not in listing
    assert list(listing["names"]) == list(range(len(listing["names"])))
    expected_labels = set()
    for split in ("train", "val"):
        if split not in counts:
            assert listing[split] is None
            continue
        image_files = sorted((root / listing[split]).iterdir())
        assert len(image_files) == counts[split]
        for path in image_files:
            with Image.open(path) as opened:
                opened.verify()
            label = pathlib.Path("/labels/".join(str(path).rsplit("/images/", 1))).with_suffix(".txt")
            assert label.read_bytes() == b""
            expected_labels.add(label)
    assert set(root.rglob("*.txt")) == expected_labels


def test_pascal_voc_readers_find_every_image_and_its_annotation_from_the_lists(labels):
    """The rules of the development kit and of torchvision.

    A list in ImageSets/Main comes first, then Annotations/NAME.xml and the image that it names.
    Datumaro reads every list as a split.
    """
    folder, counts = labels
    root = folder / "voc"
    lists = {path.stem: path.read_text().split("\n") for path in (root / "ImageSets" / "Main").iterdir()}
    assert {split: len(lines) - 1 for split, lines in lists.items()} == counts
    listed = [name for lines in lists.values() for name in lines if name]
    assert len(set(listed)) == STORED
    for name in listed:
        annotation = ET.parse(root / "Annotations" / f"{name}.xml").getroot()
        assert annotation.findall("object") == []
        with Image.open(root / "JPEGImages" / annotation.findtext("filename")) as opened:
            assert [int(annotation.findtext(f"size/{side}")) for side in ("height", "width")] == [opened.height, opened.width]
            assert int(annotation.findtext("size/depth")) == len(opened.getbands())
    assert len(list((root / "Annotations").iterdir())) == len(list((root / "JPEGImages").iterdir())) == STORED
