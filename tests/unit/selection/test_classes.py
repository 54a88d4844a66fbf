from __future__ import annotations

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.formats.coco import Category
from negset_jobs.selection.classes import SYNONYMS, resolve

CATEGORIES = (
    Category(1, "person", "person"),
    Category(2, "bicycle", "vehicle"),
    Category(3, "car", "vehicle"),
    Category(10, "traffic light", "outdoor"),
    Category(17, "cat", "animal"),
    Category(63, "couch", "furniture"),
)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        pytest.param(["car"], {3}, id="a class"),
        pytest.param(["car", "cat"], {3, 17}, id="two classes are a union"),
        pytest.param(["vehicle"], {2, 3}, id="a supercategory stands for all its classes"),
        pytest.param(["person"], {1}, id="a name that is a class and its own supercategory"),
        pytest.param(["vehicle", "car"], {2, 3}, id="a supercategory and one of its classes"),
    ],
)
def test_names_are_resolved(wanted, ids):
    assert resolve(wanted, CATEGORIES) == ids


def test_a_name_that_two_categories_share_stands_for_both():
    assert resolve(["car"], (*CATEGORIES, Category(99, "car"))) == {3, 99}


def test_a_class_goes_before_a_supercategory_of_other_classes_with_a_warning(caplog):
    assert resolve(["car"], (*CATEGORIES, Category(99, "taxi", "car"))) == {3}
    assert caplog.messages == ["'car' is a class and also the supercategory of taxi; only the class is excluded"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("cars", "'cars' (did you mean 'car'?)", id="a plural"),
        pytest.param("bycicle", "'bycicle' (did you mean 'bicycle'?)", id="a slip of the pen"),
        pytest.param("vehicles", "'vehicles' (did you mean 'vehicle'?)", id="a plural of a supercategory"),
        pytest.param("Person", "'Person' (the annotations spell it 'person')", id="another case"),
        pytest.param("traffic_light", "'traffic_light' (the annotations spell it 'traffic light')", id="an underscore for a space"),
        pytest.param("pedestrian", "'pedestrian' (the annotations call it 'person': exclude 'person')", id="a synonym"),
        pytest.param("Pedestrians", "'Pedestrians' (the annotations call it 'person': exclude 'person')", id="a synonym in the plural"),
        pytest.param("automobile", "'automobile' (the annotations call it 'car': exclude 'car')", id="another synonym"),
        pytest.param("sofa", "'sofa' (the annotations call it 'couch': exclude 'couch')", id="a name of Pascal VOC"),
    ],
)
def test_an_unknown_name_is_refused_with_what_was_probably_meant(name, hint):
    with pytest.raises(InvalidInput) as caught:
        resolve([name], CATEGORIES)
    assert str(caught.value) == f"spec.excludeClasses: expected names of classes or supercategories of the annotations, got {hint}"


def test_all_unknown_names_are_in_one_line_and_the_classes_are_listed_where_nothing_is_near():
    with pytest.raises(InvalidInput) as caught:
        resolve(["car", "cars", "quux"], CATEGORIES)
    assert str(caught.value) == (
        "spec.excludeClasses: expected names of classes or supercategories of the annotations, got 'cars' (did you mean 'car'?); 'quux'; "
        "the annotations have 'person', 'bicycle', 'car', 'traffic light', 'cat', 'couch', 'vehicle', 'outdoor', 'animal', 'furniture'"
    )


def test_a_synonym_is_no_hint_where_the_file_does_not_have_what_it_means():
    with pytest.raises(InvalidInput, match=r"got 'pedestrian'; the annotations have 'car'$"):
        resolve(["pedestrian"], (Category(1, "car"),))


def test_a_name_that_is_a_synonym_elsewhere_is_a_class_where_the_file_has_it():
    assert resolve(["pedestrian"], (Category(1, "person"), Category(2, "pedestrian"))) == {2}


def test_every_synonym_leads_to_a_class_of_coco(coco_mini):
    import json

    classes = {item["name"] for item in json.loads((coco_mini / "annotations" / "instances_train2017.json").read_text())["categories"]}
    assert set(SYNONYMS.values()) <= classes
    assert not set(SYNONYMS) & classes
