"""The report says where images came from, why they are negatives, and what is only a word."""

import msgspec
import pytest

from negset_api.spec import CocoSource, ImagesSource, OpenImagesSource, Source
from negset_jobs.reporting import data_sections, proofs
from negset_jobs.reporting.blocks import Note, Paragraph, Table
from negset_jobs.reporting.cards import chosen_cards
from negset_jobs.reporting.evaluation import evaluate
from negset_jobs.reporting.numbers import summarise
from negset_jobs.reporting.text import describe


def with_proofs(facts, counts, source=None):
    plan = msgspec.structs.replace(facts.plan, proofs=counts)
    spec = facts.dataset.spec if source is None else msgspec.structs.replace(facts.dataset.spec, source=source)
    return msgspec.structs.replace(facts, plan=plan, dataset=msgspec.structs.replace(facts.dataset, spec=spec))


def own(facts):
    return with_proofs(facts, {"UserWord": 400}, Source(images=ImagesSource(urls=("frames",))))


def texts(section, kind):
    return [block.text for block in section.blocks if isinstance(block, kind)]


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (Source(coco=CocoSource(annotations="https://h/a.json?key=1")), "the annotations at https://h/a.json"),
        (Source(images=ImagesSource(urls=("frames", "s3://b/*.jpg"))), "your own images at frames and s3://b/*.jpg"),
        (
            Source(images=ImagesSource(urls=tuple("abcdefg"))),
            "your own images at a, b, c, d, e and 2 more places",
        ),
        (
            Source(open_images=OpenImagesSource(labels=("s3://b/l.csv",), class_descriptions="c.csv")),
            "Open Images with the human-verified labels at s3://b/l.csv",
        ),
    ],
)
def test_the_request_names_where_the_images_came_from(facts, source, text):
    asked = data_sections.request(with_proofs(facts, {}, source))
    assert texts(asked, Paragraph)[0].endswith(f", from {text}.")


@pytest.mark.parametrize(
    ("counts", "start"),
    [
        ({}, "An image is negative if it has no annotation of disc, crowd regions included."),
        ({"ExhaustivelyAnnotated": 399, "Unannotated": 1}, "An image is negative if it has no annotation of disc, crowd regions included."),
        ({"VerifiedAbsent": 400}, "An image is negative if a person looked for disc in it and found none"),
        ({"UserWord": 400}, "The images have no annotations. You state that none of them shows disc."),
    ],
)
def test_what_makes_a_negative_follows_from_the_proofs(facts, counts, start):
    assert texts(data_sections.chosen(with_proofs(facts, counts)), Paragraph)[0].startswith(start)


def test_a_table_counts_the_images_by_proof(facts):
    section = data_sections.chosen(with_proofs(facts, {"ExhaustivelyAnnotated": 300, "Unannotated": 100}))
    (table,) = (block for block in section.blocks if isinstance(block, Table) and block.rows[0][0] == "ExhaustivelyAnnotated")
    assert [row[:2] for row in table.rows] == [("ExhaustivelyAnnotated", "300"), ("Unannotated", "100")]
    assert texts(section, Note) == []


def test_a_plan_of_an_earlier_version_has_no_table(facts):
    assert proofs.table(facts) == []


def test_the_users_word_is_followed_by_what_contradicts_it(facts, without_training):
    (contradicted,) = texts(data_sections.chosen(own(facts)), Note)
    assert contradicted.endswith("The mining contradicts it for 4 images: review them under “For review”.")
    (unchecked,) = texts(data_sections.chosen(own(without_training)), Note)
    assert "Nothing has checked it" in unchecked
    mined = msgspec.structs.replace(facts.mined[0], review=())
    (found_none,) = texts(data_sections.chosen(own(msgspec.structs.replace(facts, mined=(mined,)))), Note)
    assert "found no image" in found_none
    declined = msgspec.structs.replace(mined, review_declined=9)
    (unknown,) = texts(data_sections.chosen(own(msgspec.structs.replace(facts, mined=(declined,)))), Note)
    assert "the model is undertrained" in unknown


def test_an_image_that_only_its_owner_knows_is_shown_with_its_file_name(facts):
    planned = {name: msgspec.structs.replace(image, proof="UserWord") for name, image in facts.planned.items()}
    card = chosen_cards(msgspec.structs.replace(own(facts), planned=planned))[0]
    assert f"{int(card.title):012d}.jpg" in card.lines
    assert f"{int(card.title):012d}.jpg" not in chosen_cards(facts)[0].lines


def test_the_numbers_and_the_terminal_have_the_proofs(facts):
    given = with_proofs(facts, {"ExhaustivelyAnnotated": 300, "Unannotated": 100})
    report = summarise(given, evaluate(given), "0.1.0")
    assert report.proofs == {"ExhaustivelyAnnotated": 300, "Unannotated": 100}
    assert "Proof: ExhaustivelyAnnotated (300) and Unannotated (100)." in describe(report)
