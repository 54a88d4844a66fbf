"""Annotations as exporters write them: the plan is that of the same file in the usual spelling."""

from __future__ import annotations

import json

import pytest
from tests.unit.selection.files import coco, plan, read, spec

from negset_api.errors import InvalidInput
from negset_jobs.selection.text import describe

SHOWS = {1: ["person", "dog"], 2: ["dog"], 3: [], 4: ["car"], 5: ["person"]}
WANTED = spec(count=5, allow_fewer=True)


def with_ids(image=lambda number: number, reference=lambda number: number, category=lambda number: number, listed=lambda number: number):
    document = coco(SHOWS)
    return {
        "images": [{**entry, "id": image(entry["id"])} for entry in document["images"]],
        "annotations": [
            {**entry, "image_id": reference(entry["image_id"]), "category_id": category(entry["category_id"])}
            for entry in document["annotations"]
        ],
        "categories": [{**entry, "id": listed(entry["id"])} for entry in document["categories"]],
    }


SAME = {
    "image ids as text": with_ids(image=str, reference=str),
    "image ids as text in images only": with_ids(image=str),
    "image ids as text in annotations only": with_ids(reference=str),
    "image ids with a point": with_ids(image=float, reference=float),
    "image ids with a point as text": with_ids(image=lambda number: str(float(number))),
    "padded image ids in annotations only": with_ids(reference=lambda number: f"{number:06d}"),
    "category ids as text": with_ids(category=str, listed=str),
    "category ids as text in annotations only": with_ids(category=str),
    "category ids with a point": with_ids(category=float),
    "category ids that are letters": with_ids(category=lambda number: "?abcde"[number], listed=lambda number: "?abcde"[number]),
    "names of categories in another case in place of their ids": with_ids(
        category=lambda number: ("", "Person", "Car", "DOG ", "cat", "zebra")[number]
    ),
    "names of categories in place of their ids": with_ids(category=lambda number: ("", "person", "car", "dog", "cat", "zebra")[number]),
}


@pytest.mark.parametrize("document", SAME.values(), ids=SAME)
@pytest.mark.parametrize("block", [64, 100_000])
def test_ids_in_another_spelling_give_the_same_plan(document, block):
    expected = plan(coco(SHOWS), WANTED)
    found = plan(document, WANTED, block=block)
    assert (found.image_ids, found.remaining_classes, found.rejected) == (expected.image_ids, expected.remaining_classes, expected.rejected)
    assert found.categories == expected.categories


TEXT = {
    "names": lambda number: f"seq{number:04d}_d",
    "padded numbers": lambda number: f"{number:06d}",
    "digests": lambda number: f"{number:032x}",
    "numbers beyond 64 bits": lambda number: str(2**64 + number),
}


@pytest.mark.parametrize("spelled", TEXT.values(), ids=TEXT)
def test_ids_that_are_text_stay_as_they_are_and_exclude_the_same_images(spelled):
    found = plan(with_ids(image=spelled, reference=spelled), WANTED)
    assert set(found.image_ids) == {spelled(number) for number in (2, 3, 4)}
    assert found.rejected == {"excluded_class": 2}


def test_padded_ids_of_images_are_meant_by_the_numbers_of_annotations():
    found = plan(with_ids(image=lambda number: f"{number:06d}"), WANTED)
    assert set(found.image_ids) == {"000002", "000003", "000004"}


def test_a_number_that_two_padded_ids_share_names_neither():
    document = coco({1: ["dog"], 2: ["dog"], 3: ["person"]})
    for entry, number in zip(document["images"], ("01", "001", 3), strict=True):
        entry["id"] = number
    assert set(plan(document, WANTED).image_ids) == {"01", "001"}


def test_a_larger_set_with_text_ids_begins_with_the_smaller_one():
    ids = {number: ["dog"] for number in range(40)}
    document = coco(ids)
    for entry in (*document["images"], *document["annotations"]):
        key = "id" if "file_name" in entry else "image_id"
        entry[key] = f"frame {entry[key]}"
    small, large = (plan(document, spec(count=count, strategy="Random")).image_ids for count in (10, 30))
    assert large[:10] == small


UNREAD = {
    "text for a width": {"width": "wide"},
    "a list for a height": {"height": [480]},
    "a name for a licence that is not listed": {"license": "CC BY 4.0"},
    "a list for a URL": {"flickr_url": ["x"]},
}


@pytest.mark.parametrize("changes", UNREAD.values(), ids=UNREAD)
def test_a_field_that_nobody_asked_for_counts_as_unknown_with_one_warning(changes, caplog):
    found = plan(coco(SHOWS, **changes), WANTED)
    assert found.image_ids == plan(coco(SHOWS), WANTED).image_ids
    (name,) = changes
    assert caplog.messages == [
        f"spec.source.coco.annotations: 'file.json': values that cannot be read count as unknown: {name} of 5 of 5 images"
    ]


ABSENT = {"null": None, "text that is empty": "", "zero": 0}


@pytest.mark.parametrize("value", ABSENT.values(), ids=ABSENT)
def test_a_field_that_is_empty_is_unknown_without_a_word(value, caplog):
    found = plan(coco(SHOWS, width=value, height=value, license=value, flickr_url=value), WANTED)
    assert found.planned == 3
    assert not caplog.messages


@pytest.mark.parametrize("licenses", [None, {}, "CC", 4, [{"name": "CC"}], [{"id": None}], []])
def test_licences_of_any_shape_do_not_stop_the_work(licenses):
    assert plan({**coco(SHOWS), "licenses": licenses}, WANTED).planned == 3


def test_numbers_as_text_are_sides_and_licences():
    document = {**coco(SHOWS, width="640", height="480.0", license="4"), "licenses": [{"id": "4", "name": "By", "url": None}]}
    (license_,) = plan(document, spec(count=5, allow_fewer=True, min_side=480, licenses=(4,))).licenses
    assert (license_.id, license_.name, license_.images) == (4, "By", 3)


def test_the_name_or_the_url_of_a_listed_licence_means_its_id():
    licenses = [{"id": 4, "name": "CC BY 4.0", "url": "https://creativecommons.org/licenses/by/4.0/"}]
    document = {**coco(SHOWS, license="cc by 4.0 "), "licenses": licenses}
    document["images"][1]["license"] = licenses[0]["url"]
    assert plan(document, spec(count=5, allow_fewer=True, licenses=(4,))).planned == 3


def test_ids_of_licences_may_be_as_large_as_they_are():
    document = {**coco(SHOWS, license=2**40), "licenses": [{"id": 2**40, "name": "x"}]}
    assert plan(document, spec(count=5, allow_fewer=True, licenses=(2**40,))).licenses[0].id == 2**40


def test_single_images_whose_sides_cannot_be_read_are_counted_where_sides_are_wanted():
    document = coco(SHOWS)
    document["images"][1]["width"] = "wide"
    found = plan(document, spec(count=5, allow_fewer=True, min_side=100))
    assert set(found.image_ids) == {3, 4}
    assert found.rejected == {"excluded_class": 2, "min_side": 1}


MOST = {
    "sides": ({"width": "wide"}, {"min_side": 100}, "spec.selection.minSide: expected a number as the width of each image"),
    "licences": ({"license": "CC BY"}, {"licenses": (1,)}, "spec.selection.licenses: expected a number as the license of each image"),
}


@pytest.mark.parametrize(("changes", "selection", "message"), MOST.values(), ids=MOST)
def test_a_filter_over_a_field_that_most_images_write_wrongly_is_refused(changes, selection, message):
    with pytest.raises(InvalidInput) as caught:
        plan(coco(SHOWS, **changes), spec(count=5, allow_fewer=True, **selection))
    assert str(caught.value).startswith(message)
    assert "in 5 of 5 images" in str(caught.value)


def test_a_file_name_is_derived_from_a_url_and_asked_for_only_where_it_is_needed():
    document = coco(SHOWS)
    for entry in document["images"]:
        del entry["file_name"]
    found = plan(document, WANTED)
    names = {image.image_id: image.file_name for shard in found.shards for image in shard.images}
    assert names == {2: "2.jpg", 3: "3.jpg", 4: "4.jpg"}
    document = coco(SHOWS, coco_url=None, file_name=None)
    for entry in document["images"]:
        entry["flickr_url"] = f"http://f.test/{entry['id']}.jpg"
    assert plan(document, spec(count=5, allow_fewer=True, image_url="{flickr_url}")).planned
    with pytest.raises(InvalidInput, match=r"needs coco_url, which 3 of the 3 candidates do not have"):
        plan(document, WANTED)


def test_nothing_in_annotations_that_selection_does_not_need_stops_it():
    document = coco(SHOWS)
    odd = ({"area": float("nan")}, {"score": float("inf")}, {"segmentation": {"counts": None}}, {"iscrowd": "maybe"}, {"id": "x"})
    for entry, more in zip(document["annotations"], odd, strict=False):
        entry.update(more)
    document["info"] = [1, {"version": float("-inf")}]
    assert plan(document, WANTED).image_ids == plan(coco(SHOWS), WANTED).image_ids


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_another_unicode_encoding_is_read(encoding):
    document = json.dumps(coco(SHOWS, file_name="Köln.jpg"), ensure_ascii=False).encode(encoding)
    assert {image.file_name for image in read(document).images} == {"Köln.jpg"}


OTHERS = {
    "captions": ({"image_id": 1, "caption": "A car."}, "it holds captions; give the instances file"),
    "panoptic": ({"image_id": 1, "segments_info": [{"id": 1, "category_id": 1}], "file_name": "1.png"}, "it holds panoptic annotations"),
}


@pytest.mark.parametrize(("annotation", "message"), OTHERS.values(), ids=OTHERS)
def test_another_kind_of_coco_file_is_named(annotation, message):
    with pytest.raises(InvalidInput, match=message):
        read({**coco(SHOWS), "annotations": [annotation]})


def test_keypoints_are_instances_too():
    document = coco(SHOWS)
    for entry in document["annotations"]:
        entry.update(keypoints=[1, 2, 2], num_keypoints=1)
    assert plan(document, WANTED).planned == 3


def test_an_image_with_an_annotation_of_an_unreadable_category_may_show_any_class(caplog):
    document = coco(SHOWS)
    document["annotations"].append({"image_id": 2, "category_id": None})
    assert set(plan(document, WANTED).image_ids) == {3, 4}
    (message,) = caplog.messages
    assert message.startswith("1 of 6 annotations have no readable image_id or category_id (the first: annotations[5].category_id:")
    assert message.endswith("1 images with such annotations are left out")


def test_single_annotations_without_an_image_are_counted(caplog):
    document = coco(SHOWS)
    document["annotations"].insert(0, {"image_id": None, "category_id": 3})
    assert plan(document, WANTED).image_ids == plan(coco(SHOWS), WANTED).image_ids
    assert caplog.messages[0].startswith("1 of 6 annotations have no readable image_id or category_id (the first: annotations[0].image_id:")


def without_an_image(shows, rows, **added):
    """A file in which the annotations in these rows name no image."""
    document = coco(shows, **added)
    for row in rows:
        document["annotations"][row]["image_id"] = None
    return document


UNPLACED = {
    "the images before and after it, and those between that have no annotation": (
        {1: ["car"], 2: ["car"], 3: [], 4: [], 5: ["person"], 6: ["car"], 7: []},
        [2],
        {1, 7},
    ),
    "the first images, if it is the first annotation": ({1: ["person"], 2: [], 3: ["car"], 4: ["car"]}, [0], {4}),
    "the last images, if it is the last annotation": ({1: ["car"], 2: ["car"], 3: [], 4: ["person"]}, [2], {1}),
    "nothing, if it is of another class": ({1: ["car"], 2: ["dog"], 3: ["cat"]}, [1], {1, 2, 3}),
}


@pytest.mark.parametrize(("shows", "rows", "ids"), UNPLACED.values(), ids=UNPLACED)
def test_an_excluded_object_without_an_image_leaves_out(shows, rows, ids):
    chosen = plan(without_an_image(shows, rows), spec(count=9, allow_fewer=True, unannotated="Include"))
    assert set(chosen.image_ids) == ids
    assert chosen.unplaced == (0 if len(ids) == len(shows) else 1)
    assert chosen.rejected.get("unplaced_object", 0) == len(shows) - len(ids)


def test_an_excluded_object_without_an_image_is_said_and_counted(caplog):
    shows = {number: ["car"] for number in range(1, 30)}
    document = without_an_image({**shows, 30: ["person"], 31: ["person"], 32: ["car"]}, [29])
    chosen = plan(document, spec(count=5))
    assert "1 of 2 annotations of the excluded classes have no readable image_id, so any image may show their objects" in caplog.text
    assert "1 object of the excluded classes cannot be placed" in describe(chosen)


def test_an_excluded_object_without_an_image_leaves_out_its_neighbours_where_annotations_are_in_no_order():
    document = without_an_image({1: ["car"], 2: ["car"], 3: ["car"], 4: ["car"], 5: ["car"], 6: ["person"]}, [5])
    order = (4, 1, 5, 3, 0, 2)
    document["annotations"] = [document["annotations"][index] for index in order]
    assert set(plan(document, spec(count=9, allow_fewer=True)).image_ids) == {1, 3, 5}


def test_many_excluded_objects_without_an_image_are_refused():
    shows = {number: ["person" if number % 2 else "car"] for number in range(1, 41)}
    with pytest.raises(
        InvalidInput, match=r"2 of 20 annotations of the excluded classes have no readable image_id, .*maxFailedPercent allows 5%"
    ):
        plan(without_an_image(shows, [0, 2]), spec(count=9))


def test_single_images_without_an_id_are_left_out_with_a_warning(caplog):
    document = coco(SHOWS)
    document["images"].append({"file_name": "x.jpg"})
    assert plan(document, WANTED).image_ids == plan(coco(SHOWS), WANTED).image_ids
    assert caplog.messages[0].endswith("values that cannot be read count as unknown: id of 1 of 5 images")


def test_an_image_that_is_listed_again_is_one_image(caplog):
    document = coco(SHOWS)
    document["images"].append(dict(document["images"][0], width=None))
    assert plan(document, WANTED).image_ids == plan(coco(SHOWS), WANTED).image_ids
    assert caplog.messages[0] == "1 images are listed again under the same id and file name"


def test_a_category_that_is_listed_again_word_for_word_is_one_class():
    document = coco(SHOWS)
    document["categories"].append(dict(document["categories"][0]))
    assert plan(document, WANTED) == plan(coco(SHOWS), WANTED)


@pytest.mark.parametrize("count", [1, None], ids=["in one annotation", "in all"])
def test_an_annotation_that_names_the_file_for_the_id_is_of_that_image(count):
    document = coco(SHOWS)
    names = {image["id"]: image["file_name"] for image in document["images"]}
    for annotation in document["annotations"][:count]:
        annotation["image_id"] = names[annotation["image_id"]]
    assert plan(document, WANTED).image_ids == plan(coco(SHOWS), WANTED).image_ids


def test_an_object_of_an_image_whose_id_is_written_in_another_case_excludes_the_image():
    document = with_ids(image=lambda number: f"6fa459ea-{number:04d}", reference=lambda number: f"6fa459ea-{number:04d}")
    document["annotations"][0]["image_id"] = document["annotations"][0]["image_id"].upper()
    assert set(plan(document, WANTED).image_ids) == {f"6fa459ea-{number:04d}" for number in (2, 3, 4)}


@pytest.mark.parametrize("shift", [-1, 1])
def test_annotations_that_count_images_from_another_number_are_refused(shift):
    shows = {1: ["dog"], 2: ["dog"], 3: ["person"], 4: ["car"]}
    document = coco(shows)
    for entry in document["annotations"]:
        entry["image_id"] += shift
    with pytest.raises(InvalidInput, match=rf"whose ids are 1 to 4, got {1 + shift} to {4 + shift}; they seem to be counted from"):
        plan(document, WANTED)


def test_an_entry_without_the_name_of_its_file_is_left_out_and_counted():
    document = coco(SHOWS)
    document["images"][1] = {"id": 2}
    found = plan(document, spec(count=5, allow_fewer=True, image_url="https://example.com/{file_name}"))
    assert set(found.image_ids) == {3, 4}
    assert found.rejected == {"excluded_class": 2, "no_url": 1}


def test_a_supercategory_that_is_an_id_is_the_category_with_that_id():
    document = coco({1: ["car"], 2: ["dog"], 3: []})
    document["categories"] = [{**entry, "supercategory": 4 if entry["name"] == "car" else None} for entry in document["categories"]]
    parent = next(entry["name"] for entry in document["categories"] if entry["id"] == 4)
    assert set(plan(document, spec([parent], count=5, allow_fewer=True)).image_ids) == {2, 3}
