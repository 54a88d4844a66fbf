"""The first sentence of a report, whole: what was measured, and no more."""

import msgspec
import pytest

from negset_api.values import Comparison, CopyCounts, Report, ReportMining, ReportRound
from negset_jobs.reporting.finding import finding


def plain(text):
    """The text with plain spaces and a plain minus sign."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def arm(
    name,
    rate,
    *,
    interval=(0.0, 1.0),
    difference=(-0.3, -0.1),
    change=(-0.97, -0.85),
    precision=0.7,
    precision_difference=(-0.02, 0.03),
    recall=0.8,
):
    return Comparison(
        name=name,
        steps=1000,
        negatives=147,
        false_positives_per_image=rate,
        false_positives_per_image_interval=interval,
        recall=recall,
        average_precision=precision,
        wanted_recall=0.8,
        difference_interval=None if name == "Mined" else difference,
        change_interval=None if name == "Mined" else change,
        average_precision_difference_interval=None if name == "Mined" else precision_difference,
    )


def a_round(number, rate, **changes):
    given = {
        "round": number,
        "false_positives_per_image": rate,
        "recall": 0.8,
        "average_precision": 0.7,
        "average_precision_50": 0.9,
        "threshold": 0.5,
        "steps": 500,
        "total_steps": 500 * number,
        "hard_negatives": 0,
        "wanted_recall": 0.8,
        "difference_interval": (-0.3, -0.1),
        "change_interval": (-0.97, -0.85),
        "average_precision_difference_interval": (-0.02, 0.03),
    }
    return ReportRound(**{**given, **changes})


MINING = ReportMining(after_round=1, pool=117, trained_on=120, floor=0.05, fooled=31, added=27, hard_negatives=27, review=0)


NO_COPIES = CopyCounts()


def report(*comparisons, rounds=(), added=27, negatives=160, copies=NO_COPIES):
    return Report(
        input_digest="",
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
        comparisons=comparisons,
        review=(),
        page="",
        minings=(msgspec.structs.replace(MINING, added=added),),
        held_out_negatives=negatives,
        held_out_positives=140,
        held_out_objects=270,
        held_out_copies=copies.total,
        copies=copies,
    )


HEADLINES = {
    "a clear fall is good news and has its interval": (
        [arm("Mined", 0.02), arm("NoNegatives", 0.2)],
        "Mined negatives cut false positives per held-out negative from 0.20 to 0.020 (-90 %, 95 % interval -97 % to -85 %) compared with no negatives, at recall 0.80",
        "good",
    ),
    "against no negatives comes before against random ones": (
        [arm("Mined", 0.02), arm("RandomNegatives", 0.1), arm("NoNegatives", 0.2)],
        "Mined negatives cut false positives per held-out negative from 0.20 to 0.020 (-90 %, 95 % interval -97 % to -85 %) compared with no negatives, at recall 0.80",
        "good",
    ),
    "with only random negatives, they are compared in the same number": (
        [arm("Mined", 0.02), arm("RandomNegatives", 0.1, change=(-0.95, -0.4))],
        "Mined negatives cut false positives per held-out negative from 0.10 to 0.020 (-80 %, 95 % interval -95 % to -40 %) compared with as many random negatives, at recall 0.80",
        "good",
    ),
    "where no mining added anything they are just negatives": (
        [arm("Mined", 0.02), arm("NoNegatives", 0.2)],
        "Negatives cut false positives per held-out negative from 0.20 to 0.020 (-90 %, 95 % interval -97 % to -85 %) compared with no negatives, at recall 0.80",
        "good",
        {"added": 0},
    ),
    "an interval that spans 0 is no difference and has no percentage of a fall": (
        [arm("Mined", 0.06), arm("NoNegatives", 0.1, difference=(-0.09, 0.02), change=(-0.8, 0.3))],
        (
            "No significant difference between mined negatives and no negatives: 0.060 and 0.10 false positives per held-out negative at recall 0.80 "
            "(95 % interval of the difference -0.090 to +0.020)"
        ),
        "neutral",
    ),
    "an interval that ends at 0 spans it": (
        [arm("Mined", 0.06), arm("NoNegatives", 0.1, difference=(-0.09, 0.0))],
        (
            "No significant difference between mined negatives and no negatives: 0.060 and 0.10 false positives per held-out negative at recall 0.80 "
            "(95 % interval of the difference -0.090 to +0.000)"
        ),
        "neutral",
    ),
    "no false positives at all is no difference": (
        [arm("Mined", 0.0), arm("NoNegatives", 0.0, difference=(-0.019, 0.019), change=None)],
        (
            "No significant difference between mined negatives and no negatives: 0.00 and 0.00 false positives per held-out negative at recall 0.80 "
            "(95 % interval of the difference -0.019 to +0.019)"
        ),
        "neutral",
    ),
    "a rise is bad news": (
        [arm("Mined", 0.9), arm("NoNegatives", 0.5, difference=(0.2, 0.6), change=(0.35, 1.3))],
        "Mined negatives raised false positives per held-out negative from 0.50 to 0.90 (+80 %, 95 % interval +35 % to +130 %) compared with no negatives, at recall 0.80",
        "bad",
    ),
    "a rise from nothing has no percentage": (
        [arm("Mined", 0.5), arm("NoNegatives", 0.0, difference=(0.3, 0.7), change=None)],
        "Mined negatives raised false positives per held-out negative from 0.00 to 0.50 (95 % interval of the difference +0.300 to +0.700) compared with no negatives, at recall 0.80",
        "bad",
    ),
    "a recall that mined negatives do not reach comes before everything": (
        [arm("Mined", 0.02, recall=0.1), arm("NoNegatives", 0.2)],
        "The wanted recall of 0.80 was not reached, so false positives cannot be compared at equal recall; the best recall is 0.10 (mined negatives)",
        "bad",
    ),
    "a recall that neither reaches names both": (
        [arm("Mined", 0.02, recall=0.1), arm("NoNegatives", 0.2, recall=0.3)],
        "The wanted recall of 0.80 was not reached, so false positives cannot be compared at equal recall; the best recalls are 0.10 (mined negatives) and 0.30 (no negatives)",
        "bad",
    ),
    "a recall that the other does not reach forbids the comparison as well": (
        [arm("Mined", 0.02), arm("NoNegatives", 0.2, recall=0.3)],
        "The wanted recall of 0.80 was not reached, so false positives cannot be compared at equal recall; the best recall is 0.30 (no negatives)",
        "bad",
    ),
    "average precision that fell by more than its noise comes before the fall of false positives": (
        [arm("Mined", 0.02, precision=0.5), arm("NoNegatives", 0.2, precision=0.75, precision_difference=(-0.3, -0.2))],
        "Average precision fell significantly, from 0.750 (no negatives) to 0.500 (mined negatives) (95 % interval of the difference -0.300 to -0.200)",
        "bad",
    ),
    "average precision that fell within its noise is not in the headline": (
        [arm("Mined", 0.02, precision=0.7), arm("NoNegatives", 0.2, precision=0.71, precision_difference=(-0.03, 0.01))],
        "Mined negatives cut false positives per held-out negative from 0.20 to 0.020 (-90 %, 95 % interval -97 % to -85 %) compared with no negatives, at recall 0.80",
        "good",
    ),
    "without comparisons the last round is compared with the first": (
        [arm("Mined", 0.02)],
        "Round 2 cut false positives per held-out negative from 0.20 to 0.020 (-90 %, 95 % interval -97 % to -85 %) compared with round 1, at recall 0.80",
        "good",
        {"rounds": (a_round(1, 0.2), a_round(2, 0.02))},
    ),
    "a single round has no comparison": (
        [arm("Mined", 0.02, interval=(0.005, 0.04))],
        "0.020 false positives per held-out negative (95 % interval 0.005 to 0.040) at recall 0.80",
        "neutral",
        {"rounds": (a_round(1, 0.02),)},
    ),
    "a single round that does not reach the recall says so": (
        [arm("Mined", 0.02, recall=0.1)],
        "The wanted recall of 0.80 was not reached, so false positives cannot be compared at equal recall; the best recall is 0.10 (mined negatives)",
        "bad",
        {"rounds": (a_round(1, 0.02),)},
    ),
}


@pytest.mark.parametrize("case", HEADLINES.values(), ids=HEADLINES)
def test_headline(case):
    comparisons, headline, mood, *options = case
    found = finding(report(*comparisons, **(options[0] if options else {})))
    assert (plain(found.headline), found.mood) == (headline, mood)
    assert all(text.endswith(".") for text in found.details)
    assert not any(found.headline in text for text in found.details), "nothing is said twice"


RESOLUTION = "Measured on 160 held-out negatives and 140 held-out positives (270 objects): one false positive is 0.006 per image, and a rate of 0 means below 0.019 with 95 % confidence."

DETAILS = {
    "average precision, and what the images can tell": (
        [arm("Mined", 0.02), arm("NoNegatives", 0.2)],
        [
            "Average precision is 0.700 with mined negatives and 0.700 with no negatives (95 % interval of the difference -0.020 to +0.030).",
            RESOLUTION,
        ],
    ),
    "mined against random has its own sentence, as honest as the first": (
        [arm("Mined", 0.02), arm("NoNegatives", 0.2), arm("RandomNegatives", 0.03, difference=(-0.03, 0.01))],
        [
            "Average precision is 0.700 with mined negatives and 0.700 with no negatives (95 % interval of the difference -0.020 to +0.030).",
            (
                "No significant difference between mined negatives and as many random negatives: 0.020 and 0.030 false positives per held-out negative at recall 0.80 "
                "(95 % interval of the difference -0.030 to +0.010)."
            ),
            "Average precision is 0.700 with mined negatives and 0.700 with as many random negatives (95 % interval of the difference -0.020 to +0.030).",
            RESOLUTION,
        ],
    ),
    "where the recall is not reached the rates are there, each with its recall": (
        [arm("Mined", 0.02, recall=0.1), arm("NoNegatives", 0.2)],
        [
            "Mined negatives and no negatives have 0.020 and 0.20 false positives per held-out negative, at recalls of 0.10 and 0.80.",
            "Average precision is 0.700 with mined negatives and 0.700 with no negatives (95 % interval of the difference -0.020 to +0.030).",
            RESOLUTION,
        ],
    ),
    "where average precision fell the rates follow without a percentage": (
        [arm("Mined", 0.02, precision=0.5), arm("NoNegatives", 0.2, precision=0.75, precision_difference=(-0.3, -0.2))],
        [
            "Mined negatives and no negatives have 0.020 and 0.20 false positives per held-out negative at recall 0.80 (95 % interval of the difference -0.300 to -0.100).",
            RESOLUTION,
        ],
    ),
    "rounds differ in steps, which is said": (
        [arm("Mined", 0.02)],
        [
            "Average precision is 0.700 in round 2 and 0.700 in round 1 (95 % interval of the difference -0.020 to +0.030).",
            RESOLUTION,
            (
                "The two rounds also differ in training steps (500 and 1,000), so this does not measure the effect of mining; "
                "set spec.training.comparisons: [NoNegatives, RandomNegatives] to measure the effect of the negatives."
            ),
        ],
        {"rounds": (a_round(1, 0.2), a_round(2, 0.02))},
    ),
    "one round says how to compare": (
        [arm("Mined", 0.02)],
        [
            "There is no comparison; set spec.training.comparisons: [NoNegatives, RandomNegatives] to measure the effect of the negatives.",
            RESOLUTION,
        ],
    ),
    "a held-out copy is named": (
        [arm("Mined", 0.02)],
        [
            "There is no comparison; set spec.training.comparisons: [NoNegatives, RandomNegatives] to measure the effect of the negatives.",
            "Measured on 2,500 held-out negatives and 140 held-out positives (270 objects): one false positive is 0.0004 per image, and a rate of 0 means below 0.0012 with 95 % confidence.",
            "1 held-out negative is a copy of a training image: 1 exact. It is excluded from every number here.",
        ],
        {"copies": CopyCounts(exact_negatives=1), "negatives": 2500},
    ),
    "held-out copies of both kinds are named": (
        [arm("Mined", 0.02)],
        [
            "There is no comparison; set spec.training.comparisons: [NoNegatives, RandomNegatives] to measure the effect of the negatives.",
            RESOLUTION,
            "3 held-out negatives and 2 held-out positives are copies of training images: 1 exact and 4 near (resized or mirrored, for example). They are excluded from every number here.",
        ],
        {"copies": CopyCounts(exact_negatives=1, near_negatives=2, near_positives=2)},
    ),
}


@pytest.mark.parametrize("case", DETAILS.values(), ids=DETAILS)
def test_details(case):
    comparisons, details, *options = case
    found = finding(report(*comparisons, **(options[0] if options else {})))
    assert [plain(text) for text in found.details] == details


def test_without_training_there_is_no_finding():
    assert finding(report()) is None
