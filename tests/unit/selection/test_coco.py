from __future__ import annotations

import json

import numpy as np
import pytest
from tests.unit.selection.files import coco, read

from negset_api.errors import InvalidInput

INCOMPLETE = "; the file is incomplete, copy or download it again"


def refusal(document) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(document)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(**changes):
    return {**coco({1: ["car"], 2: []}), **changes}


def test_the_columns_are_those_of_the_file():
    found = read(coco({7: ["car", "dog"], 5: [], 6: ["car"]}), block=64)
    assert [image.id for image in found.images] == [7, 5, 6]
    assert found.image_ids.tolist() == [7, 7, 6]
    assert found.category_ids.tolist() == [2, 3, 2]
    assert found.image_ids.dtype == np.int64


def test_nulls_and_fractions_where_exporters_write_them_are_accepted():
    image = {"id": 1, "file_name": "1.jpg", "width": 640.0, "height": None, "license": None, "coco_url": None, "flickr_url": None}
    (found,) = read(changed(images=[image], annotations=[])).images
    assert (found.width, found.height, found.license) == (640, None, None)


def test_the_digest_looks_at_the_content_and_not_at_the_layout():
    document = coco({1: ["car"], 2: []})
    same = json.dumps(dict(reversed(document.items())), indent=2).encode()
    assert read(document).digest == read(same).digest
    assert read(document).digest != read(coco({1: ["dog"], 2: []})).digest


def test_annotations_of_unknown_images_are_counted_in_a_warning(caplog):
    document = changed(annotations=[{"image_id": number, "category_id": 1} for number in range(90, 97)])
    assert len(read(document).image_ids) == 7
    assert caplog.messages == [
        "7 image ids of the annotations are not in 'images' (90, 91, 92, 93, 94 and 2 more); they cannot be selected"
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        pytest.param(b"", f"'file.json' is not valid JSON: the file is empty at byte 0{INCOMPLETE}", id="an empty file"),
        pytest.param(
            b'{"images": [',
            f"'file.json' is not valid JSON: the file ends within the array 'images' at byte 12{INCOMPLETE}",
            id="a file cut short",
        ),
        pytest.param(
            b'{"images": [}',
            "'file.json' is not valid JSON: invalid character at byte 12",
            id="broken JSON, with its place and without its text",
        ),
        pytest.param(
            b"{'images': []}",
            "'file.json' is not valid JSON: expected a key in double quotes, found a single quote at byte 1",
            id="what Python prints",
        ),
        pytest.param(
            b'{"images": [{"id": 1, "file_name": "K\xf6ln.jpg"}]}',
            "'file.json' is not valid JSON: text that is not in UTF-8 (save the file in UTF-8) at byte 37",
            id="text in Latin-1",
        ),
        pytest.param(
            b"<!DOCTYPE html>",
            "'file.json' is not in COCO's instances format: it is a web page (HTML); the URL may need a login, or may have moved; "
            "open it in a browser",
            id="a web page",
        ),
        pytest.param(
            [], "'file.json' is not in COCO's instances format: expected a JSON object at the top, found an array", id="a list at the top"
        ),
        pytest.param(
            {"images": []},
            "'file.json' is not in COCO's instances format: expected the keys images, annotations, categories at the top, "
            "found no 'annotations' and no 'categories'",
            id="keys that are missing",
        ),
        pytest.param(
            changed(images=[{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}]),
            "'file.json' is not in COCO's instances format: images: expected unique ids, found 1 twice ('a.jpg' and 'b.jpg')",
            id="an image's id twice",
        ),
        pytest.param(
            changed(categories=[{"id": 2, "name": "a"}, {"id": 2, "name": "b"}]),
            "'file.json' is not in COCO's instances format: categories: expected unique ids, found 2 twice ('a' and 'b')",
            id="a category's id twice",
        ),
        pytest.param(
            changed(annotations=[{"image_id": 1, "category_id": None}]),
            "'file.json' is not in COCO's instances format: annotations[0].category_id: expected a number or text, got nothing",
            id="annotations without categories",
        ),
        pytest.param(
            changed(images=[{"id": None, "file_name": "a.jpg"}]),
            "'file.json' is not in COCO's instances format: images[0].id: expected a number or text, got nothing",
            id="images without ids",
        ),
        pytest.param(
            changed(images=[{"id": 1, "file_name": "a.jpg"}, {"id": "1", "file_name": "b.jpg"}]),
            "'file.json' is not in COCO's instances format: images: expected unique ids, found 1 twice ('a.jpg' and 'b.jpg')",
            id="one id in two spellings",
        ),
        pytest.param(
            changed(annotations=[{"image_id": "x1", "category_id": 1}, {"image_id": "x2", "category_id": 1}]),
            "'file.json' is not in COCO's instances format: expected the image_id of the annotations in 'images', "
            "found none of the 2 there ('x1', 'x2')",
            id="annotations of other images only: all images would look free of classes",
        ),
        pytest.param(
            changed(annotations=[{"image_id": 1, "category_id": 77}]),
            "'file.json' is not in COCO's instances format: expected every category_id of the annotations in 'categories', found 77",
            id="a category that is not listed: it might be an excluded class",
        ),
    ],
)
def test_what_is_not_coco_is_refused_in_one_line(document, message):
    assert refusal(document) == f"spec.source.coco.annotations: {message}"
