"""Divide the images into shards, in plan order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from negset_api import names
from negset_api.values import PlannedImage, ShardPlan

IMAGES_PER_SHARD: Final = 128
"""Fixed, so that shard i always covers the ranks [128 i, 128 (i + 1)).

So a larger count changes at most the last shard of each split. At COCO's 152 kB an image, a shard
is 20 MB. 1,000 images are 8 shards, enough for 8 workers.

The start of a task (an event loop, a session, 32 connections) takes about 10 ms. One core fetches
1,300 images/s, so 64 images take 50 ms. The start would be a fifth of that, and with 128 images it
is a tenth. Larger shards would leave workers idle on small sets. They would also fetch more images
again when a set grows: now at most 127 for each split.
"""


def shards(split: str, images: Sequence[PlannedImage]) -> tuple[ShardPlan, ...]:
    """Return the images of one split, in order, in shards of `IMAGES_PER_SHARD`.

    The last shard may be smaller.
    """
    starts = range(0, len(images), IMAGES_PER_SHARD)
    return tuple(
        ShardPlan(name=names.shard(split, index, len(starts)), split=split, images=tuple(images[start : start + IMAGES_PER_SHARD]))
        for index, start in enumerate(starts)
    )
