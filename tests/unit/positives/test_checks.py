"""What is refused at once, and what is a slip within the budget."""

import pytest

from negset_api.errors import InvalidInput
from negset_api.values import Outcome
from negset_jobs.formats.boxes import Reason
from negset_jobs.positives.annotated import FailedImage, RejectedBox
from negset_jobs.positives.checks import check_crowds, check_failed, check_rejected


def failed(count):
    return [
        FailedImage(image_id=f"{number}.xml", outcome=Outcome.INVALID_ANNOTATION, detail=f"{number}.xml is broken")
        for number in range(count)
    ]


def rejected(count):
    return [
        RejectedBox(image_id=number, file_name="a", class_name="person", reason=Reason.OUTSIDE, given="[1, 2, 3, 4]")
        for number in range(count)
    ]


@pytest.mark.parametrize(
    "check", [lambda *how: check_failed(failed(how[0]), *how[1:]), lambda *how: check_rejected(rejected(how[0]), *how[1:])]
)
@pytest.mark.parametrize(
    ("count", "total", "percent", "refused"),
    [
        (0, 0, 5, False),
        (0, 10, 0, False),
        (5, 100, 5, False),
        (6, 100, 5, True),
        (1, 100, 0, True),
        (3, 3, 100, True),
        (99, 100, 100, False),
    ],
)
def test_slips_count_against_the_budget(check, count, total, percent, refused):
    if not refused:
        check(count, total, percent, "spec.positives")
        return
    with pytest.raises(InvalidInput, match=rf"^spec\.positives: {count:,} of {total:,} .* allows {percent}%"):
        check(count, total, percent, "spec.positives")


def test_the_refusal_counts_by_reason_with_an_example_and_says_where_all_are():
    with pytest.raises(
        InvalidInput, match=r"9 times it lies outside the image \(such as in image '0'\); positives/rejected\.jsonl lists all"
    ):
        check_rejected(rejected(9), 10, 5, "spec.positives")
    with pytest.raises(
        InvalidInput, match=r"0\.xml is broken; 1\.xml is broken; 2\.xml is broken; positives/failed\.jsonl lists all of them"
    ):
        check_failed(failed(9), 10, 5, "spec.positives")


CROWDS = {
    "all annotations are crowds": ({"person": 4}, {"person": 4}, (), True),
    "one class has objects": ({"person": 4, "car": 1}, {"person": 4}, (), False),
    "one class has objects, but the other is requested": ({"person": 4, "car": 1}, {"person": 4}, ("person",), True),
    "some are crowds": ({"person": 4}, {"person": 3}, ("person",), False),
    "there are no annotations": ({}, {}, (), False),
}


@pytest.mark.parametrize(("annotations", "crowds", "requested", "refused"), CROWDS.values(), ids=CROWDS)
def test_crowds_on_everything_are_refused_with_the_field_that_takes_them_as_objects(annotations, crowds, requested, refused):
    if not refused:
        check_crowds(annotations, crowds, requested, "spec.positives")
        return
    with pytest.raises(InvalidInput, match=r"all 4 annotations of 'person' are marked iscrowd.*set spec\.positives\.crowds to Objects"):
        check_crowds(annotations, crowds, requested, "spec.positives")
