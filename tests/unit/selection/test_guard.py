"""Which images a file of excludeImagesOf lists."""

import pytest

from negset_jobs.formats.coco import Image
from negset_jobs.selection.guard import Guarded

RF = "0123456789abcdef0123456789abcdef"


def listed(images, *files):
    return [image.id for image, found in zip(images, Guarded.of(*files).match(images), strict=True) if found]


def numbered(prefix, count, **more):
    return [Image(number, f"{prefix}{number:03}.jpg", 640, 480, **more) for number in range(count)]


ONE = {
    "the same name under another id": (Image(1, "a.jpg"), Image(9, "a.jpg")),
    "a backslash for a slash": (Image(1, "x/a.jpg"), Image(9, "x\\a.jpg")),
    "another case": (Image(1, "a.jpg"), Image(9, "A.JPG")),
    "another case and a folder": (Image(1, "a.jpg"), Image(9, "VAL/A.JPG")),
    "a folder in the one file only": (Image(1, "a.jpg"), Image(9, "val/a.jpg")),
    "a folder in the other file only": (Image(1, "images/val/a.jpg"), Image(9, "val/a.jpg")),
    "another copy of one original": (Image(1, f"a_jpg.rf.{RF}.jpg"), Image(9, f"a_jpg.rf.{RF[::-1]}.jpg")),
    "the original of a copy": (Image(1, f"a_jpg.rf.{RF}.jpg"), Image(9, "a.jpg")),
    "the same URL": (Image(1, "a.jpg", coco_url="http://h.test/1.jpg"), Image(9, "b.jpg", coco_url="https://h.test/1.jpg")),
    "the same id where there is no name": (Image(1, ""), Image(1, "a.jpg")),
    "the same id and another ending": (Image(1, "a.png"), Image(1, "A.JPG")),
    "a name that only a URL has": (Image(1, "", coco_url="http://h.test/x/a.jpg"), Image(9, "a.jpg")),
}


@pytest.mark.parametrize(("image", "other"), ONE.values(), ids=ONE)
def test_one_picture_is_listed(image, other):
    assert listed([image], [other]) == [1]
    assert listed([other], [image]) == [other.id]


OTHERS = {
    "another name under the same id": (Image(1, "a.jpg"), Image(1, "b.jpg")),
    "another folder": (Image(1, "train/1.jpg"), Image(1, "val/1.jpg")),
    "another folder under another id": (Image(1, "train/1.jpg"), Image(2, "val/1.jpg")),
    "another original": (Image(1, f"a_jpg.rf.{RF}.jpg"), Image(1, f"b_jpg.rf.{RF}.jpg")),
    "another ending under another id": (Image(1, "a.png"), Image(2, "a.jpg")),
    "no name and another id": (Image(1, ""), Image(2, "")),
    "another size where a folder is missing": (Image(1, "1.jpg", 640, 480), Image(2, "val/1.jpg", 480, 640)),
}


@pytest.mark.parametrize(("image", "other"), OTHERS.values(), ids=OTHERS)
def test_another_picture_is_not_listed(image, other):
    assert listed([image], [other]) == []


def test_ids_that_each_file_counts_from_zero_say_nothing():
    assert listed(numbered("train-", 50), numbered("val-", 20)) == []


def test_ids_count_where_one_file_is_a_part_of_the_other_and_a_picture_was_renamed():
    source = numbered("train-", 50)
    part = [*source[:10], Image(20, "renamed.jpg", 640, 480)]
    assert listed(source, part) == [*range(10), 20]


def test_each_file_has_ids_of_its_own():
    source = numbered("train-", 50)
    assert listed(source, source[:10], numbered("val-", 50)) == [*range(10)]
