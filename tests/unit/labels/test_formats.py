"""The files of each label format, for an image and for the dataset."""

import io
import json
import xml.etree.ElementTree as ET

import pytest
import yaml
from PIL import Image

from negset_api.schema import resource_schema
from negset_api.values import License, PlannedImage
from negset_jobs.labels import coco, voc, yolo
from negset_jobs.labels.formats import Contents
from negset_jobs.labels.label_task import FORMATS
from negset_jobs.labels.labelled import LabelledImage

CONTENTS = Contents(
    title="team-a/street: images without person, car",
    classes=("person", "car"),
    categories={1: "person", 3: "car", 18: "dog"},
    licenses=(License(id=4, name="Attribution", url="https://example.org/by", images=2),),
)


def labelled_image(stem="a", split="train", image_id=7, extension=".jpg", channels=3, **fields):
    image = PlannedImage(
        image_id=image_id,
        url=f"https://example.org/{stem}.jpg",
        file_name=f"{stem}.jpg",
        license=4,
        page="https://example.org/page",
        **fields,
    )
    return LabelledImage(image=image, split=split, stem=stem, name=stem + extension, width=30, height=20, channels=channels)


def encoded(mode="RGB", kind="JPEG"):
    stream = io.BytesIO()
    Image.new(mode, (30, 20)).save(stream, kind)
    return stream.getvalue()


FILES = {
    "YOLO": (yolo, ["images/val/a.png", "labels/val/a.txt"]),
    "COCO": (coco, ["images/val/a.png"]),
    "VOC": (voc, ["JPEGImages/a.png", "Annotations/a.xml"]),
}


def test_the_manifest_names_the_formats_that_are_written_and_no_other():
    named = resource_schema()["properties"]["spec"]["properties"]["output"]["properties"]["formats"]["items"]["enum"]
    assert set(named) - {"TFRecord"} == set(FORMATS) == set(FILES)


@pytest.mark.parametrize(("form", "keys"), FILES.values(), ids=FILES)
def test_an_image_is_stored_as_it_is_beside_its_label_file(form, keys):
    data = encoded(kind="PNG")
    files = list(form.image_files(labelled_image(split="val", extension=".png"), data))
    assert [file.key for file in files] == keys
    assert files[0].data == data


def test_yolo_says_that_there_is_no_object_with_an_empty_file():
    _, label = yolo.image_files(labelled_image(), encoded())
    assert label.data == b""


def index(form, *labelled):
    return {file.key: file.data for file in form.index_files(labelled, CONTENTS)}


def test_yolo_lists_its_folders_and_the_classes_by_number():
    listing = index(yolo, labelled_image(), labelled_image("b", "val"))
    assert list(listing) == ["data.yaml"]
    assert yaml.safe_load(listing["data.yaml"]) == {"train": "images/train", "val": "images/val", "names": {0: "person", 1: "car"}}


def test_yolo_without_held_out_images_has_the_key_that_readers_insist_on_and_no_folder():
    assert yaml.safe_load(index(yolo, labelled_image())["data.yaml"])["val"] is None


@pytest.mark.parametrize("name", ["no", "on", "1", "null", "key: value", "#1"])
def test_class_names_that_yaml_would_take_for_something_else_stay_names(name):
    (file,) = yolo.index_files([labelled_image()], CONTENTS._replace(classes=(name,)))
    assert yaml.safe_load(file.data)["names"] == {0: name}


def test_coco_lists_each_split_with_licences_categories_and_no_annotation():
    listing = index(coco, labelled_image(), labelled_image("b", "val", image_id=8))
    assert list(listing) == ["annotations/instances_train.json", "annotations/instances_val.json"]
    train = json.loads(listing["annotations/instances_train.json"])
    assert train["images"] == [
        {
            "id": 7,
            "file_name": "a.jpg",
            "width": 30,
            "height": 20,
            "license": 4,
            "coco_url": "https://example.org/a.jpg",
            "flickr_url": "https://example.org/page",
        }
    ]
    assert train["annotations"] == []
    assert train["licenses"] == [{"id": 4, "name": "Attribution", "url": "https://example.org/by"}]
    assert [(category["id"], category["name"]) for category in train["categories"]] == [(1, "person"), (3, "car"), (18, "dog")]
    assert [image["id"] for image in json.loads(listing["annotations/instances_val.json"])["images"]] == [8]


def test_coco_numbers_images_whose_ids_are_names():
    listing = index(coco, labelled_image(image_id="a.jpg"), labelled_image("b", "val", image_id="b.jpg"))
    assert [json.loads(data)["images"][0]["id"] for data in listing.values()] == [1, 2]


@pytest.mark.parametrize("channels", [1, 3])
def test_voc_describes_the_image_and_has_no_object(channels):
    _, annotation = voc.image_files(labelled_image(channels=channels), encoded())
    root = ET.fromstring(annotation.data)
    assert (root.tag, root.findtext("folder"), root.findtext("filename")) == ("annotation", "JPEGImages", "a.jpg")
    assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["30", "20", str(channels)]
    assert root.findtext("source/image") == "https://example.org/page"
    assert root.find("object") is None


def test_voc_stays_xml_whatever_the_annotations_said_about_an_image():
    _, annotation = voc.image_files(
        labelled_image()._replace(image=PlannedImage(image_id=1, url="", file_name="a", page="<&\x00\x0b>")), encoded()
    )
    assert ET.fromstring(annotation.data).findtext("source/image") == "<&>"


def test_voc_lists_each_image_once():
    listing = index(voc, labelled_image("a"), labelled_image("b", "val"), labelled_image("c"))
    assert listing == {"ImageSets/Main/train.txt": b"a\nc\n", "ImageSets/Main/val.txt": b"b\n"}


def test_voc_without_held_out_images_has_one_list():
    assert list(index(voc, labelled_image())) == ["ImageSets/Main/train.txt"]
