"""Compare the pixels of two images whose hashes are near. Pure.

A hash contains the coarse pattern only. Two frames of a fixed camera with different objects, or two
products of the same shape on white, have near hashes but are different images.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from negset_jobs.copies.fingerprint import SIDE

Pixels = npt.NDArray[np.float32]
Cells = npt.NDArray[np.floating[Any]]

LEAST_CORRELATION: Final = 0.97
MOST_DIFFERENCE: Final = 28.0
"""The maximum difference of two copies at any point, in grey levels.

Measured on 80 images of COCO. Copies were saved again at quality 30, resized to 25 to 200 %, or
mirrored. Others were made 10 % brighter, given 20 % more contrast, or cut by 1 to 4 % a side. They
differ by at most 23, and their correlation is at least 0.997.

1,200 pairs were an image and the same image with a rectangle of random colour, size and place, 30
to 70 pixels high. 898 of them have near hashes, and 25 pass as copies: their rectangles have the
colour of the background.
"""

_BORDERS: Final = (0.0, 0.01, 0.02, 0.03, 0.04)
"""The border that one of the two images may lack, as shares of its side."""

_CELLS: Final = 32  # cells a side. Single pixels would differ if an edge has moved


def same(first: Pixels, second: Pixels) -> bool:
    """Return True if two grey images are copies, apart from brightness, contrast and a border."""
    whole, other_whole = (_VIEWS[0] @ image @ _VIEWS[0].T for image in (first, second))
    return (
        _alike(whole, other_whole)
        or any(_alike(view @ first @ view.T, other_whole) for view in _VIEWS[1:])
        or any(_alike(whole, view @ second @ view.T) for view in _VIEWS[1:])
    )


def _alike(first: Cells, second: Cells) -> bool:
    """Return True if they agree after the one with less contrast is fitted to the other."""
    one, other = first - first.mean(), second - second.mean()
    if np.vdot(one, one) < np.vdot(other, other):
        one, other = other, one
    shared, squares = float(np.vdot(one, other)), float(np.vdot(other, other))
    correlated = shared > 0 and shared >= LEAST_CORRELATION * float(np.sqrt(squares * np.vdot(one, one)))
    return correlated and float(np.abs(one - other * (shared / squares)).max()) <= MOST_DIFFERENCE


def _view(border: float) -> Pixels:
    """Return the matrix that maps a column of pixels to cells of the image without its borders.

    Each new pixel is interpolated between two. Cells are averages of pixels, and neighbouring cells
    are averaged once more, so that a shift by half a pixel makes no difference.
    """
    places = ((np.arange(SIDE) + 0.5) * (1 - 2 * border) + border * SIDE - 0.5).clip(0, SIDE - 1)
    below = np.minimum(places.astype(np.int64), SIDE - 2)
    pixels = np.arange(SIDE)
    moved = np.zeros((SIDE, SIDE))
    moved[pixels, below] = 1 - (places - below)
    moved[pixels, below + 1] = places - below
    cells = moved.reshape(_CELLS, SIDE // _CELLS, SIDE).mean(axis=1)
    view: Pixels = ((cells[1:] + cells[:-1]) / 2).astype(np.float32)
    return view


_VIEWS: Final = tuple(map(_view, _BORDERS))
