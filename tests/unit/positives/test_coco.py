"""Positives out of COCO's format."""

import io
import json

import pytest

from negset_api.errors import InvalidInput
from negset_api.spec import CocoPositives
from negset_jobs.formats.boxes import Reason
from negset_jobs.positives.annotated import planned_images
from negset_jobs.positives.coco import annotated, parse_coco

SOURCE = CocoPositives(annotations="a.json", image_url="https://example.org/{file_name}")
CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}, {"id": 18, "name": "dog"}]


def read(*annotations, images=None, wanted=("person", "car"), source=SOURCE, **how):
    """What is found in a file with two images of 200 by 100 pixels and the given annotations."""
    if images is None:
        images = [{"id": number, "file_name": f"{number}.jpg", "width": 200, "height": 100} for number in (1, 2)]
    data = json.dumps({"images": images, "annotations": annotations, "categories": CATEGORIES}).encode()
    return planned_images(annotated(parse_coco(io.BytesIO(data), "a.json"), frozenset(wanted), source), **how)


def annotation(image_id=1, category_id=1, bbox=(20, 10, 40, 30), **more):
    return {"id": 0, "image_id": image_id, "category_id": category_id, "bbox": bbox, **more}


def test_a_box_in_pixels_becomes_corners_in_parts_of_the_image():
    (image,) = read(annotation()).images
    (box,) = image.objects
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0.1, 0.1, 0.4, 0.3)
    assert (box.class_name, box.crowd) == ("person", False)
    assert (image.image_id, image.url, image.width, image.height) == (1, "https://example.org/1.jpg", 200, 100)


def test_only_images_with_a_wanted_class_and_only_their_wanted_objects_are_taken():
    found = read(annotation(1, 18), annotation(2, 18), annotation(2, 3), annotation(2, 1))
    assert [(image.image_id, [box.class_name for box in image.objects]) for image in found.images] == [(2, ["car", "person"])]
    assert found.classes == {"person", "car", "dog"}


def test_a_category_without_objects_is_no_class_of_the_positives():
    """An export of Roboflow has a root category, whose name is often like that of a class."""
    assert read(annotation(1, 1), annotation(2, 3)).classes == {"person", "car"}


def test_a_class_is_found_in_another_spelling_and_named_as_in_the_manifest():
    found = read(annotation(1, 3), annotation(2, 1), wanted=("Person", "CAR"))
    assert [[box.class_name for box in image.objects] for image in found.images] == [["CAR"], ["Person"]]


def entries(*names, **more):
    return [{"id": 1 + number, "file_name": name, "width": 200, "height": 100, **more} for number, name in enumerate(names)]


TWICE = {
    "under two ids": entries("a.jpg", "a.jpg"),
    "with a backslash": entries("x/a.jpg", "x\\a.jpg"),
    "with a percent code": entries("a b.jpg", "./a b.jpg"),
    "under two names with one URL": entries("a.jpg", "b.jpg", coco_url="https://h.test/1.jpg"),
    "in two sizes": [entries("a.jpg")[0], {"id": 2, "file_name": "a.jpg", "width": 400, "height": 200}],
}


@pytest.mark.parametrize("images", TWICE.values(), ids=TWICE)
def test_an_image_that_is_listed_twice_is_one_with_all_its_objects(images, caplog):
    scale = images[1]["width"] // 200
    found = read(annotation(1), annotation(2, 3, [100 * scale, 50 * scale, 20 * scale, 10 * scale]), images=images)
    ((image,), rejected) = found.images, found.rejected
    assert [(box.class_name, box.xmin, box.ymin) for box in image.objects] == [("person", 0.1, 0.1), ("car", 0.5, 0.5)]
    assert (image.image_id, rejected) == (1, ())
    assert "1 entries describe an image again" in caplog.text


def test_an_object_that_two_entries_of_an_image_have_is_one():
    (image,) = read(annotation(1), annotation(2), annotation(2, 3), images=TWICE["under two ids"]).images
    assert [box.class_name for box in image.objects] == ["person", "car"]


def test_a_crowd_under_the_other_id_is_kept():
    (image,) = read(annotation(1), annotation(2, bbox=[100, 10, 40, 30], iscrowd=1), images=TWICE["under two ids"]).images
    assert [box.crowd for box in image.objects] == [False, True]


def test_two_images_with_one_id_are_refused():
    images = entries("a.jpg", "b.jpg")
    with pytest.raises(InvalidInput, match=r"a\.json' is not in COCO's instances format: images: expected unique ids, found 7 twice"):
        read(annotation(7), images=[{**image, "id": 7} for image in images])


def test_the_source_of_an_image_is_kept():
    image = {
        "id": 1,
        "file_name": "1.jpg",
        "width": 200,
        "height": 100,
        "license": 4,
        "flickr_url": "http://farm4.staticflickr.com/3448/3176652494_ba19663418_z.jpg",
    }
    (planned,) = read(annotation(), images=[image]).images
    assert planned.license == 4
    assert "3176652494" in planned.page


def test_a_box_that_overhangs_is_clipped():
    ((box,),) = (image.objects for image in read(annotation(bbox=[190, 90, 10.01, 30])).images)
    assert (box.ymin, box.xmin, box.ymax, box.xmax) == (0.9, 0.95, 1, 1)


REJECTED = {
    "no width": ([10, 10, 0, 5], Reason.NO_EXTENT),
    "a negative height": ([10, 10, 5, -5], Reason.NO_EXTENT),
    "outside": ([300, 10, 5, 5], Reason.OUTSIDE),
    "a sliver": ([199.99, 10, 5, 5], Reason.TOO_SMALL),
    "three numbers": ([10, 10, 5], Reason.MISSING),
    "an empty list": ([], Reason.MISSING),
    "null": (None, Reason.MISSING),
    "a null in it": ([10, None, 5, 5], Reason.NOT_FINITE),
    "fractions of the image": ([0.1, 0.2, 0.3, 0.4], Reason.OTHER_UNIT),
    "a box that is many images long": ([10, 10, 900, 20], Reason.FAR_OUTSIDE),
}


@pytest.mark.parametrize(("bbox", "reason"), REJECTED.values(), ids=REJECTED)
def test_a_box_that_cannot_be_used_is_named_with_its_reason_and_the_others_stay(bbox, reason):
    found = read(annotation(1), annotation(1, 3, bbox), annotation(2, 3, bbox))
    assert [len(image.objects) for image in found.images] == [1, 0]
    assert [(box.image_id, box.file_name, box.class_name, box.reason) for box in found.rejected] == [
        (1, "1.jpg", "car", reason),
        (2, "2.jpg", "car", reason),
    ]


def test_a_crowd_is_kept_beside_objects_and_an_image_of_only_crowds_is_left_out():
    found = read(annotation(1, iscrowd=1), annotation(1, iscrowd=0), annotation(2, iscrowd=1))
    assert [[box.crowd for box in image.objects] for image in found.images] == [[True, False]]
    assert found.left_out == {"crowds": 2, "images_with_only_crowds": 1}
    assert (found.annotations, found.crowds) == ({"person": 3}, {"person": 2})


def test_crowds_are_objects_if_the_user_says_so():
    found = read(annotation(1, iscrowd=1), annotation(2, 3, iscrowd=1), crowds_are_objects=True)
    assert [[(box.class_name, box.crowd) for box in image.objects] for image in found.images] == [[("person", False)], [("car", False)]]
    assert (found.left_out, found.crowds) == ({}, {})


def test_images_without_a_wanted_object_are_counted_by_whether_they_show_another_class():
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 200, "height": 100} for number in (1, 2, 3)]
    assert read(annotation(1), annotation(2, 18), images=images).left_out == {"images_of_other_classes": 1, "images_without_objects": 1}


def test_a_crowd_does_not_make_up_for_an_object_whose_box_cannot_be_used():
    found = read(annotation(1, iscrowd=1), annotation(1, bbox=[0, 0, 0, 0]))
    assert [image.objects for image in found.images] == [()]


def test_an_image_without_a_wanted_object_needs_no_size():
    images = [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg", "width": 200, "height": 100}]
    assert len(read(annotation(2), images=images).images) == 1


@pytest.mark.parametrize("size", [{}, {"width": 0, "height": 0}, {"width": 200}], ids=["none", "zeros", "half"])
def test_the_boxes_of_an_image_without_its_size_stay_in_pixels(size):
    (image,) = read(annotation(), images=[{"id": 1, "file_name": "1.jpg", **size}]).images
    assert (image.width, image.height, image.pixels) == (0, 0, True)
    assert [(box.xmin, box.ymin, box.xmax, box.ymax) for box in image.objects] == [(20, 10, 60, 40)]


def test_a_file_without_any_url_is_told_to_set_the_location_of_the_images():
    with pytest.raises(
        InvalidInput, match=r"^spec.positives.coco.imageUrl: .* needs coco_url, which none of the 1 images has; set imageUrl"
    ):
        read(annotation(1), images=[{"id": 1, "file_name": "1.jpg"}], source=CocoPositives(annotations="a.json"))


@pytest.mark.parametrize("name", ["/data/upload/7/a1b2-1.jpg", "s3://labels/a1b2-1.jpg"])
def test_an_image_of_label_studio_is_found_by_its_base_name(name):
    source = CocoPositives(annotations="a.json", image_url="https://h.test/img/{base_name}")
    (image,) = read(annotation(1), images=[{"id": 1, "file_name": name, "width": None, "height": None}], source=source).images
    assert image.url == "https://h.test/img/a1b2-1.jpg"


def test_two_images_with_one_base_name_are_refused():
    source = CocoPositives(annotations="a.json", image_url="https://h.test/img/{base_name}")
    images = [{"id": number, "file_name": f"/data/upload/{number}/1.jpg"} for number in (1, 2)]
    with pytest.raises(InvalidInput, match=r"^spec.positives.coco.imageUrl: expected each image to have another \{base_name\}"):
        read(annotation(1), images=images, source=source)


def test_an_image_without_its_url_is_a_failure_of_its_own():
    images = [
        {"id": 1, "file_name": "1.jpg", "width": 9, "height": 9},
        {"id": 2, "file_name": "2.jpg", "coco_url": "https://example.org/2.jpg"},
    ]
    found = read(annotation(1), annotation(2), images=images, source=CocoPositives(annotations="a.json"))
    assert [image.image_id for image in found.images] == [2]
    ((number, outcome, detail),) = ((each.image_id, each.outcome, each.detail) for each in found.failed)
    assert (number, outcome) == (1, "invalid_annotation")
    assert "coco_url, which is empty" in detail


SPELLED = {
    "numbers as text": {"bbox": ["20", 10, "40.0000", "30.0"]},
    "ids as text": {"image_id": "1", "category_id": "1"},
    "ids with a point": {"image_id": 1.0, "category_id": 1.0},
    "a flag as text": {"iscrowd": "0"},
    "a flag as a word": {"iscrowd": "false"},
    "an empty flag": {"iscrowd": ""},
    "an area that is no number": {"area": float("nan")},
    "a polygon without a box": {"bbox": None, "segmentation": [[20, 10, 60, 10, 60, 40]]},
    "a polygon and an empty box": {"bbox": [], "segmentation": [[20, 10, 60, 10, 60, 40]]},
    "a polygon and a box of zeros": {"bbox": [0, 0, 0, 0], "segmentation": [[20, 10, 60, 10, 60, 40]]},
    "a polygon and a box with an angle": {"bbox": [20, 10, 40, 30, 0.5], "segmentation": [[20, 10, 60, 10, 60, 40]]},
    "a polygon of pairs": {"bbox": None, "segmentation": [[[20, 10], [60, 10], [60, 40]]]},
    "a list as text": {"bbox": "[20, 10.0, 40, 30]"},
    "an array as text": {"bbox": "[20. 10. 40. 30.]"},
    "a list within a list": {"bbox": [[20, 10, 40, 30]]},
    "an object with a size": {"bbox": {"x": 20, "y": 10, "width": 40, "height": 30}},
    "an object with corners": {"bbox": {"xmin": "20", "ymin": 10, "xmax": 60, "ymax": 40}},
    "a mask without a box": {"bbox": None, "segmentation": {"size": [100, 200], "counts": [20 * 100 + 10, *[30, 70] * 40]}},
}


@pytest.mark.parametrize("changes", SPELLED.values(), ids=SPELLED)
def test_another_spelling_gives_the_same_box(changes):
    (image,) = read(annotation(**changes)).images
    assert image.objects == read(annotation()).images[0].objects


@pytest.mark.parametrize(
    ("bbox", "said"),
    [
        ([1, 2, 3, 4, 5], "5 values"),
        (None, "nothing"),
        ({"cx": 1}, "`dict`"),
        ("a b", "`str`"),
        (["1,0"] * 4, "4 values that are no numbers"),
    ],
)
def test_a_box_that_is_not_four_numbers_is_rejected_and_the_log_says_what_it_is(bbox, said, caplog):
    found = read(annotation(1), annotation(2, bbox=bbox))
    assert [box.image_id for box in found.rejected] == [2]
    assert caplog.messages == [f"spec.positives.coco.annotations: expected bbox as [x, y, width, height], got {said} (1 times)"]


def test_a_box_that_is_listed_again_is_one_box():
    found = read(annotation(1), annotation(1), annotation(1, bbox=[1, 1, 5, 5]), annotation(1, bbox=None), annotation(1, bbox=None))
    assert len(found.images[0].objects) == 2
    assert len(found.rejected) == 2
    assert found.left_out["boxes_listed_again"] == 1


@pytest.mark.parametrize("iscrowd", ["1", "true", True, 1.0])
def test_a_crowd_is_one_in_every_spelling(iscrowd):
    assert read(annotation(1, iscrowd=iscrowd)).left_out["images_with_only_crowds"] == 1


def test_a_value_of_a_box_that_is_no_number_rejects_that_box_only():
    found = read(annotation(1), annotation(2, bbox=["wide", 10, 40, 30]))
    assert [(box.image_id, box.reason) for box in found.rejected] == [(2, Reason.NOT_FINITE)]


def test_ids_that_are_text_find_their_boxes():
    images = [{"id": name, "file_name": f"{name}.jpg", "width": "200", "height": "100"} for name in ("a1", "b2")]
    found = read(annotation("b2"), annotation("a1", 18), images=images)
    assert [(image.image_id, image.width, len(image.objects)) for image in found.images] == [("b2", 200, 1)]


BROKEN = {
    "nothing": (b"", "'a.json' is not valid JSON: the file is empty at byte 0"),
    "a list": (b"[]", "'a.json' is not in COCO's instances format: expected a JSON object at the top"),
    "cut off": (b'{"images": [', "'a.json' is not valid JSON: the file ends within the array 'images'"),
    "no annotations": (
        b'{"images": [], "categories": []}',
        "'a.json' is not in COCO's instances format: expected the keys images, annotations, categories",
    ),
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_coco_is_refused_in_one_line(data, message):
    with pytest.raises(InvalidInput) as caught:
        parse_coco(io.BytesIO(data), "a.json")
    assert str(caught.value).startswith(f"spec.positives.coco.annotations: {message}")
    assert "\n" not in str(caught.value)
