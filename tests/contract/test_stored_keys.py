"""Stored files keep their keys, for any name in the code.

A revision that an earlier version wrote is read by this one, and the other way round. A key may be
added with a default. It may never be renamed or removed. The same holds for outcomes, but an
earlier version cannot read a shard with an outcome that it does not know.
"""

import importlib
import pkgutil

import msgspec
import pytest

import negset_api
import negset_jobs
from negset_api.values import Outcome, Value

KEYS = {
    "Box": "ymin xmin ymax xmax className crowd difficult truncated",
    "Checkpoint": "inputs step prefix files pictures blanks",
    "ClassNumbers": "name objects recall averagePrecision50 falsePositives",
    "Comparison": (
        "name steps negatives falsePositivesPerImage falsePositivesPerImageInterval "
        "recall averagePrecision averagePrecision50 threshold wantedRecall "
        "differenceInterval changeInterval averagePrecisionDifferenceInterval hits misses "
        "duplicates wrongClass wrongPlace falsePositives falsePositivesOn classes "
        "detections"
    ),
    "Copies": "inputs negatives positives counts heldOut others plain table likePositives",
    "CopyCounts": "exactNegatives nearNegatives exactPositives nearPositives measuredNear",
    "Detection": "ymin xmin ymax xmax score className",
    "FailedImage": "imageId outcome detail",
    "File": "name bytes sha256",
    "FoundCopies": "exact near searched",
    "ImageResult": "imageId outcome inputs sha256 bytes width height offset length detail rejectedBoxes orientation turned",
    "Labels": "inputs folders images unreadable unreadableExamples",
    "License": "id name url images",
    "LossPoint": "step total classification localization learningRate",
    "Measurement": ("threshold recall wantedRecall falsePositivesPerImage averagePrecision averagePrecision50 negatives positives objects"),
    "Mining": (
        "number inputs threshold floor pool trainedOn fooled hard hardImages added random "
        "negatives negativeImages review scores reviewDeclined hardest unreadable unreadableExamples"
    ),
    "Negatives": "excludedClasses categories remainingClasses",
    "Plan": (
        "inputs excludedClasses categories candidates planned rejected bytesEstimate licenses remainingClasses imageIds shards proofs unplaced"
    ),
    "PlannedImage": "imageId url fileName width height license scene reason page objects pixels orientation proof",
    "Positives": "inputs classes labelMap files images boxes outcomes rejectedBoxes mostBoxes leftOut turned failures",
    "Records": "inputs planned stored bytes outcomes files images manifest",
    "RejectedBox": "imageId fileName className reason given",
    "Report": (
        "inputs name namespace revision negsetVersion planned stored outcomes bytes "
        "excludedClasses remainingClasses licenses rounds comparisons review page minings "
        "heldOutNegatives heldOutPositives heldOutObjects heldOutCopies copies heldOut "
        "positiveOutcomes rejectedBoxes leftOut proofs likePositives"
    ),
    "ReportMining": "afterRound pool trainedOn floor fooled added hardNegatives review",
    "ReportRound": (
        "round falsePositivesPerImage recall averagePrecision averagePrecision50 "
        "threshold steps hardNegatives totalSteps wantedRecall heldOutNegatives "
        "heldOutObjects falsePositivesPerImageInterval differenceInterval changeInterval "
        "averagePrecisionDifferenceInterval"
    ),
    "Round": (
        "number arm inputs steps totalSteps seed negatives negativePercent "
        "measuredNegativePercent miner config checkpoint savedModel detections losses "
        "stepsPerSecond measurement worst unreadable unreadableExamples"
    ),
    "ScoredImage": "imageId detections unreadable",
    "ShardPlan": "name subset images",
    "ShardResult": "name subset inputs file sha256 bytes results",
    "ShardScores": "key images inputs",
}

OUTCOMES = (
    "stored not_found forbidden client_error rate_limited server_error timeout unreachable blocked_address opted_out "
    "too_large not_an_image truncated undecodable size_mismatch invalid_box "
    "invalid_annotation ambiguous_orientation is_positive"
)


def stored() -> dict[str, type[Value]]:
    """Every kind of value, by name."""
    for package in (negset_api, negset_jobs):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: list[type[Value]] = [Value]
    for kind in found:
        found += kind.__subclasses__()
    return {kind.__name__: kind for kind in found[1:]}


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", KEYS)
def test_every_key_that_was_ever_written_is_still_there(name):
    keys = [field.encode_name for field in msgspec.structs.fields(stored()[name])]
    assert keys[: len(KEYS[name].split())] == KEYS[name].split()


@pytest.mark.tensorflow
def test_no_kind_of_value_is_forgotten():
    assert set(stored()) == set(KEYS)


def test_no_outcome_that_was_ever_written_is_gone_and_no_new_one_is_forgotten():
    assert [outcome.value for outcome in Outcome] == OUTCOMES.split()
