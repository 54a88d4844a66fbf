"""What each detection on a held-out image is."""

import msgspec
import numpy as np
import pytest
from tests.unit.reporting.models import HeldOut, box, drawn, found, model, scored, truth

from negset_jobs.reporting import curves
from negset_jobs.reporting.evaluation import by_class
from negset_jobs.reporting.evidence import DUPLICATE, HIT, IGNORED, WRONG_CLASS, WRONG_PLACE
from negset_jobs.training import detections

OBJECTS = (box(0.1, 0.1), box(0.6, 0.6), box(0.6, 0.1, name="ring"), box(0.1, 0.6, crowd=True), box(0.35, 0.35, difficult=True))
DETECTIONS = (
    (found(0.11, 0.1, 0.95), HIT),
    (found(0.1, 0.12, 0.9), DUPLICATE),
    (found(0.6, 0.1, 0.85), WRONG_CLASS),
    (found(0.8, 0.8, 0.8, size=0.1), WRONG_PLACE),
    (found(0.15, 0.65, 0.75, size=0.1), IGNORED),
    (found(0.35, 0.35, 0.7), IGNORED),
    (found(0.6, 0.1, 0.65, name="ring"), HIT),
    (found(0.6, 0.6, 0.05), HIT),
)


@pytest.fixture
def judged():
    held_out = HeldOut(
        truths=(truth(1, *OBJECTS),),
        positives=(scored(1, *(each for each, _ in DETECTIONS)),),
        negatives=(scored("a", found(0.1, 0.1, 0.9), found(0.5, 0.5, 0.7, name="ring")), scored("b", found(0, 0, 0.2)), scored("c")),
    )
    return model(held_out, classes=("disc", "ring"), recall=0.6)


def test_every_detection_on_a_positive_is_one_thing(judged):
    assert judged.verdicts.tolist() == [verdict for _, verdict in DETECTIONS]


def test_what_is_below_the_threshold_is_not_counted(judged):
    assert judged.threshold == pytest.approx(0.65)
    assert judged.counts() == {HIT: 2, DUPLICATE: 1, WRONG_CLASS: 1, WRONG_PLACE: 1, IGNORED: 2}
    assert int(judged.objects.sum()) == 3
    assert judged.rate == pytest.approx(2 / 3)


def test_numbers_by_class(judged):
    disc, ring = by_class(judged)
    assert (disc.name, disc.objects, disc.recall, disc.false_positives) == ("disc", 2, 0.5, 1)
    assert (ring.name, ring.objects, ring.recall, ring.false_positives) == ("ring", 1, 1.0, 1)
    assert ring.average_precision_50 == pytest.approx(1.0)


def test_the_table_that_is_stored_gives_the_same_evidence():
    held_out = drawn(2)
    direct, stored = model(held_out), model(detections.decode(detections.encode(held_out)))
    assert direct.rate == stored.rate == held_out_rate(direct)
    assert (direct.verdicts == stored.verdicts).all()
    assert stored.precision.whole == pytest.approx(direct.precision.whole, abs=1e-3)


def held_out_rate(judged):
    return judged.round.measurement.false_positives_per_image


def test_froc_passes_through_the_point_at_which_the_model_is_measured():
    judged = model(drawn(3))
    curve = curves.froc(judged)
    assert (np.diff(curve.x) >= 0).all()
    assert (np.diff(curve.y) >= 0).all()
    measured = judged.round.measurement
    small = model(drawn(3, positives=40))
    curve = curves.froc(small)
    place = np.flatnonzero(np.isclose(curve.y, small.round.measurement.recall))
    assert curve.x[place].min() == pytest.approx(small.rate)
    assert measured.recall >= 0.8


def test_precision_recall_by_hand():
    held_out = HeldOut(
        truths=(truth(1, box(0.1, 0.1), box(0.6, 0.6)),),
        positives=(scored(1, found(0.1, 0.1, 0.9), found(0.35, 0.8, 0.8, size=0.1), found(0.6, 0.6, 0.7)),),
        negatives=(scored("a"),),
    )
    curve = curves.precision_recall(model(held_out))
    assert curve.x.tolist() == [0.5, 1.0]
    assert curve.y.tolist() == [1.0, pytest.approx(2 / 3)]


def test_a_histogram_counts_every_match_and_every_negative_once():
    judged = model(drawn(5))
    counted = curves.histogram(judged)
    assert counted.matches.sum() == (judged.verdicts == HIT).sum()
    assert counted.negatives.sum() == 160
    silent = model(msgspec.structs.replace(drawn(5), negatives=tuple(scored(number) for number in range(9))))
    assert curves.histogram(silent).negatives.tolist() == [9] + [0] * (curves.BINS - 1)
