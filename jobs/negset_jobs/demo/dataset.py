"""Generate the demo's dataset: images of shapes, and annotations in COCO's instances format.

The truth of every image is known. The object is a red disc. Red squares, red triangles and blue
discs look like it. A detector that never saw them without a disc beside them detects them as discs.
Discs of other warm colours look most like it. They are rare, so few of them are among negatives
drawn at random, and mining has to find them. As in datasets from the web, a few discs are not
annotated and a few links are dead. A few links return a page instead of an image. `Truth` says
which.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from negset_jobs.demo.drawing import Shape, draw
from negset_jobs.demo.server import USUAL_URL

OBJECT: Final = "disc"
DISTRACTORS: Final = ("square", "triangle", "blue disc")
LOOK_ALIKES: Final = ("orange disc", "maroon disc", "pink disc")
ANNOTATIONS: Final = "annotations/instances_demo.json"
IMAGES: Final = "images"

_CATEGORY_IDS: Final = {name: index for index, name in enumerate((OBJECT, *DISTRACTORS, *LOOK_ALIKES), start=1)}
_SIZES: Final = ((128, 128), (144, 128), (128, 144))
_LICENSES: Final = (
    {"id": 1, "name": "CC0 1.0 Universal", "url": "https://creativecommons.org/publicdomain/zero/1.0/"},
    {"id": 2, "name": "Attribution 4.0 International", "url": "https://creativecommons.org/licenses/by/4.0/"},
    {"id": 3, "name": "Attribution-ShareAlike 4.0 International", "url": "https://creativecommons.org/licenses/by-sa/4.0/"},
)
_NOT_AN_IMAGE: Final = b"<!doctype html><title>Moved</title><p>This image has moved.</p>\n"

# Images of each kind, per thousand images of its half of the dataset (with or without an object).
# Each kind with a number above 0 occurs at least once.
_CROWDS = 20  # images with an object whose only annotation of it is a crowd region
# Images with an object and distractors. With more of them, a detector learns more from positives
# alone.
_MIXED = 40
_PLAIN = 80  # images without any shape
_LOOK_ALIKES = 40  # images with the shapes most similar to the object
_UNANNOTATED = 2  # images with an object that is not annotated
_DEAD = 3  # images that the server does not have
_MOVED = 2  # images for which the server returns a page


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """The truth about a generated dataset. Ids are COCO's.

    `annotations` is the path of the annotation file. `with_object` and `without_object` divide all
    images by their annotations. The images in `unannotated` show an object that is not annotated.
    `dead` and `moved` are images without an object that the server cannot deliver.
    """

    annotations: str
    with_object: tuple[int, ...]
    without_object: tuple[int, ...]
    crowds: tuple[int, ...]
    look_alikes: tuple[int, ...]
    unannotated: tuple[int, ...]
    dead: tuple[int, ...]
    moved: tuple[int, ...]


class _Composition(msgspec.Struct, frozen=True):
    """The shapes of one image, and those that are annotated one by one.

    In a crowd, one region covers all shapes. Shapes that are in neither are not annotated.
    """

    image_id: int
    width: int
    height: int
    shapes: tuple[Shape, ...]
    annotated: tuple[Shape, ...]
    crowd: bool = False


def make(folder: str, *, seed: int = 0, base_url: str = USUAL_URL, with_object: int = 350, without_object: int = 2000) -> Truth:
    """Write the images and one annotation file to `folder`, which is served at `base_url`.

    The same arguments give the same bytes.
    """
    kinds = _kinds(with_object, without_object)
    order = np.random.default_rng([seed, 0]).permutation(len(kinds))
    os.makedirs(os.path.join(folder, IMAGES), exist_ok=True)
    compositions = []
    ids: dict[str, list[int]] = {}
    for index, position in enumerate(order):
        kind, image_id = kinds[position], 1001 + index
        random = np.random.default_rng([seed, image_id])
        composition = _compose(kind, image_id, random)
        compositions.append(composition)
        ids.setdefault(kind, []).append(image_id)
        _write_image(os.path.join(folder, IMAGES, _file_name(image_id)), kind, composition, random)
    annotations = os.path.join(folder, ANNOTATIONS)
    os.makedirs(os.path.dirname(annotations), exist_ok=True)
    with open(annotations, "wb") as stream:
        stream.write(msgspec.json.encode(_coco(compositions, base_url, seed)))
    return Truth(
        annotations=annotations,
        with_object=_ids(ids, "discs", "mixed", "crowd"),
        without_object=_ids(ids, "distractors", "plain", "look-alikes", "unannotated", "dead", "moved"),
        crowds=_ids(ids, "crowd"),
        look_alikes=_ids(ids, "look-alikes"),
        unannotated=_ids(ids, "unannotated"),
        dead=_ids(ids, "dead"),
        moved=_ids(ids, "moved"),
    )


def _ids(by_kind: dict[str, list[int]], *kinds: str) -> tuple[int, ...]:
    return tuple(sorted(image_id for kind in kinds for image_id in by_kind.get(kind, ())))


def _kinds(with_object: int, without_object: int) -> list[str]:
    """Return one kind per image, those with an object first."""

    def share(total: int, per_thousand: int) -> int:
        return math.ceil(total * per_thousand / 1000)

    positives = {"crowd": share(with_object, _CROWDS), "mixed": share(with_object, _MIXED)}
    negatives = {
        "plain": share(without_object, _PLAIN),
        "look-alikes": share(without_object, _LOOK_ALIKES),
        "unannotated": share(without_object, _UNANNOTATED),
        "dead": share(without_object, _DEAD),
        "moved": share(without_object, _MOVED),
    }
    positives["discs"] = with_object - sum(positives.values())
    negatives["distractors"] = without_object - sum(negatives.values())
    return [kind for counts in (positives, negatives) for kind, count in counts.items() for _ in range(count)]


def _compose(kind: str, image_id: int, random: np.random.Generator) -> _Composition:
    width, height = _SIZES[random.integers(len(_SIZES))]
    few = int(random.integers(1, 4))
    if kind == "crowd":
        shapes = _scatter([OBJECT] * 9, width, height, random, smallest=0.05, largest=0.07)
        return _Composition(image_id, width, height, shapes, (), crowd=True)
    match kind:
        case "discs":
            wanted = [OBJECT] * few
        case "mixed":
            wanted = [OBJECT, *random.choice(DISTRACTORS, min(few, 2)).tolist()]
        case "plain":
            wanted = []
        case "look-alikes":
            wanted = [str(random.choice(LOOK_ALIKES))] * few
        case "unannotated":
            wanted = [OBJECT, *random.choice(DISTRACTORS, 1).tolist()]
        case _:
            wanted = random.choice(DISTRACTORS, few).tolist()
    shapes = _scatter(wanted, width, height, random, smallest=0.10, largest=0.21)
    annotated = tuple(shape for shape in shapes if not (kind == "unannotated" and shape.class_name == OBJECT))
    return _Composition(image_id, width, height, shapes, annotated)


def _scatter(
    classes: list[str], width: int, height: int, random: np.random.Generator, *, smallest: float, largest: float
) -> tuple[Shape, ...]:
    """Place shapes that lie wholly in the image and do not touch.

    `smallest` and `largest` bound the radius, as shares of the shorter side. A shape without room
    is not drawn, but the first shape always is.
    """
    placed: list[Shape] = []
    for name in classes:
        for _ in range(50):
            radius = random.uniform(smallest, largest) * min(width, height)
            shape = Shape(
                name,
                x=random.uniform(radius + 1, width - radius - 1),
                y=random.uniform(radius + 1, height - radius - 1),
                radius=radius,
                turn=_turn(name, random),
            )
            if not any(shape.overlaps(other) for other in placed):
                placed.append(shape)
                break
    return tuple(placed)


def _turn(name: str, random: np.random.Generator) -> float:
    """Return a random turn in radians. Squares stay nearly upright.

    On an image 96 pixels wide, a small model takes a square that stands on a corner for a disc.
    """
    return math.pi / 4 + random.uniform(-0.15, 0.15) if name == "square" else random.uniform(0, 2 * math.pi)


def _write_image(path: str, kind: str, composition: _Composition, random: np.random.Generator) -> None:
    if kind == "dead":
        return
    if kind == "moved":
        with open(path, "wb") as stream:
            stream.write(_NOT_AN_IMAGE)
        return
    image = draw(composition.width, composition.height, composition.shapes, random)
    image.save(path, "JPEG", quality=90, subsampling=0)


def _file_name(image_id: int) -> str:
    return f"{image_id:012d}.jpg"


def _coco(compositions: list[_Composition], base_url: str, seed: int) -> dict[str, Any]:
    annotations = [annotation for composition in compositions for annotation in _annotations(composition)]
    return {
        "info": {"description": f"negset demo: shapes on textured ground, seed {seed}", "version": "1.0", "year": 2025},
        "licenses": list(_LICENSES),
        "categories": [{"id": number, "name": name, "supercategory": "shape"} for name, number in _CATEGORY_IDS.items()],
        "images": [_image(composition, base_url) for composition in compositions],
        "annotations": [{"id": number, **annotation} for number, annotation in enumerate(annotations, start=1)],
    }


def _image(composition: _Composition, base_url: str) -> dict[str, Any]:
    url = f"{base_url}/{IMAGES}/{_file_name(composition.image_id)}"
    return {
        "id": composition.image_id,
        "file_name": _file_name(composition.image_id),
        "width": composition.width,
        "height": composition.height,
        # Half of the images carry the first licence, as a large share of COCO's carries one.
        "license": (1, 2, 1, 3)[composition.image_id % 4],
        "coco_url": url,
        "flickr_url": url,
        "date_captured": "2025-01-01 00:00:00",
    }


def _annotations(composition: _Composition) -> Iterator[dict[str, Any]]:
    if composition.crowd:
        yield _crowd(composition)
    for shape in composition.annotated:
        outline = shape.outline()
        left, top, right, bottom = _bounds(outline)
        yield {
            "image_id": composition.image_id,
            "category_id": _CATEGORY_IDS[shape.class_name],
            "bbox": [_tidy(left), _tidy(top), _tidy(right - left), _tidy(bottom - top)],
            "area": _tidy(_polygon_area(outline)),
            "segmentation": [[_tidy(coordinate) for corner in outline for coordinate in corner]],
            "iscrowd": 0,
        }


def _crowd(composition: _Composition) -> dict[str, Any]:
    """Return one region around all shapes, as COCO annotates a crowd.

    Its mask is given in run lengths, column by column.
    """
    left, top, right, bottom = _bounds([corner for shape in composition.shapes for corner in shape.outline()])
    x, y, width, height = math.floor(left), math.floor(top), math.ceil(right) - math.floor(left), math.ceil(bottom) - math.floor(top)
    column = [height, composition.height - height]
    counts = [
        x * composition.height + y,
        *(column * width)[:-1],
        composition.height - y - height + (composition.width - x - width) * composition.height,
    ]
    return {
        "image_id": composition.image_id,
        "category_id": _CATEGORY_IDS[OBJECT],
        "bbox": [x, y, width, height],
        "area": width * height,
        "segmentation": {"size": [composition.height, composition.width], "counts": counts},
        "iscrowd": 1,
    }


def _bounds(corners: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    across, down = zip(*corners, strict=True)
    return min(across), min(down), max(across), max(down)


def _polygon_area(corners: list[tuple[float, float]]) -> float:
    """Return the area by the shoelace formula."""
    following = [*corners[1:], corners[0]]
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(corners, following, strict=True))) / 2


def _tidy(value: float) -> float:
    return round(value, 2)
