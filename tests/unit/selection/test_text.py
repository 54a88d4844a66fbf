"""The text of `negset plan`."""

from __future__ import annotations

from tests.unit.selection.files import coco, plan, spec

from negset_jobs.selection.text import describe


def test_the_text_for_a_person_names_numbers_classes_and_licences():
    document = {**coco({1: ["person"], 2: ["dog"], 3: ["dog"]}, license=1), "licenses": [{"id": 1, "name": "By", "url": "http://by.test/"}]}
    assert describe(plan(document, spec(count=2, held_out=50))) == (
        "2 images planned of 2 candidates (1 for round 1, 1 held out for evaluation), in 2 shards, about 368.6 kB.\n"
        "\n"
        "Excluded classes: person. Rejected images:\n"
        "  1  show an excluded class\n"
        "\n"
        "Proof of the planned images:\n"
        "  2  ExhaustivelyAnnotated: annotated, without an excluded class\n"
        "\n"
        "Classes that the planned images show:\n"
        "  2  dog\n"
        "\n"
        "Licences of the planned images:\n"
        "  2  By http://by.test/"
    )
