"""Numbers and findings in words."""

import math

import pytest

from negset_api.values import Outcome, Report, ReportRound
from negset_jobs.reporting import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(1.104, "1.10", id="two decimals"),
        pytest.param(0.0193, "0.019", id="three decimals where it is small"),
        pytest.param(0.0, "0.00", id="nothing at all"),
        pytest.param(0.0002, "< 0.001", id="never 0 when it is not"),
        pytest.param(math.nan, "unknown", id="not a number"),
    ],
)
def test_rate(value, text):
    assert wording.rate(value) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (1, 4, "25 %"),
        (1, 3, "33.3 %"),
        (0, 7, "0 %"),
        (7, 7, "100 %"),
        (1, 100_000, "< 0.1 %"),
        (99_999, 100_000, "> 99.9 %"),
        (0, 0, "0 %"),
    ],
)
def test_share(part, whole, text):
    assert wording.share(part, whole) == text.replace(" %", "\xa0%")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        pytest.param(1.10, 0.02, "\u221298 %", id="a fall"),
        pytest.param(1.0, 0.0, "\u2212100 %", id="gone"),
        pytest.param(1.0, 0.001, "more than \u221299 %", id="nearly gone is not gone"),
        pytest.param(0.5, 0.75, "+50 %", id="a rise"),
        pytest.param(0.1, 2.0, "+1,900 %", id="a large rise"),
    ],
)
def test_change(before, after, text):
    assert wording.change(before, after) == text.replace(" %", "\xa0%")


def test_sizes_and_durations_have_fitting_units():
    assert [wording.size(number) for number in (0, 1023, 1024, 3 << 20, 5 << 40)] == ["0 B", "1,023 B", "1.0 KiB", "3.0 MiB", "5.0 TiB"]
    assert [wording.duration(seconds) for seconds in (1, 48, 720, 12_240)] == ["1 second", "48 seconds", "12 minutes", "3.4 hours"]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://user:secret@host/a.json", "https://host/a.json"),
        ("https://host/a.json?X-Amz-Signature=abc", "https://host/a.json"),
        ("s3://bucket/{file_name}", "s3://bucket/{file_name}"),
        ("zip://a.json::https://u:p@host/b.zip?sig=1 and https://host/c?d", "zip://a.json::https://host/b.zip and https://host/c"),
        ("s3://bucket/train-?????-of-00010.tfrecord", "s3://bucket/train-?????-of-00010.tfrecord"),
        ("did it end? yes", "did it end? yes"),
    ],
)
def test_credentials_are_taken_out_of_urls(text, clean):
    assert wording.without_secrets(text) == clean


def test_every_outcome_has_a_meaning():
    assert set(wording.MEANINGS) == set(Outcome)


def line(number, false_positives, *, recall=0.8, precision=0.7, negatives=200):
    return ReportRound(
        round=number,
        false_positives_per_image=false_positives,
        recall=recall,
        average_precision=precision,
        average_precision_50=precision,
        threshold=0.5,
        steps=100,
        hard_negatives=0,
        wanted_recall=0.8,
        held_out_negatives=negatives,
        held_out_objects=300,
    )


def report(*rounds):
    return Report(
        inputs="",
        name="x",
        namespace="default",
        revision="r",
        negset_version="0",
        planned=1,
        stored=1,
        outcomes={"stored": 1},
        bytes=1,
        excluded_classes=("disc",),
        remaining_classes={},
        licenses=(),
        rounds=rounds,
        review=(),
        page="",
    )


FINDINGS = {
    "a clear fall is good news": (
        [line(0, 1.10), line(1, 0.02)],
        "False positives on held-out negatives fell from 1.10 to 0.020 per picture (\u221298 %) at recall 0.80",
        "good",
        "stayed at 0.700",
    ),
    "a rise is said in the headline and is bad news": (
        [line(0, 0.5), line(1, 0.9)],
        "False positives on held-out negatives did not fall: they rose from 0.50 to 0.90 per picture (+80 %) at recall 0.80",
        "bad",
        "stayed",
    ),
    "a rise from nothing has no percentage": (
        [line(0, 0.0), line(1, 0.5)],
        "False positives on held-out negatives did not fall: they rose from 0.00 to 0.50 per picture at recall 0.80",
        "bad",
        "stayed",
    ),
    "no difference is no news": (
        [line(0, 0.5), line(1, 0.5)],
        "False positives on held-out negatives stayed at 0.50 per picture at recall 0.80",
        "neutral",
        "chance",
    ),
    "no false positives at all is no news": (
        [line(0, 0.0), line(1, 0.0)],
        "There were no false positives on held-out negatives, before or after, at recall 0.80",
        "neutral",
        "stayed",
    ),
    "a fall within chance is called so and is not good news": (
        [line(0, 0.10, negatives=50), line(1, 0.06, negatives=50)],
        "False positives on held-out negatives fell from 0.10 to 0.060 per picture (\u221240 %) at recall 0.80",
        "neutral",
        "With 50 negatives held out, a difference this small may be chance.",
    ),
    "a recall that was not reached forbids the comparison": (
        [line(0, 1.0), line(1, 0.1, recall=0.55)],
        "False positives on held-out negatives fell from 1.00 to 0.10 per picture (\u221290 %) but not at the same recall",
        "neutral",
        "Round 1 reaches a recall of 0.55 at most, not the 0.80 asked for",
    ),
    "a loss of precision is not kept quiet": (
        [line(0, 1.0, precision=0.75), line(1, 0.1, precision=0.5)],
        "False positives on held-out negatives fell from 1.00 to 0.10 per picture (\u221290 %) at recall 0.80",
        "good",
        "Average precision on held-out positives fell from 0.750 to 0.500.",
    ),
    "without a baseline rounds are compared and that is said": (
        [line(1, 0.4), line(2, 0.1)],
        "False positives on held-out negatives fell from 0.40 to 0.10 per picture (\u221275 %) at recall 0.80",
        "good",
        "There is no baseline without negatives",
    ),
    "one round alone has nothing to compare with": (
        [line(1, 0.4)],
        "0.40 false positives per held-out negative picture at recall 0.80",
        "neutral",
        "nothing to compare with",
    ),
}


@pytest.mark.parametrize(("rounds", "headline", "mood", "detail"), FINDINGS.values(), ids=FINDINGS)
def test_finding(rounds, headline, mood, detail):
    found = wording.finding(report(*rounds))
    assert found.headline == headline.replace(" %", "\xa0%")
    assert found.mood == mood
    assert any(detail in text for text in found.details)


def test_without_training_there_is_no_finding():
    assert wording.finding(report()) is None
