"""Images in plan order → shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from negset_api import names
from negset_api.values import PlannedImage, ShardPlan

IMAGES_PER_SHARD: Final = 128
"""Fixed, so that shard i always covers the ranks [128 i, 128 (i + 1)) and growing a set changes at
most the last shard of each split.

At COCO's 152 kB an image a shard is 20 MB. 1,000 images are 8 shards, enough for 8 workers; with 64
the start of a task (an event loop, a session, 32 connections: about 10 ms) would cost a fifth of
the 50 ms that 64 images take at the 1,300 images/s of one core, with 128 a tenth. More would leave
workers idle on small sets and fetch more images again when a set grows, which is at most 127 for
each split now.
"""


def shards(split: str, images: Sequence[PlannedImage]) -> tuple[ShardPlan, ...]:
    """The images of one split, in order, as shards of `IMAGES_PER_SHARD`; the last may be smaller."""
    starts = range(0, len(images), IMAGES_PER_SHARD)
    return tuple(
        ShardPlan(name=names.shard(split, index, len(starts)), split=split, images=tuple(images[start : start + IMAGES_PER_SHARD]))
        for index, start in enumerate(starts)
    )
