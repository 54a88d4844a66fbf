"""The report on a terminal."""

from negset_jobs.reporting.numbers import summarise
from negset_jobs.reporting.text import describe


def test_the_finding_comes_first_and_every_round_has_a_row(report):
    lines = describe(report).splitlines()
    assert lines[0] == "default/demo, revision a1b2c3d4e5f6"
    assert lines[2] == "False positives on held-out negatives fell from 1.10 to 0.019 per picture (\u221298\xa0%) at recall 0.80."
    rows = [line.split() for line in lines if line.startswith(("baseline", "1 ", "2 "))]
    assert [row[:2] for row in rows] == [["baseline", "1.10"], ["1", "0.081"], ["2", "0.019"]]
    assert max(map(len, lines)) <= 100


def test_failures_are_counted_by_outcome_commonest_first(report):
    lines = [line.split() for line in describe(report).splitlines()]
    assert ["3", "not_found"] in lines
    assert lines.index(["3", "not_found"]) < lines.index(["2", "not_an_image"])


def test_what_is_for_review_is_named(report):
    assert "To be looked at, since they may show the object after all: 57, 58, 59 and 60." in describe(report)


def test_without_training_it_is_about_the_data_alone(without_training):
    text = describe(summarise(without_training, "0.1.0"))
    assert "395 pictures without disc stored of 400 planned" in text
    assert "FP/image" not in text
