"""Which boxes can be used, and what clipping does to them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negset_jobs.formats.boxes import MIN_SIDE, Corners, Reason, fit, normalised

HEIGHT, WIDTH = 100, 200

USABLE = {
    "a box inside stays as it is": (Corners(10, 20, 30, 40), Corners(0.1, 0.1, 0.3, 0.2)),
    "a box of the whole image stays as it is": (Corners(0, 0, 100, 200), Corners(0, 0, 1, 1)),
    "a box that overhangs on the right is clipped": (Corners(10, 190, 30, 210), Corners(0.1, 0.95, 0.3, 1)),
    "a box that overhangs on all sides is the whole image": (Corners(-1, -1, 101, 201), Corners(0, 0, 1, 1)),
    "a box of a tenth of a pixel is just large enough": (Corners(0, 0, 0.101, 200), Corners(0, 0, 0.00101, 1)),
}

UNUSABLE = {
    "a corner that is not a number": (Corners(math.nan, 0, 10, 10), Reason.NOT_FINITE),
    "a corner at infinity": (Corners(0, 0, math.inf, 10), Reason.NOT_FINITE),
    "no height": (Corners(10, 10, 10, 20), Reason.NO_EXTENT),
    "negative width": (Corners(10, 20, 20, 10), Reason.NO_EXTENT),
    "beyond the right side": (Corners(10, 200, 20, 210), Reason.OUTSIDE),
    "above the image": (Corners(-20, 10, -10, 20), Reason.OUTSIDE),
    "touching the top from outside": (Corners(-20, 10, 0, 20), Reason.OUTSIDE),
    "a sliver after clipping": (Corners(10, 199.95, 20, 210), Reason.TOO_SMALL),
    "a dot": (Corners(10, 10, 10.01, 10.01), Reason.TOO_SMALL),
}


@pytest.mark.parametrize(("pixels", "expected"), USABLE.values(), ids=USABLE)
def test_usable_boxes(pixels, expected):
    box = fit(normalised(pixels, height=HEIGHT, width=WIDTH), height=HEIGHT, width=WIDTH)
    assert box == pytest.approx(expected)


@pytest.mark.parametrize(("pixels", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_boxes(pixels, reason):
    assert fit(normalised(pixels, height=HEIGHT, width=WIDTH), height=HEIGHT, width=WIDTH) is reason


def test_every_reason_has_a_sentence():
    assert all(reason.sentence for reason in Reason)


SIDES = st.integers(1, 100_000)
NUMBERS = st.floats(-2, 3)


@given(box=st.builds(Corners, NUMBERS, NUMBERS, NUMBERS, NUMBERS), height=SIDES, width=SIDES)
def test_a_usable_box_lies_in_the_image_is_large_enough_and_fitting_it_again_changes_nothing(box, height, width):
    fitted = fit(box, height=height, width=width)
    if isinstance(fitted, Reason):
        return
    assert all(0 <= corner <= 1 for corner in fitted)
    assert (fitted.ymax - fitted.ymin) * height >= MIN_SIDE
    assert (fitted.xmax - fitted.xmin) * width >= MIN_SIDE
    assert fit(fitted, height=height, width=width) == fitted


@given(corners=st.lists(st.floats(0, 1), min_size=4, max_size=4), height=SIDES, width=SIDES)
def test_a_box_inside_the_image_is_never_moved(corners, height, width):
    box = Corners(min(corners[:2]), min(corners[2:]), max(corners[:2]), max(corners[2:]))
    assert fit(box, height=height, width=width) in (box, Reason.NO_EXTENT, Reason.TOO_SMALL)
