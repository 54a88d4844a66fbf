"""Average precision without some of the images, against pycocotools on the others."""

import msgspec
import numpy as np
import pytest
from tests.unit.reporting.models import box, drawn, found, scored, truth

from negset_jobs.reporting.precision import difference_interval, precision
from negset_jobs.training.measuring import average_precision

MODEL = drawn(4, positives=45, misplaced=0.03)


def two_classes():
    """Half of the images show a ring as well; crowds and difficult objects are among them."""
    truths, images = list(MODEL.truths), list(MODEL.positives)
    for index in range(0, 45, 2):
        marks = {"crowd": index % 8 == 0, "difficult": index % 6 == 0}
        truths[index] = msgspec.structs.replace(truths[index], objects=(*truths[index].objects, box(0.3, 0.7, name="ring", **marks)))
        images[index] = scored(index, *images[index].detections, *([found(0.31, 0.7, 0.5, name="ring")] * (index % 3)))
    return truths, images


def test_it_is_what_pycocotools_says():
    truths, images = two_classes()
    value = precision(truths, images)
    assert value.whole == pytest.approx(average_precision(truths, images)[0], abs=1e-9)
    assert np.mean(list(value.by_class_50.values())) == pytest.approx(average_precision(truths, images)[1], abs=1e-9)
    assert set(value.by_class_50) == {"disc", "ring"}


def test_without_a_group_it_is_what_pycocotools_says_of_the_other_images():
    truths, images = two_classes()
    value = precision(truths, images, groups=5)
    for group in range(5):
        kept = [index for index in range(45) if index % 5 != group]
        expected, _ = average_precision([truths[index] for index in kept], [images[index] for index in kept])
        assert value.without[group] == pytest.approx(expected, abs=1e-9)


def test_two_models_that_are_worth_the_same_are_seldom_told_apart_and_a_clumsy_one_is():
    apart = 0
    for seed in range(30):
        first, second = (drawn(seed + start, positives=80, negatives=0, misplaced=0.03) for start in (0, 500))
        low, high = difference_interval(*(precision(each.truths, each.positives) for each in (first, second)))
        apart += not low <= 0 <= high
    assert apart <= 4
    good, clumsy = (drawn(9, positives=80, negatives=0, misplaced=misplaced) for misplaced in (0.01, 0.05))
    assert difference_interval(*(precision(each.truths, each.positives) for each in (clumsy, good)))[1] < 0


def test_one_image_has_no_spread_and_nothing_found_is_no_precision():
    one = precision(MODEL.truths[:1], MODEL.positives[:1])
    assert difference_interval(one, one) is None
    nothing = precision([truth(1, box(0, 0))], [scored(1)])
    assert (nothing.whole, nothing.by_class_50) == (0.0, {})
