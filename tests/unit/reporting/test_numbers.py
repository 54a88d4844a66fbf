"""The numbers of `report.json`."""

import json

import pytest

from negset_api.values import Report, decode, encode


def test_the_numbers_are_those_of_the_values(facts, report):
    assert [each.round for each in report.rounds] == [1, 2]
    assert [each.total_steps for each in report.rounds] == [500, 1000]
    assert [each.hard_negatives for each in report.rounds] == [0, 27]
    assert report.review == ("57", "58", "59", "60")
    assert sum(report.outcomes.values()) == report.planned
    assert report.page == "report/index.html"
    assert (report.held_out_negatives, report.held_out_positives, report.held_out_copies) == (160, 140, 0)
    assert (report.positive_outcomes["invalid_annotation"], report.rejected_boxes["outside the image"], report.left_out["crowds"]) == (
        3,
        2,
        7,
    )


def test_every_arm_is_compared_at_equal_steps_with_its_interval(facts, report):
    assert [(each.name, each.steps, each.negatives) for each in report.comparisons] == [
        ("Mined", 1000, 147),
        ("RandomNegatives", 1000, 147),
        ("NoNegatives", 1000, 0),
    ]
    for each, judged in zip(report.comparisons, facts.evidence[1:], strict=True):
        low, high = each.false_positives_per_image_interval
        assert low <= each.false_positives_per_image <= high
        assert each.false_positives_per_image == pytest.approx(judged.round.measurement.false_positives_per_image)
        assert each.hits + each.misses == report.held_out_objects
        assert sum(each.false_positives_on.values()) == each.false_positives
        assert sum(numbers.false_positives for numbers in each.classes) == each.false_positives
    mined, random, none = report.comparisons
    assert mined.difference_interval is None
    assert random.difference_interval[1] < 0
    assert none.difference_interval[1] < random.difference_interval[0]
    assert -1 <= none.change_interval[0] < none.change_interval[1] < -0.9


def test_the_json_has_the_names_that_others_rely_on_and_stays_small(report):
    stored = json.loads(encode(report))
    assert stored["comparisons"][0].keys() >= {
        "name",
        "steps",
        "negatives",
        "falsePositivesPerImage",
        "falsePositivesPerImageInterval",
        "recall",
        "averagePrecision",
    }
    assert stored["rounds"][0].keys() >= {"round", "falsePositivesPerImage", "recall", "averagePrecision"}
    assert len(encode(report)) < 20_000
    assert decode(encode(report), Report) == report
