"""What charts say in words, and the numbers that they draw."""

import pytest

from negset_jobs.reporting import charts, curve_charts


def test_the_steps_of_later_rounds_continue_after_the_earlier_ones(facts):
    mined, random, none = charts.lines((*facts.trained, *facts.others))
    assert (mined.arm, mined.starts, random.starts, none.starts) == ("Mined", (500,), (), ())
    steps = [point.step for point in mined.points]
    assert steps == sorted(steps)
    assert (steps[0], steps[100], steps[-1]) == (0, 500, 995)
    assert (random.points[0].step, none.points[0].step) == (500, 0)
    # One schedule: at the same step every arm has the same learning rate.
    rates = {point.step: point.learning_rate for point in mined.points}
    assert all(rates[point.step] == pytest.approx(point.learning_rate) for line in (random, none) for point in line.points)


def test_the_learning_rate_is_drawn_by_step(facts):
    chart = charts.logged(charts.lines(facts.trained), charts.LEARNING_RATE)
    last = facts.trained[-1].losses[-1].learning_rate
    assert chart.alt == f"Line chart of the learning rate by training step: mined negatives ends at 995 steps with {last:.3g}."
    assert chart.light != chart.dark


def test_bars_are_told_with_their_intervals(facts, evaluation):
    alt = charts.false_positives(evaluation).alt
    low, high = evaluation.arms[-1].interval
    assert f"no negatives {evaluation.arms[-1].model.rate:.2f} ({low:.2f} to {high:.2f})" in alt
    assert alt.index("round 1") < alt.index("round 2") < alt.index("random negatives") < alt.index("no negatives")


def test_curves_are_told_by_their_point_and_histograms_by_their_counts(evaluation):
    assert "mined negatives 0.006 at recall 0.80" in curve_charts.froc(evaluation.arms).alt
    judged = evaluation.arms[-1]
    fired = int(judged.model.firing.sum())
    assert f"on each of 160 negatives; {fired:,} detections on negatives are at or above" in curve_charts.scores(judged).alt
    assert "no negatives AP at IoU 0.50 0.9" in curve_charts.precision_recall(evaluation.arms).alt


def test_a_running_median_ignores_a_spike_and_keeps_the_length():
    assert charts.running_median([1, 1, 9, 1, 1], 1) == [1, 1, 1, 1, 1]
    assert charts.running_median([3, 1], 5) == [2, 2]
