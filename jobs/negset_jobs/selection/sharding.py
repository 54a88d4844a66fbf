"""Pictures in plan order → shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from negset_api import names
from negset_api.values import PlannedImage, ShardPlan

IMAGES_PER_SHARD: Final = 128
"""Fixed, so that shard i always covers the ranks [128 i, 128 (i + 1)) and growing a set changes at most the last shard of each subset.

At COCO's 152 kB a picture a shard is 20 MB. 1,000 pictures are 8 shards, enough for 8 workers; with 64 the start of a task (an event loop, a session, 32
connections: about 10 ms) would cost a fifth of the 50 ms that 64 pictures take at the 1,300 pictures/s of one core, with 128 a tenth. More would leave workers idle on
small sets and fetch more pictures again when a set grows, which is at most 127 for each subset now.
"""


def shards(subset: str, images: Sequence[PlannedImage]) -> tuple[ShardPlan, ...]:
    """The pictures of one subset, in order, as shards of `IMAGES_PER_SHARD`; the last may be smaller."""
    starts = range(0, len(images), IMAGES_PER_SHARD)
    return tuple(
        ShardPlan(name=names.shard(subset, index, len(starts)), subset=subset, images=tuple(images[start : start + IMAGES_PER_SHARD]))
        for index, start in enumerate(starts)
    )
