"""Whether rows of YOLO's labels are polygons, or boxes with keypoints: as all of them look."""

import collections
import math
import random

import pytest

from negset_jobs.positives.keypoints import find_keypoints


def evidence(rows):
    return find_keypoints(collections.Counter(map(len, rows)), rows)


def pose(random_, points, *, visibility=False, side=(0.05, 0.6), hidden=0.0):
    """A box anywhere, and keypoints in it. Some are not labelled."""
    width, height = (random_.uniform(*side) for _ in range(2))
    x, y = random_.uniform(width / 2, 1 - width / 2), random_.uniform(height / 2, 1 - height / 2)
    row = [x, y, width, height]
    for _ in range(points):
        seen = random_.random() >= hidden
        row += [x + random_.uniform(-0.5, 0.5) * width, y + random_.uniform(-0.5, 0.5) * height] if seen else [0.0, 0.0]
        row += [2.0 * seen] if visibility else []
    return row


def polygon(random_, corners, *, middle=(0.1, 0.9), radius=(0.02, 0.3)):
    """A polygon with corners around its middle."""
    x, y, size = random_.uniform(*middle), random_.uniform(*middle), random_.uniform(*radius)
    start = random_.uniform(0, math.tau)
    points = []
    for corner in range(corners):
        angle, distance = start + math.tau * corner / corners, size * random_.uniform(0.6, 1)
        points += [min(max(x + distance * math.cos(angle), 0), 1), min(max(y + distance * math.sin(angle), 0), 1)]
    return points


def turned(random_, *, middle=(0.1, 0.9), longer=(0.02, 0.4)):
    """The corners of a turned box."""
    x, y, width, angle = random_.uniform(*middle), random_.uniform(*middle), random_.uniform(*longer), random_.uniform(0, math.tau)
    height = width * random_.uniform(0.1, 1)
    across, down = (width / 2 * math.cos(angle), width / 2 * math.sin(angle)), (-height / 2 * math.sin(angle), height / 2 * math.cos(angle))
    corners = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [value for one, two in corners for value in (x + one * across[0] + two * down[0], y + one * across[1] + two * down[1])]


KEYPOINTS = {
    "seventeen points": ({"points": 17}, 34),
    "seventeen points, half of them not labelled": ({"points": 17, "hidden": 0.5}, 34),
    "five points of faces that fill the image": ({"points": 5, "side": (0.5, 0.95)}, 10),
    "five points of small faces": ({"points": 5, "side": (0.02, 0.1)}, 10),
    "four points": ({"points": 4}, 8),
    "two points of small objects": ({"points": 2, "side": (0.02, 0.15)}, 4),
    "seventeen points with a visibility": ({"points": 17, "visibility": True, "hidden": 0.3}, 51),
    "an even number of points with a visibility": ({"points": 4, "visibility": True}, 12),
    "one point with a visibility": ({"points": 1, "visibility": True}, 3),
}


@pytest.mark.parametrize("rows", [12, 400])
@pytest.mark.parametrize(("options", "keypoints"), KEYPOINTS.values(), ids=KEYPOINTS)
def test_rows_are_keypoints_with(options, keypoints, rows):
    random_ = random.Random(1)
    assert evidence([pose(random_, **options) for _ in range(rows)]).keypoints == keypoints


POLYGONS = {
    "turned boxes": turned,
    "small turned boxes in the first half": lambda random_: turned(random_, middle=(0.2, 0.5), longer=(0.01, 0.06)),
    "turned boxes in the middle": lambda random_: turned(random_, middle=(0.4, 0.6)),
    "polygons of six corners": lambda random_: polygon(random_, 6),
    "small polygons of six corners in the first half": lambda random_: polygon(random_, 6, middle=(0.2, 0.5), radius=(0.01, 0.05)),
    "triangles": lambda random_: polygon(random_, 3),
    "polygons of any number of corners": lambda random_: polygon(random_, random_.randint(3, 40)),
    "polygons and boxes": lambda random_: polygon(random_, random_.choice([3, 5, 9])) if random_.random() < 0.5 else [0.5, 0.5, 0.1, 0.1],
    "boxes": lambda random_: [random_.random() for _ in range(4)],
    "rows of an odd number of values": lambda random_: [random_.random() for _ in range(11)],
    "polygons in pixels": lambda random_: [640 * value for value in polygon(random_, 6)],
}


@pytest.mark.parametrize("rows", [1, 12, 400])
@pytest.mark.parametrize("row", POLYGONS.values(), ids=POLYGONS)
def test_rows_are_no_keypoints_that_are(row, rows):
    random_ = random.Random(2)
    assert evidence([row(random_) for _ in range(rows)]).keypoints == 0


def test_a_few_rows_of_another_length_do_not_matter():
    random_ = random.Random(3)
    assert evidence([*(pose(random_, 8) for _ in range(100)), [0.1] * 6, [0.5, 0.5, 0.2, 0.2]]).keypoints == 16


def test_rows_that_may_be_both_are_not_decided():
    """Half of them are polygons, and all of them may be a box with two points in it."""
    random_ = random.Random(4)
    rows = [pose(random_, 2, side=(0.05, 0.1)) for _ in range(20)]
    rows += [turned(random_, middle=(0.3, 0.5), longer=(0.01, 0.05)) for _ in range(30)]
    assert evidence(rows) == (None, 50, 8)
