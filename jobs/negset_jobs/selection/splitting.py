"""Divide the chosen images into those to train on, the pool and those held out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec, Training
from negset_api.values import PlannedImage, ShardPlan
from negset_jobs.formats.coco import Annotations, Ids
from negset_jobs.formats.pictures import families
from negset_jobs.selection import ordering
from negset_jobs.selection.guard import Mask
from negset_jobs.selection.sharding import shards

FEWEST_TO_SPLIT: Final = 2
_FEWEST_TO_POOL: Final = 8
"""Negatives that round 1 and the pool need each.

With fewer there is no pool, and mining scores the negatives that round 1 trained on.
"""


def divide(spec: NegativeDatasetSpec, images: Sequence[PlannedImage], ids: Ids) -> tuple[ShardPlan, ...]:
    """Return the images in shards.

    With training, a hash of the id in `ids` decides whether an image is held out, in round 1 or in
    the pool. It is the image's own id or, for copies of one original, that of the first of them. So
    an image stays in its split when the dataset grows or the filters change, and copies are in one.

    The first two originals in plan order are the exception: the first is trained on and the second
    is held out, whatever their hashes. So neither split is ever empty.
    """
    if spec.training is None:
        return shards(names.TRAIN, images)
    held_out = ~_drawn(spec, ids, "held-out", 100 - spec.training.held_out_percent)
    others = np.flatnonzero(ids != ids[0])
    if not others.size:
        raise InvalidInput(
            f"spec.selection.count: expected at least two images for training that are no copies of one, got {len(images)} copies"
        )
    held_out[ids == ids[0]], held_out[ids == ids[others[0]]] = False, True
    pool = _pool(spec, spec.training, ids, held_out)
    splits = {names.TRAIN: ~held_out & ~pool, names.POOL: pool, names.HELD_OUT: held_out}
    return tuple(
        shard
        for split, members in splits.items()
        for shard in shards(split, [image for image, member in zip(images, members, strict=True) if member])
    )


def drawn_by(spec: NegativeDatasetSpec, annotations: Annotations, chosen: npt.NDArray[np.intp]) -> Ids:
    """Return the id (its key) by which each chosen image is drawn into a split."""
    ids = annotations.image_keys
    if spec.training is None:
        return ids[chosen]
    originals = families([image.file_name for image in annotations.images])
    first: dict[str, int] = {}
    for number, name in zip(ids.tolist(), originals, strict=True):
        first[name] = min(number, first.get(name, number))
    drawn = [first[name] if (name := originals[position]) else int(ids[position]) for position in chosen.tolist()]
    return np.array(drawn, np.int64)


def _pool(spec: NegativeDatasetSpec, training: Training, ids: Ids, held_out: Mask) -> Mask:
    """Return which images are in the pool; none if there is one round or too few images."""
    mining = training.hard_negative_mining
    if mining.rounds == 1:
        return np.zeros(ids.size, bool)
    pool: Mask = ~held_out & ~_drawn(spec, ids, "pool", mining.first_round_percent)
    pool[ids == ids[0]] = False
    enough = min(int(pool.sum()), int((~held_out & ~pool).sum())) >= _FEWEST_TO_POOL
    return pool if enough else np.zeros(ids.size, bool)


def _drawn(spec: NegativeDatasetSpec, ids: Ids, purpose: str, percent: int) -> Mask:
    """Return which images a seeded hash of the id draws: `percent` of 100 on average."""
    # Images below the bound are not drawn. So 100 percent draws all, and the bound fits in 64 bits.
    drawn: Mask = ordering.keys(ids, seed=spec.selection.seed, purpose=purpose) >= np.uint64((100 - percent) * 2**64 // 100)
    return drawn
