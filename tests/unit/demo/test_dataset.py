"""The demo's dataset is as documented; pycocotools and Pillow check it."""

import hashlib
import json
import os

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from negset_jobs.demo import dataset, drawing

# pycocotools 2.0.11 decodes masks by a protocol that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BASE_URL = "http://127.0.0.1:1234"


def _digest(folder):
    """Return one digest of all files in the folder."""
    digest = hashlib.sha256()
    for path, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            with open(os.path.join(path, name), "rb") as stream:
                digest.update(name.encode() + stream.read())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    truth = dataset.make(str(folder), seed=3, base_url=BASE_URL, with_object=60, without_object=200)
    return folder, truth, COCO(truth.annotations)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others(tmp_path):
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        dataset.make(str(tmp_path / name), seed=seed, base_url=BASE_URL, with_object=12, without_object=12)
        digests.append(_digest(tmp_path / name))
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_the_annotations_divide_the_images_as_the_truth_says(made):
    _, truth, coco = made
    discs = {annotation["image_id"] for annotation in coco.dataset["annotations"] if annotation["category_id"] == 1}
    assert discs == set(truth.with_object)
    assert set(coco.imgs) - discs == set(truth.without_object)
    assert len(truth.with_object) == 60
    assert len(truth.without_object) == 200


def test_a_crowd_image_has_a_crowd_region_and_no_other_annotation(made):
    _, truth, coco = made
    assert truth.crowds
    for image_id in truth.crowds:
        (annotation,) = coco.imgToAnns[image_id]
        assert annotation["iscrowd"] == 1


def test_masks_and_boxes_agree_as_pycocotools_reads_them(made):
    _, _, coco = made
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        x, y, width, height = annotation["bbox"]
        assert np.allclose([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], [x, y, x + width, y + height], atol=2)
        assert mask.sum() == pytest.approx(annotation["area"], rel=0.12, abs=30)


def test_every_image_is_there_except_those_said_to_be_missing(made):
    folder, truth, coco = made
    for image_id, image in coco.imgs.items():
        path = folder / dataset.IMAGES / image["file_name"]
        if image_id in truth.dead:
            assert not path.exists()
        elif image_id in truth.moved:
            assert path.read_bytes().startswith(b"<!doctype html>")
        else:
            with Image.open(path) as drawn:
                assert drawn.format == "JPEG"
                assert drawn.size == (image["width"], image["height"])
    assert truth.dead
    assert truth.moved


def test_a_disc_is_red_where_its_annotation_says_and_an_unannotated_one_is_there_without_annotation(made):
    folder, truth, coco = made

    def reddish(image_id):
        with Image.open(folder / dataset.IMAGES / coco.imgs[image_id]["file_name"]) as drawn:
            pixels = np.asarray(drawn, int)
        return (pixels[..., 0] > pixels[..., 1] + 70) & (pixels[..., 0] > pixels[..., 2] + 70)

    for annotation in coco.dataset["annotations"]:
        if annotation["category_id"] == 1 and not annotation["iscrowd"]:
            x, y, width, height = annotation["bbox"]
            assert reddish(annotation["image_id"])[int(y + height / 2), int(x + width / 2)]
    for image_id in truth.unannotated:
        annotated = np.zeros((coco.imgs[image_id]["height"], coco.imgs[image_id]["width"]), bool)
        for annotation in coco.imgToAnns[image_id]:
            annotated |= coco.annToMask(annotation).astype(bool)
        assert (reddish(image_id) & ~annotated).sum() > 200


def test_look_alikes_are_rare_annotated_and_among_the_images_without_the_object(tmp_path):
    truth = dataset.make(str(tmp_path), seed=1, base_url=BASE_URL, with_object=10, without_object=300)
    coco = COCO(truth.annotations)
    shown = [set(coco.getImgIds(catIds=coco.getCatIds([name]))) for name in dataset.LOOK_ALIKES]
    assert all(shown)
    assert set.union(*shown) == set(truth.look_alikes) <= set(truth.without_object)
    assert len(truth.look_alikes) == 12


def test_every_licence_and_class_of_the_file_is_used(made):
    _, _, coco = made
    assert {image["license"] for image in coco.dataset["images"]} == {licence["id"] for licence in coco.dataset["licenses"]}
    assert {annotation["category_id"] for annotation in coco.dataset["annotations"]} == set(coco.cats)
    assert all(image["coco_url"].startswith(f"{BASE_URL}/images/") for image in coco.dataset["images"])


def test_the_annotations_are_one_json_file_without_numbers_that_json_does_not_have(made):
    _, truth, _ = made
    with open(truth.annotations, "rb") as stream:
        json.load(stream, parse_constant=pytest.fail)


def test_shapes_lie_wholly_in_the_image(made):
    _, _, coco = made
    for annotation in coco.dataset["annotations"]:
        image = coco.imgs[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        assert x >= 0 <= y
        assert x + width <= image["width"]
        assert y + height <= image["height"]


@pytest.mark.parametrize("name", drawing.LOOKS)
def test_a_shape_is_drawn_in_its_colour_where_it_is_and_nowhere_else(name):
    drawn = drawing.draw(120, 120, [drawing.Shape(name, x=60, y=60, radius=25)], np.random.default_rng(0))
    pixels = np.asarray(drawn, int)
    assert np.abs(pixels[60, 60] - drawing.LOOKS[name].colour).max() < 60
    assert np.abs(pixels[10:20, 10:20] - drawing.LOOKS[name].colour).max(axis=-1).min() > 40
