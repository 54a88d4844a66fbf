"""Numbers and findings in words."""

import math

import pytest

from negset_api.values import Outcome, ReportMining
from negset_jobs.reporting import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(1.104, "1.10", id="two decimals"),
        pytest.param(0.0193, "0.019", id="three decimals where it is small"),
        pytest.param(0.0, "0.00", id="nothing at all"),
        pytest.param(0.0004, "0.0004", id="one in 2,500 images"),
        pytest.param(0.00002, "< 0.0001", id="never 0 when it is not"),
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
        pytest.param(1.0, 0.985, "\u22121.5 %", id="a small change"),
        pytest.param(1.0, 1.0, "+0 %", id="none"),
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


def test_a_model_is_spoken_of_by_its_round_or_by_what_its_arm_trains_on():
    assert wording.model_name("Mined", 2) == "round 2"
    assert wording.model_name("NoNegatives") == "no negatives"
    assert wording.model_name("RandomNegatives", 3) == "random negatives, round 3"


def mining(**fields):
    given = {"after_round": 1, "pool": 117, "trained_on": 120, "floor": 0.05, "fooled": 31, "added": 27, "hard_negatives": 27, "review": 4}
    return ReportMining(**{**given, **fields})


def test_a_mining_in_words():
    assert wording.mined(mining()) == (
        "Mining after round 1: scored 117 negatives of the pool, 31 with false positives. "
        "Added 27 hard negatives with a score of at least 0.05 (27 in total); 4 for review."
    )
    assert wording.mined(mining(pool=0, added=1, hard_negatives=1, review=0)) == (
        "Mining after round 1: no pool (the selection was too small, or firstRoundPercent is 100). "
        "Scored 120 training negatives, 31 with false positives. Added 1 hard negative with a score of at least 0.05 (1 in total); 0 for review."
    )
