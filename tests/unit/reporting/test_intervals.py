"""Intervals of rates: they promise no more than the images can tell."""

import numpy as np
import pytest
from tests.unit.reporting.models import HeldOut, drawn, found, model, scored

from negset_jobs.reporting import intervals
from negset_jobs.training.measuring import measure

BY_HAND = drawn(1, negatives=50, positives=40, false_positives=0.3)


def firing(*counts, negatives=160):
    """A model with that many false positives on the first negatives, and none on the others."""
    on_negatives = [
        scored(index, *(found(0.1 * step, 0.1, 0.99) for step in range(counts[index] if index < len(counts) else 0)))
        for index in range(negatives)
    ]
    base = drawn(1, negatives=0, positives=60)
    return model(HeldOut(truths=base.truths, positives=base.positives, negatives=tuple(on_negatives)))


def test_a_draw_is_what_measuring_the_drawn_images_gives():
    """Images drawn twice are measured twice: the arithmetic of arrays against the plain way."""
    judged = model(BY_HAND)
    random = np.random.default_rng(5)
    negatives, positives = intervals._weights(random, 6, 50), intervals._weights(random, 6, 40)
    wanted = np.maximum(1, np.ceil(0.8 * (positives @ judged.objects) - 1e-9)).astype(int)
    sample = intervals._sample(judged)
    thresholds = intervals._thresholds(sample, positives, wanted)
    counted = intervals._false_positives(sample, negatives, thresholds)
    for row in range(6):
        again = [index for index, times in enumerate(positives[row]) for _ in range(times)]
        others = [BY_HAND.negatives[index] for index, times in enumerate(negatives[row]) for _ in range(times)]
        plain = measure([BY_HAND.truths[i] for i in again], [BY_HAND.positives[i] for i in again], others, recall=0.8)
        assert thresholds[row] == plain.threshold
        assert counted[row] / 50 == pytest.approx(plain.false_positives_per_image)


def test_where_the_recall_is_out_of_reach_the_lowest_match_that_was_drawn_is_the_threshold():
    judged = model(drawn(3, negatives=5, positives=8))
    sample = intervals._sample(judged)
    weights = np.zeros((2, 8), int)
    weights[0, 2] = 1
    (lowest, none) = intervals._thresholds(sample, weights, np.array([99, 1]))
    assert lowest == min(sample.match_scores[sample.match_images == 2])
    assert none == 0


@pytest.mark.parametrize("rate", [0.03, 0.2, 1.0])
def test_the_interval_holds_the_true_rate_about_as_often_as_it_says(rate):
    # False detections are drawn with scores from 0.55 to 1, and the threshold that is true is that
    # of very many positives.
    threshold = model(drawn(1, negatives=0, positives=4000)).threshold
    true = rate * (1 - threshold) / 0.45
    held = 0
    for seed in range(60):
        judged = model(drawn(100 + seed, negatives=200, positives=40, false_positives=rate))
        low, high = intervals.rate_interval(intervals.draw([judged], recall=0.8, seed=seed, resamples=400), 0)
        held += low <= true <= high
    assert held >= 53, f"{held} of 60 intervals hold the true rate"


def test_two_models_that_are_worth_the_same_are_seldom_told_apart_and_two_that_are_not_are():
    apart = []
    for seed in range(40):
        pair = [model(drawn(1000 + seed, false_positives=0.1)), model(drawn(2000 + seed, false_positives=0.1))]
        low, high = intervals.difference_interval(intervals.draw(pair, recall=0.8, seed=seed, resamples=400), 0, 1)
        apart.append(not low <= 0 <= high)
    assert sum(apart) <= 5
    pair = [model(drawn(1, false_positives=0.03)), model(drawn(2, false_positives=0.4))]
    draws = intervals.draw(pair, recall=0.8, seed=0)
    assert intervals.difference_interval(draws, 0, 1)[1] < 0
    low, high = intervals.change_interval(draws, 0, 1)
    assert -1 <= low < high < -0.5


def test_no_false_positive_is_not_a_rate_of_nothing():
    draws = intervals.draw([firing()], recall=0.8, seed=0)
    assert intervals.rate_interval(draws, 0) == (0.0, 3 / 160)


@pytest.mark.parametrize(("others", "shown"), [(4, False), (8, True)])
def test_none_against_four_may_be_chance_and_none_against_eight_is_not(others, shown):
    draws = intervals.draw([firing(), firing(*[1] * others)], recall=0.8, seed=0)
    low, high = intervals.difference_interval(draws, 0, 1)
    assert (high < 0) == shown
    assert low < -others / 160


def test_models_are_compared_image_by_image():
    """Both fire on the same images, one once more each time: unpaired, that would be hidden."""
    many = [3] * 20
    more = [4] * 20
    paired = intervals.draw([firing(*many), firing(*more)], recall=0.8, seed=0)
    assert intervals.difference_interval(paired, 0, 1)[1] < 0
    first, second = intervals.rate_interval(paired, 0), intervals.rate_interval(paired, 1)
    assert first[1] > second[0], "the two rates' own intervals overlap"


def test_there_is_no_change_relative_to_nothing():
    draws = intervals.draw([firing(1, 1), firing()], recall=0.8, seed=0)
    assert intervals.change_interval(draws, 0, 1) is None


def test_the_same_seed_gives_the_same_interval():
    judged = model(BY_HAND)
    first, second = (intervals.rate_interval(intervals.draw([judged], recall=0.8, seed=3), 0) for _ in range(2))
    assert first == second
