"""Boxes around segmentations, with pycocotools as the oracle."""

import numpy as np
import pytest
from pycocotools import mask as oracle

from negset_jobs.formats.masks import box_around


@pytest.mark.parametrize("seed", range(30))
def test_the_box_around_a_mask_is_that_of_pycocotools(seed):
    draw = np.random.default_rng(seed)
    pixels = np.zeros((draw.integers(1, 40), draw.integers(1, 40)), np.uint8, order="F")
    for _ in range(3):
        top, left = draw.integers(0, pixels.shape[0]), draw.integers(0, pixels.shape[1])
        pixels[top : top + draw.integers(1, 20), left : left + draw.integers(1, 20)] = 1
    mask = oracle.encode(pixels)
    counts = [run.size for run in np.split(pixels.ravel("F"), np.flatnonzero(np.diff(pixels.ravel("F"))) + 1)]
    plain = counts if not pixels.flat[0] else [0, *counts]
    expected = oracle.toBbox(mask).tolist()
    assert box_around({"size": list(pixels.shape), "counts": mask["counts"].decode()}) == expected
    assert box_around({"size": list(pixels.shape), "counts": plain}) == expected


SHAPES = {
    "a polygon": ([[10, 20, 40, 20, 40, 60]], [10, 20, 30, 40]),
    "two polygons": ([[10, 20, 40, 20, 40, 60], [0, 0, 1, 0, 1, 1]], [0, 0, 40, 60]),
    "a polygon that is not in a list": ([10, 20, 40, 20, 40, 60], [10, 20, 30, 40]),
    "numbers as text": ([["10", "20", "40.0", "60"]], [10, 20, 30, 40]),
    "nothing": (None, None),
    "an empty list": ([], None),
    "an empty polygon": ([[]], None),
    "an odd number of numbers": ([[1, 2, 3, 4, 5]], None),
    "no numbers": ([["a", "b", "c", "d"]], None),
    "an empty mask": ({"size": [4, 4], "counts": [16]}, None),
    "a mask of no height": ({"size": [0, 4], "counts": [0, 16]}, None),
    "a mask without a size": ({"counts": "abc"}, None),
    "a mask with negative counts": ({"size": [4, 4], "counts": [2, -1, 3]}, None),
    "compressed counts with other characters": ({"size": [4, 4], "counts": "\x00é"}, None),
    "compressed counts without an end": ({"size": [4, 4], "counts": "o" * 50}, None),
    "text": ("[[1, 2, 3, 4]]", None),
}


@pytest.mark.parametrize(("segmentation", "expected"), SHAPES.values(), ids=SHAPES)
def test_the_box_lies_around_all_points_or_there_is_none(segmentation, expected):
    assert box_around(segmentation) == expected
