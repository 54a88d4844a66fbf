"""Draw small images of coloured shapes on a textured background.

Coordinates are pixels, x to the right and y down, as in COCO.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Pixels = np.ndarray[Any, np.dtype[np.float32]]

# Shapes are drawn this many times larger and averaged down, so that their edges are smooth.
_OVERSAMPLING = 4
_DISC_CORNERS = 32

_RED = (206, 52, 44)
_BLUE = (48, 92, 196)
# Similar to the red, but different from it by more than its random spread.
_ORANGE = (218, 96, 40)
_MAROON = (146, 34, 28)
_PINK = (200, 52, 100)
# No background is similar to the shapes' colours: the task is the shape and its colour, not
# camouflage.
_GROUNDS = ((188, 178, 152), (132, 158, 112), (150, 160, 168), (214, 206, 190), (116, 122, 110), (170, 196, 190))


class Look(msgspec.Struct, frozen=True):
    """The shape of a class: a regular polygon with `corners` corners, in about this colour.

    `colour` is RGB, 0 to 255.
    """

    corners: int
    colour: tuple[int, int, int]


LOOKS = {
    "disc": Look(_DISC_CORNERS, _RED),
    "square": Look(4, _RED),
    "triangle": Look(3, _RED),
    "blue disc": Look(_DISC_CORNERS, _BLUE),
    "orange disc": Look(_DISC_CORNERS, _ORANGE),
    "maroon disc": Look(_DISC_CORNERS, _MAROON),
    "pink disc": Look(_DISC_CORNERS, _PINK),
}


class Shape(msgspec.Struct, frozen=True):
    """One shape of a class of `LOOKS`.

    `x` and `y` are its centre and `radius` that of its circumscribed circle, in pixels. `turn` is
    in radians.
    """

    class_name: str
    x: float
    y: float
    radius: float
    turn: float = 0.0

    def outline(self) -> list[tuple[float, float]]:
        """Return the corners, clockwise from the turn."""
        corners = LOOKS[self.class_name].corners
        angles = (self.turn + 2 * math.pi * corner / corners for corner in range(corners))
        return [(self.x + self.radius * math.cos(angle), self.y + self.radius * math.sin(angle)) for angle in angles]

    def overlaps(self, other: Shape, margin: float = 2.0) -> bool:
        """Return True if the circumscribed circles are less than `margin` pixels apart."""
        return math.hypot(self.x - other.x, self.y - other.y) < self.radius + other.radius + margin


def draw(width: int, height: int, shapes: Sequence[Shape], random: np.random.Generator) -> Image.Image:
    """Return the image in RGB.

    `random` decides the background, the light and the exact colours, but not the geometry of the
    shapes.
    """
    pixels = _ground(width, height, random)
    for shape in shapes:
        _paint(pixels, shape, random)
    pixels += np.asarray(random.normal(0.0, 3.5, pixels.shape), np.float32)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _ground(width: int, height: int, random: np.random.Generator) -> Pixels:
    """Return a background of one colour, lit from one side, with patches of two sizes."""
    colour = np.array(_GROUNDS[random.integers(len(_GROUNDS))], np.float32) + random.normal(0, 8, 3).astype(np.float32)
    angle = random.uniform(0, 2 * math.pi)
    across, down = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    light = 14 * (math.cos(angle) * across + math.sin(angle) * down)
    patches = 9 * _clouds(5, width, height, random) + 6 * _clouds(17, width, height, random)
    ground: Pixels = (colour + (light + patches)[..., None]).astype(np.float32)
    return ground


def _clouds(cells: int, width: int, height: int, random: np.random.Generator) -> Pixels:
    coarse = Image.fromarray(random.normal(0, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)


def _paint(pixels: Pixels, shape: Shape, random: np.random.Generator) -> None:
    """Draw one shape and its soft shadow on the image."""
    height, width, _ = pixels.shape
    reach = math.ceil(shape.radius) + 6
    left, top = max(0, int(shape.x) - reach), max(0, int(shape.y) - reach)
    right, bottom = min(width, int(shape.x) + reach), min(height, int(shape.y) + reach)
    mask = _coverage(shape, left, top, right - left, bottom - top)
    window = pixels[top:bottom, left:right]

    below = _coverage(shape, left - 2, top - 3, right - left, bottom - top).filter(ImageFilter.GaussianBlur(2.5))
    window *= 1 - 0.32 * np.asarray(below, np.float32)[..., None] / 255

    colour = np.array(LOOKS[shape.class_name].colour, np.float32) + random.normal(0, 10, 3).astype(np.float32)
    down, across = np.mgrid[top:bottom, left:right].astype(np.float32)
    light = 1 - 0.22 * ((across - shape.x) + (down - shape.y)) / (2 * shape.radius)
    covered = np.asarray(mask, np.float32)[..., None] / 255
    window += covered * (colour * light[..., None] - window)


def _coverage(shape: Shape, left: int, top: int, width: int, height: int) -> Image.Image:
    """Return how much of each pixel of the window the shape covers, 0 to 255."""
    large = Image.new("L", (width * _OVERSAMPLING, height * _OVERSAMPLING))
    corners = [((x - left) * _OVERSAMPLING, (y - top) * _OVERSAMPLING) for x, y in shape.outline()]
    ImageDraw.Draw(large).polygon(corners, fill=255)
    return large.resize((width, height), Image.Resampling.BOX)
