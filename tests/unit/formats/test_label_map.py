"""Label maps, written and read as the Object Detection API does."""

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.formats.label_map import Item, called, read_label_map, write_label_map


def test_ids_count_from_one_in_the_order_of_the_classes():
    assert write_label_map(["person", "car"]) == b'item {\n  name: "person"\n  id: 1\n}\nitem {\n  name: "car"\n  id: 2\n}\n'


@pytest.mark.parametrize(
    "name", ["person", "traffic light", 'a "quoted" one', "it's", "back\\slash", "Fußgänger", "人", "{ id: 7 }", "# no comment"]
)
def test_any_class_name_survives_writing_and_reading(name):
    assert read_label_map(write_label_map([name]), "here") == (Item(1, name),)


TEXTS = {
    "the usual form": ("item {\n  id: 1\n  name: 'person'\n}\n", (Item(1, "person"),)),
    "with a display name": ("item { name: '/m/01g317' id: 1 display_name: 'person' }", (Item(1, "/m/01g317", "person"),)),
    "a display name alone": ("item { id: 1 display_name: 'person' }", (Item(1, "person", "person"),)),
    "by id, whatever the order": ("item { id: 3 name: 'car' } item { id: 1 name: 'person' }", (Item(1, "person"), Item(3, "car"))),
    "with the background": ("item { id: 0 name: 'background' } item { id: 1 name: 'car' }", (Item(1, "car"),)),
    "with comments, commas and angle brackets": ('# cars\nitem: < id: 1, name: "car"; >', (Item(1, "car"),)),
    "with fields that do not matter": (
        "item { id: 1 name: 'a' keypoints { id: 2 label: 'nose' } frequency: FREQUENT ancestor_ids: [1, 2] instance_count: 5 }",
        (Item(1, "a"),),
    ),
    "with a byte order mark": ("\ufeffitem { id: 1 name: 'a' }", (Item(1, "a"),)),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_forms_that_are_read(text, expected):
    assert read_label_map(text.encode(), "here") == expected


BROKEN = {
    "nothing": (b"", "here: expected a label map with at least one item, found none"),
    "an open brace": (
        b"item { id: 1",
        "here: expected a label map such as `item { id: 1 name: 'person' }`: line 1, column 12: expected '}'",
    ),
    "XML": (b"<annotation/>", "here: expected a label map such as"),
    "not text": (b"\xff\xfe\x00", "here: expected a label map such as"),
    "an id twice": (b"item { id: 1 name: 'a' } item { id: 1 name: 'b' }", "here: expected unique ids, got 1 more than once"),
    "a name twice": (b"item { id: 1 name: 'a' } item { id: 2 name: 'a' }", "here: expected unique names, got 'a' more than once"),
    "no id": (b"item { name: 'a' }", "here: expected a name and an id of at least 1 in every item, got id 0 and name 'a'"),
    "no name": (b"item { id: 4 }", "here: expected a name and an id of at least 1 in every item, got id 4 and name ''"),
}


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_no_label_map_is_refused_in_one_line(data, message):
    with pytest.raises(InvalidInput) as caught:
        read_label_map(data, "here")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


CALLED = {
    "by its name where that is wanted": (Item(1, "car", "Car (vehicle)"), Item(1, "car", "Car (vehicle)")),
    "by its display name where the name is an identifier": (Item(1, "/m/01g317", "person"), Item(1, "person", "/m/01g317")),
    "by the only name it has": (Item(1, "dog"), Item(1, "dog")),
}


@pytest.mark.parametrize(("item", "expected"), CALLED.values(), ids=CALLED)
def test_a_class_is_called_as_the_manifest_calls_it(item, expected):
    assert called(item, {"car", "person"}) == expected
