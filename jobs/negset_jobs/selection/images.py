"""The user's own images as a source: the user's word takes the place of annotations. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from negset_jobs.formats.coco import Annotations, Category
from negset_jobs.formats.image_lists import Listed

FIELD: Final = "spec.source.images.urls"


def without_annotations(found: Listed, classes: Sequence[str]) -> Annotations:
    """Return the images, without annotations. The categories are the excluded classes."""
    return Annotations(
        images=found.images,
        categories=tuple(Category(number, name) for number, name in enumerate(classes, 1)),
        licenses=found.licenses,
        image_ids=np.empty(0, np.int64),
        category_ids=np.empty(0, np.int64),
        boxes=np.empty((0, 4), np.float32),
    )
