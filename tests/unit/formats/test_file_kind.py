"""What a file is that is not COCO's instances format."""

import json

import pytest

from negset_jobs.formats.file_kind import recognised, recognised_object

KINDS = {
    "a web page": (b"\n<!DOCTYPE html><html>", "a web page (HTML)"),
    "a web page in capitals": (b"<HTML><BODY>", "a web page (HTML)"),
    "an object store's error": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code>', "an error of an object store"),
    "an annotation of VOC": (b"<annotation>\n\t<folder>VOC2007</folder>", "Pascal VOC"),
    "an export of CVAT": (b'<?xml version="1.0" encoding="utf-8"?>\n<annotations>', "CVAT"),
    "other XML": (b"<kml>", "XML"),
    "gzip within gzip": (b"\x1f\x8b\x08", "gzip twice"),
    "a zip archive": (b"PK\x03\x04", "zip://"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04", "zstd"),
    "a table of Parquet": (b"PAR1\x15", "Parquet"),
    "an image": (b"\xff\xd8\xff\xe0", "a JPEG image"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "git lfs pull"),
    "a label file of YOLO": (b"0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.2 0.2\n", "a label file of YOLO"),
    "polygons of YOLO": (b"0 0.5 0.5 0.25 0.25 0.5 0.75\n", "a label file of YOLO"),
    "a dataset file of YOLO": (b"# classes\ntrain: ../train/images\nval: ../valid/images\nnc: 3\n", "a dataset file of YOLO"),
    "other YAML": (b"name: x\nitems:\n  - a\n", "YAML"),
    "a table": (b"filename,width,height,class,xmin,ymin,xmax,ymax\n1.jpg,640,480,car,1,2,3,4\n", "a table (CSV)"),
    "a table with semicolons": (b"image;label\n1.jpg;car\n", "a table (CSV)"),
    "a label map": (b"item {\n  id: 1\n", "a label map"),
    "a list with an object of COCO": (b'[\n {"images": [{"id": 1}], "annotations": [{"image_id": 1}]}]', "give the object itself"),
    "detections": (json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9}]).encode(), "results format"),
    "an export of Label Studio": (b'[{"id": 1, "annotations": [{"completed_by": 1, "result": []}]}]', "Label Studio"),
    "an export of CreateML": (b'[{"image": "1.jpg", "annotations": []}]', "CreateML"),
    "an export of Label Studio, without details": (
        b'[{"image": "/data/upload/1.jpg", "id": 1, "label": [{"x": 1, "original_width": 9}]}]',
        "Label Studio",
    ),
    "boxes of Open Images": (b"ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax\n", "spec.source.openImages.labels"),
    "words": (b"hello", None),
    "an empty list": (b"[]", None),
}


@pytest.mark.parametrize(("start", "expected"), KINDS.values(), ids=KINDS)
def test_a_file_is_named_by_its_first_bytes(start, expected):
    found = recognised(start)
    assert found is None if expected is None else expected in (found or "")


def test_recognising_takes_steps_in_proportion_to_the_text():
    for text in (b"1 " * 100_000, b"#\n" * 100_000, b" \n" * 100_000, b"-" * 100_000):
        recognised(text)


OBJECTS = {
    "an annotation of labelme": ({"version", "shapes", "imagePath", "imageData"}, "labelme"),
    "a project of VIA": ({"_via_settings", "_via_img_metadata"}, "VGG Image Annotator"),
    "a server's error": ({"error"}, "a server's error message"),
    "a dataset of Datumaro": ({"dm_format_version", "infos", "categories"}, "Datumaro"),
    "an older one of Datumaro": ({"info", "categories", "items"}, "Datumaro"),
    "labels of FiftyOne": ({"classes", "labels"}, "COCODetectionDataset"),
    "an annotation of Supervisely": ({"description", "tags", "size", "objects"}, "Supervisely"),
    "a project of VoTT": ({"name", "assets"}, "VoTT"),
    "the first line of Ultralytics' JSON Lines": ({"type", "task", "name", "class_names"}, "JSON Lines"),
    "something else": ({"a"}, None),
}


@pytest.mark.parametrize(("keys", "expected"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_named_by_its_keys(keys, expected):
    found = recognised_object(keys)
    assert found is None if expected is None else expected in (found or "")
