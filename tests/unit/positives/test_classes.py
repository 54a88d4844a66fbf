"""Which classes are trained, and which choice would teach a detector wrong."""

import logging

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.positives.classes import Negatives, label_ids, trained_classes, wanted_classes

NEGATIVES = Negatives(
    excluded_classes=("person", "bicycle", "car", "truck"),
    categories={1: "person", 2: "bicycle", 3: "car", 8: "truck", 18: "dog", 19: "horse"},
    remaining_classes={"dog": 12},
)


def choose(requested=(), excluded=("car", "person"), shown=("person", "car"), known=None, allowed=()):
    wanted = wanted_classes(requested, excluded, NEGATIVES)
    return trained_classes(
        wanted, requested=bool(requested), negatives=NEGATIVES, shown=frozenset(shown), known=frozenset(known or shown), allowed=allowed
    )


CHOSEN = {
    "the excluded classes that are shown, in their order": ({}, ("car", "person")),
    "those that are not shown are left out": ({"shown": ("person",)}, ("person",)),
    "the classes of a supercategory come after the named ones": (
        {"excluded": ("vehicle", "person"), "shown": ("truck", "person", "car")},
        ("person", "car", "truck"),
    ),
    "requested classes in the requested order": ({"requested": ("person", "truck"), "shown": ("truck", "person")}, ("person", "truck")),
    "a class that is asked for twice is one": ({"requested": ("car", "car")}, ("car",)),
    "an excluded class spelled as in the manifest": ({"excluded": ("Person",), "shown": ("Person",)}, ("Person",)),
    "a requested class in two spellings is one": ({"requested": ("car", "CAR")}, ("car",)),
    "a class like one that the negatives may show": ({"requested": ("puppy",), "shown": ("puppy",), "allowed": ("dog",)}, ("puppy",)),
    "a class that is in none of the negatives": ({"requested": ("horse",), "shown": ("horse",)}, ("horse",)),
}


@pytest.mark.parametrize(("given", "expected"), CHOSEN.values(), ids=CHOSEN)
def test_classes_that_are_trained(given, expected):
    assert choose(**given) == expected


REFUSED = {
    "a class that the negatives show": (
        {"requested": ("dog",), "shown": ("dog",)},
        "spec.positives.classes: 12 of the negatives show 'dog', so the detector would learn it as background; add it to spec.excludeClasses",
    ),
    "a class that the negatives show in another spelling": (
        {"requested": ("DOG",), "shown": ("DOG",)},
        "spec.positives.classes: 12 of the negatives show 'dog', so the detector would learn it as background; add it to spec.excludeClasses",
    ),
    "a class that the negatives may show under another name": (
        {"requested": ("dogs",), "shown": ("dogs",)},
        (
            "spec.positives.classes: 12 of the negatives show 'dog', which may be 'dogs', so the detector would learn it as background; "
            "add it to spec.excludeClasses, or to spec.selection.allowClasses if negatives may show it"
        ),
    ),
    "a misspelt class": (
        {"requested": ("persons",), "shown": ("person",)},
        "spec.positives.classes: expected classes that the positives show, got 'persons'; did you mean 'person'?",
    ),
    "a class that nothing resembles": (
        {"requested": ("zebra",)},
        "spec.positives.classes: expected classes that the positives show, got 'zebra'; they show 'car', 'person'",
    ),
    "a class of which no box is usable": (
        {"requested": ("truck",), "known": ("person", "truck")},
        "spec.positives.classes: expected classes that the positives show, no image has a usable object of 'truck'",
    ),
    "positives without any object": (
        {"shown": (), "known": ()},
        (
            "spec.positives: expected usable objects of at least one of the excluded classes ('car', 'person', 'bicycle', 'truck'), got no annotated object at all; "
            "some tools leave out polygons and masks in formats of boxes, but export them as COCO"
        ),
    ),
    "positives of which none can be used": (
        {"shown": (), "known": ("dog", "Person")},
        (
            "spec.positives: expected usable objects of at least one of the excluded classes, got 'person' in images or boxes only that "
            "cannot be used; positives/failed.jsonl and positives/rejected.jsonl list why"
        ),
    ),
    "positives of other classes": (
        {"shown": (), "known": ("dog", "cat")},
        (
            "spec.positives: expected usable objects of at least one of the excluded classes ('car', 'person', 'bicycle', 'truck'), got annotations of 'cat', 'dog'; "
            "if they have other names there, set spec.positives.classes"
        ),
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_classes_that_are_refused(given, message):
    with pytest.raises(InvalidInput) as caught:
        choose(**given)
    assert str(caught.value) == message


def test_a_class_that_the_source_of_the_negatives_does_not_know_is_trained_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose(requested=("forklift",), shown=("forklift",)) == ("forklift",)
    assert "'forklift' is trained but not excluded" in caplog.text


def test_a_class_that_may_be_a_trained_one_is_logged(caplog):
    with caplog.at_level(logging.WARNING):
        assert choose(known=("person", "car", "people", "dog")) == ("car", "person")
    assert ["'people'" in message and "may be 'person'" in message for message in caplog.messages] == [True]


def test_ids_count_from_one():
    assert label_ids(("car", "person")) == {"car": 1, "person": 2}
