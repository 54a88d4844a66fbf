"""What false positives lie on."""

import numpy as np
import pytest
from tests.unit.reporting.models import HeldOut, box, drawn, found, model, scored

from negset_jobs.reporting.overlap import class_below, lies_on
from negset_jobs.reporting.sentences import NOTHING, lies_on_sentence

TABLE, CUP = box(0.0, 0.5, 0.5, name="table"), box(0.1, 0.6, 0.1, name="cup")

CASES = {
    "on the whole of it": ((0.1, 0.6, 0.1), (CUP,), "cup"),
    "on a part of it": ((0.2, 0.7, 0.05), (TABLE,), "table"),
    "too large around it, but not by far": ((0.08, 0.58, 0.16), (CUP,), "cup"),
    "of two the one that it fits": ((0.1, 0.61, 0.1), (TABLE, CUP), "cup"),
    "less than half beside it": ((0.44, 0.6, 0.1), (TABLE,), "table"),
    "mostly beside it": ((0.47, 0.6, 0.1), (TABLE,), NOTHING),
    "around all of it": ((0.0, 0.4, 0.6), (CUP,), NOTHING),
    "nothing is annotated": ((0.1, 0.6, 0.1), (), NOTHING),
}


@pytest.mark.parametrize(("place", "annotated", "expected"), CASES.values(), ids=CASES)
def test_a_detection_lies(place, annotated, expected):
    x, y, size = place
    assert class_below(np.array([[y, x, y + size, x + size]]), annotated) == [expected]


def test_only_what_reaches_the_threshold_is_counted_and_the_commonest_class_comes_first():
    base = drawn(1, negatives=0, positives=40)
    negatives = (
        scored("a", found(0.1, 0.6, 0.99, size=0.1), found(0.3, 0.8, 0.98, size=0.1)),
        scored("b", found(0.3, 0.8, 0.97, size=0.1), found(0.7, 0.1, 0.96, size=0.1), found(0.1, 0.6, 0.01, size=0.1)),
        scored("c", found(0.1, 0.1, 0.95)),
    )
    judged = model(HeldOut(truths=base.truths, positives=base.positives, negatives=negatives))
    assert lies_on(judged, {"a": (TABLE, CUP), "b": (TABLE, CUP)}) == {"": 2, "table": 2, "cup": 1}


def test_it_is_said_in_one_sentence(report):
    each = report.comparisons[0]
    import msgspec

    said = lies_on_sentence(
        msgspec.structs.replace(each, false_positives=50, false_positives_on={"square": 21, "": 15, "triangle": 9, "disc": 5})
    )
    assert said == (
        "With mined negatives, 42\xa0% of 50 false positives lie on square, 18\xa0% on triangle and 30\xa0% on nothing annotated"
    )
    assert lies_on_sentence(msgspec.structs.replace(each, false_positives=1, false_positives_on={"": 1})) == (
        "With mined negatives, 100\xa0% of 1 false positive lies on nothing annotated"
    )
