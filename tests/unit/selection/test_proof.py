"""By what an image is a negative, and which proofs a spec accepts."""

from __future__ import annotations

import pytest
from tests.unit.selection.files import coco, plan, spec

from negset_api import names
from negset_api.errors import InvalidInput
from negset_jobs.selection.proof import TEXTS


def lvis(images, *, classes=("person", "car", "dog"), annotated=()):
    """A file in LVIS's format: by image, the classes that are absent and those not exhaustive."""
    document = coco({number: [name for image, name in annotated if image == number] for number in images}, classes=classes)
    number_of = {name: index + 1 for index, name in enumerate(classes)}
    for image in document["images"]:
        absent, doubtful = images[image["id"]]
        image["neg_category_ids"] = [number_of[name] for name in absent]
        image["not_exhaustive_category_ids"] = [number_of[name] for name in doubtful]
    return document


def proofs_of(value):
    return {image.image_id: image.proof for shard in value.shards for image in shard.images}


def refusal(document, wanted) -> str:
    with pytest.raises(InvalidInput) as caught:
        plan(document, wanted)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_image_carries_its_proof_and_the_plan_counts_them_the_strongest_first():
    value = plan(coco({1: ["person"], 2: ["dog"], 3: ["cat"], 4: []}), spec(count=3))
    assert proofs_of(value) == {2: "ExhaustivelyAnnotated", 3: "ExhaustivelyAnnotated", 4: "Unannotated"}
    assert list(value.proofs.items()) == [("ExhaustivelyAnnotated", 2), ("Unannotated", 1)]


def test_every_proof_is_explained_the_strongest_first():
    assert tuple(TEXTS) == names.PROOFS[::-1]


def test_annotations_of_other_images_only_prove_nothing():
    document = coco({1: ["person"], 2: ["dog"], 3: []})
    for annotation in document["annotations"]:
        annotation["image_id"] += 1000
    assert "the file has no annotation of any of its 3 images" in refusal(document, spec(count=1))
    assert plan(document, spec(count=3, minimum_proof="UserWord")).proofs == {"UserWord": 3}


# --- LVIS


@pytest.mark.parametrize(
    ("absent", "doubtful", "shown", "rejected"),
    [
        pytest.param(["person", "car"], [], [], {}, id="both classes are absent"),
        pytest.param(["person", "car", "dog"], [], [], {}, id="a third class is absent, too"),
        pytest.param(["person"], [], [], {"not_verified": 1}, id="of one class nothing is known"),
        pytest.param([], [], [], {"not_verified": 1}, id="of no class anything is known"),
        pytest.param([], [], ["dog"], {"not_verified": 1}, id="another class is annotated, which proves nothing"),
        pytest.param(["person", "car"], [], ["dog"], {}, id="both are absent, and another class is shown"),
        pytest.param(["person", "car"], [], ["car"], {"excluded_class": 1}, id="a class is annotated against the word of the file"),
        pytest.param(["person", "car"], ["car"], [], {"not_exhaustive": 1}, id="a class is not exhaustive against the word of the file"),
        pytest.param(["person", "car"], ["dog"], [], {}, id="another class is not exhaustive"),
    ],
)
def test_an_image_of_lvis_is_a_negative_only_if_each_excluded_class_is_verified_absent(absent, doubtful, shown, rejected):
    document = lvis({1: (absent, doubtful), 2: (["person", "car"], [])}, annotated=[(1, name) for name in shown])
    value = plan(document, spec(["person", "car"], count=2, allow_fewer=True))
    assert value.rejected == rejected
    assert set(value.image_ids) == ({2} if rejected else {1, 2})
    assert value.proofs == {"VerifiedAbsent": 1 if rejected else 2}


def test_an_image_without_the_fields_of_lvis_in_a_file_that_has_them_is_no_negative():
    document = lvis({1: (["person"], []), 2: (["person"], [])})
    del document["images"][1]["neg_category_ids"]
    document["images"][1]["not_exhaustive_category_ids"] = None
    value = plan(document, spec(count=1))
    assert (value.image_ids, value.rejected) == ((1,), {"not_verified": 1})


def test_a_file_that_names_only_what_is_not_exhaustive_proves_nothing():
    document = lvis({1: ([], []), 2: ([], ["dog"])}, annotated=[(1, "dog"), (2, "dog")])
    for image in document["images"]:
        del image["neg_category_ids"]
    assert "2 lack the verification that each excluded class is absent" in refusal(document, spec(count=1))


def test_an_image_with_a_label_of_an_excluded_class_is_no_negative_whatever_else_the_file_says():
    document = lvis({1: (["person"], []), 2: (["person"], [])})
    document["images"][0]["pos_category_ids"] = [1]
    value = plan(document, spec(count=1))
    assert (value.image_ids, value.rejected) == ((2,), {"not_exhaustive": 1})


@pytest.mark.parametrize(
    "numbers", [["1"], ["1.0"], [1.0], [1, 1], ["person"]], ids=["text", "text with a point", "a decimal point", "twice", "a name"]
)
def test_ids_of_absent_classes_are_read_in_other_spellings(numbers):
    document = lvis({1: ([], []), 2: ([], [])})
    document["images"][0]["neg_category_ids"] = numbers
    assert plan(document, spec(count=1)).image_ids == (1,)


@pytest.mark.parametrize("value", [7, "1", {"1": 1}, ["unicorn"], [[1]], [1.5], [2**70], [True]])
def test_a_field_of_lvis_with_something_else_is_refused(value):
    document = lvis({1: ([], [])})
    document["images"][0]["neg_category_ids"] = value
    message = refusal(document, spec(count=1))
    assert "expected" in message
    assert "neg_category_ids" in message


def test_the_refusal_says_how_many_images_have_which_class_verified_absent():
    images = {number: ([], []) for number in range(10)}
    images |= {10: (["person"], []), 11: (["person"], []), 12: (["car"], []), 13: (["person", "car"], [])}
    assert refusal(lvis(images), spec(["person", "car"], count=5)) == (
        "spec.selection.count: expected at most 1 (the number of candidates), got 5: of the 14 images in the annotations 1 are candidates, "
        "13 lack the verification that each excluded class is absent; an excluded class is known to be absent only where neg_category_ids says so: "
        "'car' in 2, 'person' in 3, all of them in 1; set spec.selection.allowFewer to select all candidates"
    )


def test_the_reason_of_a_verified_image_says_that_a_person_looked():
    (image,) = plan(lvis({1: (["person"], [])}), spec()).shards[0].images
    assert image.reason.startswith("shows no person, as a person verified")


def test_the_user_cannot_give_a_word_for_images_that_lvis_says_nothing_about():
    message = refusal(lvis({1: ([], []), 2: (["car"], [])}), spec(minimum_proof="UserWord"))
    assert "2 lack the verification that each excluded class is absent" in message


# --- How much proof is wanted


@pytest.mark.parametrize(
    ("least", "kept", "rejected"),
    [
        pytest.param(None, {2, 3}, {"excluded_class": 1}, id="by default, as before, an image without annotations is a negative"),
        pytest.param("UserWord", {2, 3}, {"excluded_class": 1}, id="the weakest proof accepts the same"),
        pytest.param("Unannotated", {2, 3}, {"excluded_class": 1}, id="the default, written out"),
        pytest.param("ExhaustivelyAnnotated", {2}, {"excluded_class": 1, "unannotated": 1}, id="annotated images only"),
    ],
)
def test_a_weaker_proof_than_wanted_is_rejected(least, kept, rejected):
    value = plan(coco({1: ["person"], 2: ["dog"], 3: []}), spec(count=2, allow_fewer=True, minimum_proof=least))
    assert (set(value.image_ids), value.rejected) == (kept, rejected)


def test_annotations_in_coco_verify_nothing():
    assert "1 show an excluded class, 1 have no annotation at all, 1 have a weaker proof than minimumProof" in refusal(
        coco({1: ["person"], 2: ["dog"], 3: []}), spec(minimum_proof="VerifiedAbsent")
    )


def test_the_deprecated_field_and_the_new_one_make_one_rule():
    document = coco({2: ["dog"], 3: []})
    old, new, both = (
        plan(document, spec(count=2, allow_fewer=True, **fields))
        for fields in (
            {"unannotated": "Exclude"},
            {"minimum_proof": "ExhaustivelyAnnotated"},
            {"unannotated": "Exclude", "minimum_proof": "UserWord"},
        )
    )
    assert old.image_ids == new.image_ids == both.image_ids == (2,)
    assert old.rejected == new.rejected == both.rejected == {"unannotated": 1}


# --- A file without any annotation


def empty(images=3):
    return {**coco(dict.fromkeys(range(images), ())), "annotations": []}


@pytest.mark.parametrize("least", [None, "Unannotated"])
def test_a_file_without_any_annotation_needs_the_users_word_and_the_refusal_names_the_field(least):
    assert refusal(empty(), spec(["person", "car"], minimum_proof=least)) == (
        "spec.source.coco.annotations: the file has no annotation of any of its 3 images, so nothing proves that they do not show 'person', 'car'; "
        "if you know that they show none, set spec.selection.minimumProof to UserWord"
    )


def test_with_the_users_word_it_is_a_source_and_each_image_says_so():
    value = plan(empty(), spec(count=3, minimum_proof="UserWord"))
    assert value.proofs == {"UserWord": 3}
    assert set(proofs_of(value).values()) == {"UserWord"}
    assert (
        value.shards[0].images[0].reason == "shows no person, as the user states; drawn from the images without annotations (rank 1 of 3)"
    )


def test_the_word_does_not_help_where_a_stronger_proof_is_wanted():
    assert "nothing proves" in refusal(empty(), spec(minimum_proof="ExhaustivelyAnnotated"))
