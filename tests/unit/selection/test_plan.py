from __future__ import annotations

import collections
import random

import msgspec
import pytest
from tests.unit.selection.files import CLASSES, coco, crowded, plan, read, spec

from negset_api.errors import InvalidInput
from negset_api.spec import HardNegativeMining
from negset_api.values import License, Plan, decode, encode
from negset_jobs.formats.coco import Image
from negset_jobs.selection.filters import REJECTIONS
from negset_jobs.selection.guard import Guarded
from negset_jobs.selection.plan import BYTES_PER_IMAGE


def rejected(document, wanted, guarded=None) -> dict[str, int]:
    return plan(document, wanted, guarded).rejected


def test_a_negative_shows_none_of_the_excluded_classes():
    value = plan(coco({1: ["person"], 2: ["car"], 3: ["dog"], 4: ["person", "car"], 5: []}), spec(["person", "car"], count=2))
    assert sorted(value.image_ids) == [3, 5]
    assert value.excluded_classes == ("person", "car")
    assert value.rejected == {"excluded_class": 3}


def test_a_crowd_counts_like_any_annotation():
    document = coco({1: ["person"], 2: ["dog"]})
    document["annotations"][0]["iscrowd"] = 1
    assert plan(document, spec()).image_ids == (2,)


@pytest.mark.parametrize("strategy", ["Stratified", "Random"])
def test_a_larger_set_begins_with_the_smaller_one(strategy):
    document = crowded()
    largest = plan(document, spec(count=900, seed=5, strategy=strategy)).image_ids
    for count in (1, 2, 10, 450, 899):
        assert plan(document, spec(count=count, seed=5, strategy=strategy)).image_ids == largest[:count]


@pytest.mark.parametrize("strategy", ["Stratified", "Random"])
def test_the_order_of_the_file_does_not_matter(strategy):
    document = crowded()
    shuffled = {key: random.Random(3).sample(items, len(items)) for key, items in document.items()}
    wanted = spec(count=300, strategy=strategy)
    assert plan(document, wanted).image_ids == plan(shuffled, wanted).image_ids


def test_the_drawing_is_the_same_everywhere_and_for_ever():
    """If these numbers change, every user gets another dataset from the same manifest."""
    document = coco({number: [CLASSES[2 + number % 3]] for number in range(100, 130)})
    assert plan(document, spec(count=6, seed=17)).image_ids == RECORDED["Stratified"]
    assert plan(document, spec(count=6, seed=17, strategy="Random")).image_ids == RECORDED["Random"]


RECORDED = {"Stratified": (127, 104, 102, 109, 116, 129), "Random": (127, 104, 109, 116, 102, 115)}


def test_another_seed_draws_other_images():
    document = crowded()
    first, second = (set(plan(document, spec(count=300, seed=seed)).image_ids) for seed in (1, 2))
    assert first != second


def test_random_draws_every_candidate_about_as_often():
    document = coco({number: ["dog"] for number in range(50)})
    drawn = collections.Counter(
        number for seed in range(400) for number in plan(document, spec(count=10, seed=seed, strategy="Random")).image_ids
    )
    # 400 draws with chance 1/5: 80 expected, standard deviation 8; five of them on either side.
    assert len(drawn) == 50
    assert all(40 < count < 120 for count in drawn.values())


def test_stratified_spreads_over_the_classes_that_remain_by_the_rarest_in_each_image():
    document = coco(
        {**{number: ["dog"] for number in range(100)}, 200: ["dog", "cat"], 201: ["zebra", "dog"], 202: ["cat", "dog"], 203: []}
    )
    value = plan(document, spec(count=6))
    scenes = {image.image_id: image.stratum for shard in value.shards for image in shard.images}
    assert set(value.image_ids[:4]) >= {201, 203}
    assert {scenes[number] for number in value.image_ids[:4]} == {"dog", "cat", "zebra", "unannotated"}
    assert {scenes[number] for number in value.image_ids[4:6]} == {"dog", "cat"}


def test_an_excluded_class_makes_no_stratum():
    value = plan(crowded(), spec(["person", "car"], count=100))
    assert {image.stratum for shard in value.shards for image in shard.images} == {"dog", "cat", "zebra", "unannotated"}
    assert not {"person", "car"} & set(value.remaining_classes)


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        pytest.param({}, "shows no person; drawn for the class 'dog' (rank 1 of 1)", id="stratified"),
        pytest.param({"strategy": "Random"}, "shows no person; drawn at random (rank 1 of 1)", id="random"),
        pytest.param({"exclude": ["person", "car"]}, "shows no person or car; drawn for the class 'dog' (rank 1 of 1)", id="two classes"),
        pytest.param(
            {"exclude": ["person", "car", "cat"]},
            "shows no person, car or cat; drawn for the class 'dog' (rank 1 of 1)",
            id="three classes",
        ),
        pytest.param(
            {"exclude": ["person", "car", "cat", "zebra"]},
            "shows none of the 4 excluded classes; drawn for the class 'dog' (rank 1 of 1)",
            id="many classes",
        ),
    ],
)
def test_each_image_says_why_it_was_chosen(selection, reason):
    value = plan(coco({1: ["dog"]}), spec(**selection))
    assert value.shards[0].images[0].reason == reason


def test_an_image_without_annotations_says_so():
    (image,) = plan(coco({1: [], 2: ["person"]}), spec()).shards[0].images
    assert image.reason == "shows no person and no other annotated object; drawn from the images without annotations (rank 1 of 1)"


def test_a_planned_image_carries_what_the_file_says():
    flickr = "http://farm4.staticflickr.com/3448/3176652494_ba19663418_z.jpg"
    document = {
        **coco({1: ["dog"]}, license=3, flickr_url=flickr),
        "licenses": [{"id": 3, "name": "By", "url": "http://by.test/"}, {"id": 4}],
    }
    value = plan(document, spec())
    (image,) = value.shards[0].images
    assert (image.url, image.file_name, image.width, image.height, image.license) == ("http://images.test/1.jpg", "1.jpg", 640, 480, 3)
    assert image.page == "https://www.flickr.com/photo.gne?id=3176652494"
    assert value.licenses == (License(id=3, name="By", url="http://by.test/", images=1),)
    assert value.remaining_classes == {"dog": 1}
    assert value.bytes_estimate == 640 * 480 * 6 // 10


def test_an_image_of_unknown_size_counts_as_an_average_one():
    assert plan(coco({1: []}, width=None), spec()).bytes_estimate == BYTES_PER_IMAGE


def test_licences_that_the_file_does_not_describe_are_still_counted():
    document = coco({1: [], 2: [], 3: []}, license=None)
    document["images"][0]["license"] = 9
    assert [(item.id, item.name, item.images) for item in plan(document, spec(count=3)).licenses] == [
        (0, "not stated", 2),
        (9, "not described by the annotations", 1),
    ]


def test_remaining_classes_count_images_and_not_annotations():
    assert plan(coco({1: ["dog", "dog", "cat"], 2: ["dog"]}), spec(count=2)).remaining_classes == {"dog": 2, "cat": 1}


@pytest.mark.parametrize(
    ("selection", "image", "reasons"),
    [
        pytest.param({"unannotated": "Include"}, {}, {}, id="an image without annotations is a negative by default"),
        pytest.param({"unannotated": "Exclude"}, {"id": 9}, {"unannotated": 1}, id="or is left out on request"),
        pytest.param({"licenses": (4,)}, {"license": 4}, {}, id="an accepted licence"),
        pytest.param({"licenses": (4,)}, {"license": 5}, {"license": 1}, id="another licence"),
        pytest.param({"licenses": (4,)}, {"license": None}, {"license": 1}, id="no licence is no accepted one"),
        pytest.param({"min_side": 480}, {}, {}, id="just large enough"),
        pytest.param({"min_side": 481}, {}, {"min_side": 1}, id="too small on one side"),
        pytest.param({"min_side": 1}, {"width": None}, {"min_side": 1}, id="of unknown size where a size is asked for"),
    ],
)
def test_filters(selection, image, reasons):
    document = coco({1: ["dog"], 2: ["dog"]}, license=4, width=1000)
    document["images"][0].update(width=1000, height=1000)
    document["images"][1].update({"height": 480, **image})
    document["licenses"] = [{"id": 4, "name": "By"}]
    assert rejected(document, spec(allow_fewer=True, count=2, **selection)) == reasons


def test_an_image_of_the_validation_set_is_not_used_by_id_or_by_file_name():
    document = coco({1: [], 2: [], 3: []})
    value = plan(document, spec(), Guarded.of([Image(1, ""), Image(9, "2.jpg")]))
    assert value.image_ids == (3,)
    assert value.rejected == {"exclude_images_of": 2}


def test_an_image_listed_under_two_ids_is_no_negative_where_either_shows_the_class():
    document = coco({1: [], 2: ["person"], 3: [], 4: []})
    document["images"][0]["coco_url"] = document["images"][1]["coco_url"]
    document["images"][3]["coco_url"] = document["images"][2]["coco_url"]
    value = plan(document, spec(count=1))
    assert value.image_ids == (3,)
    assert value.rejected == {"excluded_class": 1, "same_picture": 2}


def test_an_image_listed_under_two_ids_is_not_used_where_a_guard_file_lists_either():
    document = coco({1: [], 2: [], 3: []})
    document["images"][1].update(coco_url=document["images"][0]["coco_url"], file_name="other.jpg")
    value = plan(document, spec(count=1), Guarded.of([Image(50, "other.jpg")]))
    assert value.image_ids == (3,)


TWICE = {
    "another scheme": ({"coco_url": "https://images.test/1.jpg"}, {}),
    "another port that is none": ({"coco_url": "http://IMAGES.test:80/1.jpg"}, {}),
    "a percent code": ({"coco_url": "http://images.test/%31.jpg"}, {}),
    "a signature": ({"coco_url": "http://images.test/1.jpg?X-Amz-Signature=9&X-Amz-Date=8"}, {}),
    "two slashes": ({"coco_url": "http://images.test//1.jpg"}, {}),
    "a mirror with the same name": ({"coco_url": "http://mirror.test/images/1.jpg"}, {"file_name": "1.jpg"}),
    "a backslash": ({"file_name": "a\\1.jpg"}, {"file_name": "a/1.jpg"}),
    "this folder": ({"file_name": "./a/1.jpg"}, {"file_name": "a/1.jpg"}),
    "decomposed letters": ({"file_name": "u\u0308.jpg"}, {"file_name": "\u00fc.jpg"}),
}


@pytest.mark.parametrize(("other", "first"), TWICE.values(), ids=TWICE)
@pytest.mark.parametrize("shown", [1, 2])
def test_one_picture_under_two_urls_is_no_negative_where_either_shows_the_class(other, first, shown):
    document = coco({1: [], 2: [], 3: []} | {shown: ["person"]})
    document["images"][0].update(first)
    document["images"][1].update({"file_name": "1.jpg", **other})
    template = "{coco_url}" if "coco_url" in other else "s3://b/{file_name}"
    assert plan(document, spec(image_url=template)).image_ids == (3,)


APART = {
    "the same name in two folders": ({"coco_url": "http://images.test/b/1.jpg"}, {"coco_url": "http://images.test/a/1.jpg"}),
    "the same name with another size": ({"coco_url": "http://mirror.test/1.jpg", "width": 320}, {}),
    "another query": ({"coco_url": "http://images.test/view?id=2"}, {"coco_url": "http://images.test/view?id=1"}),
}


@pytest.mark.parametrize(("other", "first"), APART.values(), ids=APART)
def test_two_pictures_are_two_although_they_have_one_name(other, first):
    document = coco({1: ["person"], 2: [], 3: []})
    document["images"][0].update(first)
    document["images"][1].update({"file_name": "1.jpg", **other})
    assert sorted(plan(document, spec(count=2)).image_ids) == [2, 3]


def test_a_text_that_is_the_same_in_every_entry_names_no_picture():
    document = coco({1: ["person"], 2: [], 3: [], 4: []}, coco_url="http://images.test/image.jpg")
    assert sorted(plan(document, spec(count=3, image_url="s3://b/{file_name}")).image_ids) == [2, 3, 4]


def test_the_reasons_have_the_names_that_stored_plans_have():
    """plan.json and `negset plan --json` name them; the report reads plans of earlier versions."""
    stored = ["excluded_class", "same_picture", "exclude_images_of", "unannotated", "license", "min_side", "unplaced_object"]
    assert list(REJECTIONS) == [*stored, "not_exhaustive", "not_verified", "weak_proof", "no_url"]


def test_an_image_counts_under_the_first_reason_only():
    document = coco({1: ["person"], 2: []}, license=1)
    value = plan(document, spec(count=2, allow_fewer=True, licenses=(1,)), Guarded.of([Image(1, "")]))
    assert (value.candidates, value.rejected) == (1, {"excluded_class": 1})


@pytest.mark.parametrize(
    ("document", "wanted", "message"),
    [
        pytest.param(
            coco({1: ["person"], 2: ["dog"], 3: []}),
            spec(count=5, unannotated="Exclude"),
            "spec.selection.count: expected at most 1 (the number of candidates), got 5: of the 3 images in the annotations 1 are candidates, "
            "1 show an excluded class, 1 have no annotation at all; set spec.selection.allowFewer to select all candidates",
            id="fewer candidates than requested",
        ),
        pytest.param(
            coco({1: ["person"]}),
            spec(count=5, allow_fewer=True),
            "spec.selection.count: expected candidates (5 wanted), found none: of the 1 images in the annotations 0 are candidates, "
            "1 show an excluded class",
            id="no candidate at all, even where fewer are allowed",
        ),
        pytest.param(
            coco({}),
            spec(),
            "spec.selection.count: expected candidates (1 wanted), found none: of the 0 images in the annotations 0 are candidates",
            id="a file without images",
        ),
        pytest.param(
            coco({1: [], 2: []}),
            spec(count=1, held_out=20),
            "spec.selection.count: expected at least 2 images for training, one to train on and one held out; got 1",
            id="training with one image",
        ),
        pytest.param(
            coco({1: [], 2: []}, coco_url=None),
            spec(),
            "spec.source.coco.imageUrl: '{coco_url}' needs coco_url, which 2 of the 2 candidates do not have (the first is image 1); "
            "set imageUrl to the location of the images, such as s3://bucket/folder/{file_name}",
            id="images without the address that the template needs",
        ),
        pytest.param(
            {**coco({1: []}, license=1), "licenses": [{"id": 1, "name": "By"}, {"id": 2}]},
            spec(licenses=(1, 8, 9)),
            "spec.selection.licenses: expected licence ids of the annotations, which are 1 ('By'), 2; got 8, 9",
            id="a licence that the file does not know",
        ),
    ],
)
def test_what_cannot_be_planned_is_refused_in_one_line(document, wanted, message):
    with pytest.raises(InvalidInput) as caught:
        plan(document, wanted)
    assert str(caught.value) == message


def test_allow_fewer_takes_what_there_is():
    value = plan(coco({1: ["person"], 2: [], 3: []}), spec(count=5, allow_fewer=True))
    assert (value.candidates, value.planned, sorted(value.image_ids)) == (2, 2, [2, 3])


def test_the_inputs_change_with_what_decides_the_plan_and_with_nothing_else():
    document = coco({1: [], 2: ["dog"], 3: ["person"]})
    base = plan(document, spec(count=2)).input_digest
    assert plan(document, msgspec.structs.replace(spec(count=2), suspend=True)).input_digest == base
    assert plan(document, spec(count=2), Guarded.of([Image(99, "")])).input_digest == base
    others = [
        plan(document, spec(count=1)),
        plan(document, spec(count=2, seed=1)),
        plan(document, spec(count=2, held_out=20)),
        plan(document, spec(count=2, held_out=20, mining=HardNegativeMining(first_round_percent=30))),
        plan(document, spec(["cat"], count=2)),
        plan(document, spec(count=2, image_url="s3://b/{file_name}")),
        plan(coco({1: [], 2: ["cat"], 3: ["person"]}), spec(count=2)),
        plan(document, spec(count=1), Guarded.of([Image(1, "")])),
    ]
    assert len({base, *(other.input_digest for other in others)}) == len(others) + 1


def test_the_inputs_of_an_old_spec_are_those_that_earlier_versions_stored():
    assert plan(coco({1: ["person"], 2: ["dog"], 3: []}), spec(count=2)).input_digest == "2e4caca8d3ad75dd"


def test_a_plan_survives_its_file():
    value = plan(crowded(300), spec(count=150, held_out=20))
    assert decode(encode(value), Plan) == value


def test_sparse_ids_are_located_like_dense_ones():
    """Sparse ids are looked up by another method."""
    document = crowded(200)
    factor = 10**12
    sparse = {
        **document,
        "images": [{**image, "id": image["id"] * factor} for image in document["images"]],
        "annotations": [{**item, "image_id": item["image_id"] * factor} for item in document["annotations"]]
        + [{"image_id": 5, "category_id": 1}],
    }
    dense_plan, sparse_plan = (plan(content, spec(count=200, allow_fewer=True)) for content in (document, sparse))
    assert sorted(sparse_plan.image_ids) == sorted(number * factor for number in dense_plan.image_ids)
    assert sparse_plan.remaining_classes == dense_plan.remaining_classes


def test_unknown_ids_beside_dense_ids_are_ignored():
    document = coco({10: ["dog"], 11: []})
    document["annotations"] += [{"image_id": number, "category_id": 1} for number in (1 - 2**63, -1, 0, 9, 12, 2**63 - 1)]
    assert read(document).image_ids.size == 7
    assert sorted(plan(document, spec(count=2)).image_ids) == [10, 11]
