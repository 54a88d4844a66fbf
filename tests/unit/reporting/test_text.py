"""The report on a terminal."""

from negset_jobs.reporting import wording
from negset_jobs.reporting.evaluation import evaluate
from negset_jobs.reporting.finding import finding
from negset_jobs.reporting.numbers import summarise
from negset_jobs.reporting.text import describe


def test_the_finding_comes_first_and_every_arm_and_round_has_a_row(report):
    text = describe(report)
    lines = text.splitlines()
    assert lines[0] == "default/demo, revision a1b2c3d4e5f6"
    found = finding(report)
    assert (
        " ".join(text.split()).replace("\xa0", " ").count(" ".join(f"{found.headline}. {found.details[0]}".replace("\xa0", " ").split()))
        == 1
    )
    rows = [" ".join(line.split()) for line in lines]
    mined, _, none = report.comparisons
    low, high = mined.false_positives_per_image_interval
    rate = wording.rate
    assert any(row.startswith(f"mined negatives {rate(mined.false_positives_per_image)} {rate(low)} to {rate(high)}") for row in rows)
    assert any(row.startswith(f"no negatives {rate(none.false_positives_per_image)} ") and row.endswith(" 1,000 0") for row in rows)
    assert [row.split()[0] for row in rows if row.endswith(("500 0", "1,000 27"))] == ["1", "2"]
    assert max(map(len, lines)) <= 100


def test_it_says_what_false_positives_lie_on_and_what_mining_did(report):
    text = " ".join(describe(report).replace("\xa0", " ").split())
    assert "lie on square" in text
    assert "Mining after round 1: scored 117 negatives of the pool, 31 with false positives. Added 27 hard negatives" in text


def test_failures_are_counted_by_outcome_commonest_first(report):
    lines = [line.split() for line in describe(report).splitlines()]
    assert ["3", "not_found"] in lines
    assert lines.index(["3", "not_found"]) < lines.index(["2", "not_an_image"])


def test_what_is_for_review_is_named(report):
    assert "For review, because they may show an excluded class: 57, 58, 59 and 60." in describe(report)


def test_without_training_it_is_only_about_the_data(without_training):
    text = describe(summarise(without_training, evaluate(without_training), "0.1.0"))
    assert "Stored 395 of 400 planned images without disc" in text
    assert "FP/image" not in text
