"""Which names are one class, and which may be."""

import unicodedata

import pytest

from negset_jobs.formats.class_names import KINDS, SYNONYMS, Alike, Spelling, distinct, hides_objects, key

EQUAL = {
    "another case": ("person", "Person"),
    "white space around": ("person", " person\t"),
    "white space within": ("traffic light", "traffic  light"),
    "a space that does not break": ("traffic light", "traffic\u00a0light"),
    "an underscore for a space": ("traffic light", "traffic_light"),
    "a hyphen for a space": ("traffic light", "Traffic-Light"),
    "another hyphen": ("traffic-light", "traffic\u2011light"),
    "nothing for a space": ("traffic light", "trafficLight"),
    "full width": ("person", "\uff50\uff45\uff52\uff53\uff4f\uff4e"),
    "a ligature": ("fish", "ﬁsh"),
    "decomposed letters": (unicodedata.normalize("NFC", "Fußgänger"), unicodedata.normalize("NFD", "Fußgänger")),
    "a sharp s in capitals": ("fußgänger", "FUSSGÄNGER"),
    "decomposed Korean": (unicodedata.normalize("NFC", "사람"), unicodedata.normalize("NFD", "사람")),
    "a zero-width space": ("person", "per\u200bson"),
    "a byte order mark": ("person", "\ufeffperson"),
    "a soft hyphen": ("person", "per\u00adson"),
    "a mark for the direction of text": ("person", "\u200eperson"),
    "a variation selector": ("🚗", "🚗\ufe0f"),
    "a line break": ("person", "person\r\n"),
}


@pytest.mark.parametrize(("name", "other"), EQUAL.values(), ids=EQUAL)
def test_equal_names_are_one_class(name, other):
    assert key(name) == key(other)
    assert Spelling([name]).of(other) == name


DIFFERENT = {
    "two words": ("car", "cat"),
    "another punctuation": ("c", "c++"),
    "numbers": ("1", "10"),
    "symbols": ("+", "*"),
    "names of nothing but separators": ("-", "_"),
    "other letters": ("кот", "кит"),
}


@pytest.mark.parametrize(("name", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_other_names_are_not_equal(name, other):
    assert key(name) != key(other)
    assert Spelling([name]).of(other) is None


def test_of_equal_names_the_first_is_kept():
    assert distinct(["Person", "car", "person ", "CAR", "dog"]) == ("Person", "car", "dog")


ALIKE = {
    "a plural": ("car", "cars"),
    "a plural in es": ("bus", "Buses"),
    "a plural in ies": ("berry", "berries"),
    "a plural in ves": ("knife", "knives"),
    "an irregular plural": ("person", "people"),
    "both plurals of it": ("person", "persons"),
    "a plural of a word in it": ("policeman", "policemen"),
    "a singular": ("skis", "ski"),
    "a synonym": ("couch", "sofa"),
    "a synonym in the plural": ("couch", "Sofas"),
    "two synonyms of a third": ("monitor", "television"),
    "some of its objects": ("person", "pedestrian"),
    "a class that contains it": ("pedestrian", "Person"),
    "a class that contains it, under another name": ("pedestrian", "people"),
    "quotation marks": ("person", '"person"'),
    "a full stop": ("person", "person."),
    "an accent": ("vehicule", "véhicule"),
    "Cyrillic letters of the same shape": ("person", "\u0440\u0435rs\u043en"),
    "a number behind it": ("person", "person 2"),
    "a number right behind it": ("person", "person2"),
    "a number before it": ("person", "0_person"),
    "a word in brackets": ("car", "car_(automobile)"),
    "a path": ("person", "human.pedestrian.adult"),
    "a part of a list": ("car", "truck, car"),
    "a part of a list with an ampersand": ("car", "car & truck"),
    "a part of a list with a word": ("car", "buses_and_cars"),
    "a plural in i": ("cactus", "cacti"),
    "a plural in ae": ("larva", "larvae"),
    "a plural in a": ("bacterium", "Bacteria"),
    "a plural in ices": ("vertex", "vertices"),
    "a plural in zzes": ("quiz", "quizzes"),
    "another plural in es": ("bus", "busses"),
    "another irregular plural": ("die", "dice"),
    "British spelling": ("gray tire", "Grey Tyre"),
    "British spelling in a longer word": ("aluminum can", "aluminium cans"),
    "a Turkish i without its dot": ("\u0131\u015f\u0131k", "I\u015eIK"),
    "a letter with a stroke": ("rode lys", "r\u00f8de lys"),
    "a letter of two": ("aegis", "\u00e6gis"),
}


@pytest.mark.parametrize(("name", "other"), ALIKE.values(), ids=ALIKE)
def test_alike_names_may_be_one_class(name, other):
    assert Alike([(name, "found")]).to(other) == "found"


WORDS = {
    "a word behind it": ("person", "Person_sitting"),
    "a word right behind it": ("person", "PersonSitting"),
    "a word before it": ("car", "sports car"),
    "two words within": ("traffic light", "red traffic light"),
    "a word before a negation": ("person", "person without helmet"),
}


@pytest.mark.parametrize(("name", "other"), WORDS.values(), ids=WORDS)
def test_words_of_a_name_may_name_the_class(name, other):
    assert Alike([(name, "found")]).to(other) is None
    assert Alike([(name, "found")]).to_word(other) == "found"


UNLIKE = {
    "a word that begins with it": ("car", "carpet"),
    "a word that ends with it": ("car", "oscar"),
    "another kind of the same class": ("man", "woman"),
    "a class of COCO that only sounds like it": ("dog", "hot dog"),
    "a toy of COCO": ("bear", "teddy bear"),
    "a number in it": ("1", "lane 1"),
    "a number of more digits": ("1", "10"),
    "only symbols": ("+", "-"),
    "its absence": ("helmet", "No-Helmet"),
    "its absence on another class": ("hard hat", "person_without_hard_hat"),
    "a name without letters": ("person", "_"),
}


@pytest.mark.parametrize(("name", "other"), UNLIKE.values(), ids=UNLIKE)
def test_other_names_are_not_alike(name, other):
    assert Alike([(name, "found")]).to(other) is None
    assert Alike([(name, "found")]).to_word(other) is None


SLIPS = {
    "two letters exchanged": ("person", "preson", True),
    "a letter missing": ("bicycle", "bicyle", True),
    "a letter too many": ("bicycle", "bicyccle", True),
    "another letter": ("person", "persom", True),
    "two other letters": ("person", "parsom", False),
    "a short name": ("car", "cat", False),
}


@pytest.mark.parametrize(("name", "other", "expected"), SLIPS.values(), ids=SLIPS)
def test_a_slip_of_the_pen_is_found(name, other, expected):
    assert (Alike([(name, "found")]).to_slip(other) == "found") is expected


def test_every_synonym_leads_to_a_class_of_coco(coco_mini):
    import json

    classes = {item["name"] for item in json.loads((coco_mini / "annotations" / "instances_train2017.json").read_text())["categories"]}
    assert {*SYNONYMS.values(), *KINDS.values()} <= classes
    assert not {*SYNONYMS, *KINDS} & classes


@pytest.mark.parametrize("name", ["DontCare", "ignored regions", "Ignore_Region", "unlabelled", "out of ROI"])
def test_a_region_without_annotations_may_hide_any_class(name):
    assert hides_objects(name)


@pytest.mark.parametrize("name", ["person", "care", "unknown", "label"])
def test_other_classes_hide_nothing(name):
    assert not hides_objects(name)
