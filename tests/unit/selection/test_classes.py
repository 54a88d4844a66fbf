from __future__ import annotations

import json
import time

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.formats.coco import Category
from negset_jobs.selection.classes import resolve

WIDE = "\uff30\uff25\uff32\uff33\uff2f\uff2e"
CATEGORIES = (
    Category(1, "person", "person"),
    Category(2, "bicycle", "vehicle"),
    Category(3, "car", "vehicle"),
    Category(10, "traffic light", "outdoor"),
    Category(17, "cat", "animal"),
    Category(63, "couch", "furniture"),
)
ROBOFLOW = (
    Category(0, "street", "none"),
    Category(1, "person", "street"),
    Category(2, "car", "street"),
    Category(3, "dog", "street"),
)
DEEP = (
    Category(1, "vehicle", None),
    Category(2, "road vehicle", "Vehicle"),
    Category(3, "car", "road_vehicle"),
    Category(4, "taxi", "car"),
    Category(5, "boat", "vehicle"),
    Category(6, "dog", "animal"),
)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        pytest.param(["car"], {3}, id="a class"),
        pytest.param(["car", "cat"], {3, 17}, id="two classes are a union"),
        pytest.param(["vehicle"], {2, 3}, id="a supercategory stands for all its classes"),
        pytest.param(["person"], {1}, id="a name that is a class and its own supercategory"),
        pytest.param(["vehicle", "car"], {2, 3}, id="a supercategory and one of its classes"),
        pytest.param(["Person"], {1}, id="another case"),
        pytest.param(["traffic_light"], {10}, id="an underscore for a space"),
        pytest.param(["\uff36\uff25\uff28\uff29\uff23\uff2c\uff25"], {2, 3}, id="a supercategory in full width"),
    ],
)
def test_names_are_resolved(wanted, ids):
    assert resolve(wanted, CATEGORIES) == ids


def test_a_name_that_two_categories_share_stands_for_both():
    assert resolve(["car"], (*CATEGORIES, Category(99, "car"))) == {3, 99}


def test_names_that_are_only_written_differently_are_one_class_and_the_log_says_so(caplog):
    others = (Category(90, "Person"), Category(91, "person "), Category(92, WIDE))
    assert resolve(["person"], (*CATEGORIES, *others)) == {1, 90, 91, 92}
    assert caplog.messages == [
        f"spec.excludeClasses: 'person' stands for 'Person', 'person ', {WIDE!r} too: the names differ only in how they are written"
    ]


def test_one_of_the_spellings_alone_is_excluded_where_the_others_are_allowed():
    assert resolve(["person"], (*CATEGORIES, Category(90, "Person")), allowed=["Person"]) == {1}


@pytest.mark.parametrize(
    ("wanted", "categories", "ids"),
    [
        pytest.param(["vehicle"], DEEP, {1, 2, 3, 4, 5}, id="all levels"),
        pytest.param(["road vehicle"], DEEP, {2, 3, 4}, id="from the middle"),
        pytest.param(["street"], ROBOFLOW, {0, 1, 2, 3}, id="the root category of an export"),
        pytest.param(
            ["a"], (Category(1, "a", "b"), Category(2, "b", "a"), Category(3, "c", "b"), Category(4, "d")), {1, 2, 3}, id="a cycle"
        ),
    ],
)
def test_a_supercategory_excludes_everything_below_it(wanted, categories, ids):
    annotated = {category.id for category in categories} - {1}
    allowed = ["vehicle"] if wanted == ["road vehicle"] else []
    assert resolve(wanted, categories, allowed=allowed, annotated=annotated) == ids


def test_a_class_that_is_a_supercategory_too_excludes_both_and_the_log_says_so(caplog):
    assert resolve(["car"], (*CATEGORIES, Category(99, "lorry cab", "car"))) == {3, 99}
    (message,) = caplog.messages
    assert message == (
        "spec.excludeClasses: 'car' is a class and also the supercategory of 'lorry cab'; all of them are excluded. "
        "If negatives may show one of them, add it to spec.selection.allowClasses"
    )


def test_a_class_below_an_excluded_one_can_be_allowed():
    assert resolve(["car"], (*CATEGORIES, Category(99, "lorry cab", "car")), allowed=["lorry cab"]) == {3}


ASKED = {
    "plurals": (["person"], ("persons", "people"), "'persons', 'people' may be 'person'"),
    "a synonym": (["couch"], ("sofa",), "'sofa' may be 'couch'"),
    "a narrower class": (["person"], ("rider",), "'rider' may be 'person'"),
    "a plural of a supercategory": (["animal"], ("animals",), "'animals' may be 'animal'"),
    "a list of classes": (["car"], ("truck, car",), "'truck, car' may be 'car'"),
    "regions without annotations": (["car"], ("DontCare",), "'DontCare' may hide objects of any class"),
    "two excluded classes": (["car", "cat"], ("cats", "taxi"), "'cats' may be 'cat'; 'taxi' may be 'car'"),
}


def test_a_class_with_the_name_in_it_is_told_and_not_refused(caplog):
    categories = (*CATEGORIES, Category(90, "police car"), Category(91, "no car"))
    assert 90 not in resolve(["car"], categories)
    assert "negatives may show 'police car', whose names have 'car' in them" in caplog.text
    assert "no car" not in caplog.text


@pytest.mark.parametrize(("wanted", "others", "said"), ASKED.values(), ids=ASKED)
def test_a_remaining_class_that_may_be_an_excluded_one_is_refused(wanted, others, said):
    categories = (*CATEGORIES, *(Category(90 + index, name) for index, name in enumerate(others)))
    with pytest.raises(InvalidInput) as caught:
        resolve(wanted, categories)
    assert str(caught.value) == (
        f"spec.excludeClasses: expected a decision about classes that may be excluded ones under another name, got none: {said}. "
        "Add each of them to spec.excludeClasses, or to spec.selection.allowClasses if negatives may show it"
    )
    assert resolve([*wanted, *others], categories) >= {90}
    assert not resolve(wanted, categories, allowed=others) & {90, 91}


def test_a_class_whose_supercategory_may_be_the_excluded_class_is_refused():
    with pytest.raises(InvalidInput, match="'goalkeeper' may be 'person'"):
        resolve(["person"], (*CATEGORIES, Category(90, "goalkeeper", "People")))


def test_a_class_that_may_be_one_below_an_excluded_supercategory_is_refused():
    with pytest.raises(InvalidInput, match="'cars' may be 'car'"):
        resolve(["vehicle"], (*CATEGORIES, Category(90, "cars")))


def test_the_name_of_a_project_above_all_classes_says_nothing_about_them():
    project = (Category(0, "cars-and-people", "none"), Category(1, "car", "cars-and-people"), Category(2, "dog", "cars-and-people"))
    assert resolve(["car"], project, annotated={1, 2}) == {1}
    plural = (Category(0, "cars", "none"), Category(1, "car", "cars"), Category(2, "dog", "cars"))
    assert resolve(["car"], plural, annotated={1, 2}) == {1}


def test_a_class_without_annotations_is_in_no_image_and_is_not_asked_for():
    assert resolve(["car"], (*CATEGORIES, Category(90, "cars")), annotated={1, 3}) == {3}


def test_a_class_that_a_slip_of_the_pen_may_have_named_is_logged(caplog):
    assert resolve(["person"], (*CATEGORIES, Category(90, "preson"))) == {1}
    assert caplog.messages == ["spec.excludeClasses: the class 'preson' is not excluded, though its name is nearly 'person'"]


def test_an_annotated_class_above_an_excluded_one_is_logged(caplog):
    tree = (Category(1, "car", "vehicle"), Category(2, "vehicle", "things"), Category(3, "dog", "things"), Category(4, "sky"))
    assert resolve(["car"], tree) == {1}
    assert [message.partition(" is not excluded, though")[0] for message in caplog.messages] == ["spec.excludeClasses: 'vehicle'"]
    caplog.clear()
    assert resolve(["car"], tree, annotated={1, 3}) == {1}
    assert not caplog.messages


def test_every_class_and_supercategory_of_coco_can_be_excluded_alone(coco_mini):
    document = json.loads((coco_mini / "annotations" / "instances_train2017.json").read_text())
    categories = [Category(item["id"], item["name"], item["supercategory"]) for item in document["categories"]]
    assert len(categories) == 80
    for category in categories:
        same = {item.id for item in categories if category.name in (item.name, item.supercategory)}
        assert resolve([category.name], categories) == same
        assert resolve([str(category.supercategory)], categories) >= {category.id}


@pytest.mark.parametrize(
    ("allowed", "said"),
    [
        pytest.param(
            ["Cat"], "expected names of classes exactly as the annotations spell them, got 'Cat' (did you mean 'cat'?)", id="a spelling"
        ),
        pytest.param(["car"], "it has every class that 'car' of spec.excludeClasses names", id="an excluded class"),
    ],
)
def test_a_class_that_cannot_be_allowed_is_refused(allowed, said):
    with pytest.raises(InvalidInput) as caught:
        resolve(["car"], CATEGORIES, allowed=allowed)
    assert str(caught.value).startswith("spec.selection.allowClasses: ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        pytest.param("cars", "'cars' (did you mean 'car'?)", id="a plural"),
        pytest.param("bycicle", "'bycicle' (did you mean 'bicycle'?)", id="a slip of the pen"),
        pytest.param("vehicles", "'vehicles' (did you mean 'vehicle'?)", id="a plural of a supercategory"),
        pytest.param("pedestrian", "'pedestrian' (the annotations call it 'person': exclude 'person')", id="a narrower class"),
        pytest.param(
            "Pedestrians", "'Pedestrians' (the annotations call it 'person': exclude 'person')", id="a narrower class in the plural"
        ),
        pytest.param("automobile", "'automobile' (the annotations call it 'car': exclude 'car')", id="a synonym"),
        pytest.param("sofa", "'sofa' (the annotations call it 'couch': exclude 'couch')", id="a name of Pascal VOC"),
        pytest.param("light", "'light' (did you mean 'traffic light'?)", id="a part of a name"),
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


def test_a_file_of_images_without_classes_is_told_to_be_another():
    with pytest.raises(InvalidInput, match=r"the annotations have no classes; give the instances file"):
        resolve(["person"], ())


def test_hundreds_of_names_against_thousands_of_classes_take_a_moment():
    categories = [Category(number, f"thing number {number} of many", f"group {number % 50}") for number in range(5000)]
    began = time.process_time()
    assert len(resolve([item.name for item in categories[:250]], categories)) == 250
    assert time.process_time() - began < 5


DEEP = 10_000
HIERARCHIES = {
    "a chain, the deepest class last": [(f"n{number}", f"n{number - 1}") for number in range(DEEP)],
    "a chain, the deepest class first": [(f"n{number}", f"n{number + 1}") for number in range(DEEP)],
    "a cycle": [(f"n{number}", f"n{(number - 1) % DEEP}") for number in range(DEEP)],
    "one supercategory": [(f"n{number}", "project") for number in range(DEEP)],
    "as many supercategories": [(f"n{number}", f"above n{number}") for number in range(DEEP)],
}


@pytest.mark.parametrize("pairs", HIERARCHIES.values(), ids=HIERARCHIES)
def test_ten_thousand_classes_take_a_moment_in(pairs):
    """The time of this process grows with the number of classes, not with its square."""
    categories = [Category(number, name, above) for number, (name, above) in enumerate(pairs)] + [Category(DEEP, "zebra")]
    before = time.process_time()
    assert resolve(["zebra"], categories) == {DEEP}
    assert time.process_time() - before < 10
