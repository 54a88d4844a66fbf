"""The held-out images, read from their records. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from negset_api.values import Box
from negset_jobs.adapters.store import Store
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored_images import Features, Report, image_id, read_images, warn
from negset_jobs.training.measuring import Truth


def images(
    store: Store, keys: Sequence[str], report: Report = warn, *, excluded: Collection[str] = frozenset()
) -> Iterator[tuple[Truth, bytes]]:
    """Yield each image of the files under these keys, in order: its truth and its encoded bytes.

    Unreadable records go to `report`. Images whose ids are in `excluded` are not yielded.
    """
    for key in keys:
        with store.reading(key) as stream:
            for _, features, where in read_images(stream, key, report):
                if image_id(features) in excluded:
                    continue
                if reason := why_not(features):
                    report(f"{where}: {reason}")
                else:
                    yield _truth(features), features[od_keys.ENCODED][0]


def why_not(features: Features) -> str:
    """Return why a record cannot be measured, by its features; empty if it can."""
    try:
        _truth(features)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError, msgspec.ValidationError) as error:
        return f"its boxes or its size cannot be read ({type(error).__name__})"
    return ""


def _truth(features: Features) -> Truth:
    corners = (features.get(f"image/object/bbox/{side}", []) for side in ("ymin", "xmin", "ymax", "xmax"))
    classes = [name.decode() for name in features.get(od_keys.CLASS_TEXT, [])]
    boxes = list(zip(*corners, strict=True))
    crowd = features.get(od_keys.IS_CROWD) or [0] * len(boxes)
    difficult = features.get(od_keys.DIFFICULT) or [0] * len(boxes)
    return Truth(
        image_id=image_id(features),
        width=features[od_keys.WIDTH][0],
        height=features[od_keys.HEIGHT][0],
        objects=tuple(
            Box(ymin=box[0], xmin=box[1], ymax=box[2], xmax=box[3], class_name=name, crowd=bool(is_crowd), difficult=bool(is_difficult))
            for box, name, is_crowd, is_difficult in zip(boxes, classes, crowd, difficult, strict=True)
        ),
    )
