"""Store the positives again whose EXIF turns them, once the other images show how they are read."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from negset_api.values import ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.download.orientation import UPRIGHT, is_proof, proved
from negset_jobs.download.shard import own_records
from negset_jobs.download.shard_cache import Committed
from negset_jobs.download.shard_maker import ShardMaker

log = logging.getLogger(__name__)


def settle_orientation(maker: ShardMaker, plans: Sequence[ShardPlan], committed: Sequence[Committed]) -> list[ShardResult]:
    """Return the results of the shards, in order, with as many images read as can be.

    An image whose own size proves nothing is read as those whose size does, if they agree. Its
    shard is made again. The other records of that shard are reused.
    """
    shards = tuple(zip(plans, committed, strict=True))
    pairs = [pair for plan, (_, result) in shards for pair in zip(plan.images, result.results, strict=True)]
    rest = proved(ended.turned for image, ended in pairs if ended.outcome is Outcome.STORED and _proof(image, ended))
    unsettled = {image.image_id for image, ended in pairs if rest and _is_unsettled(image, ended, rest)}
    results = [result for _, result in committed]
    if not unsettled:
        return results
    log.info("the EXIF of %d images turns them; their boxes are read as those of the images whose size proves it: %s", len(unsettled), rest)
    tasks = []
    for plan, (attempt, result) in shards:
        if any(image.image_id in unsettled for image in plan.images):
            stored = own_records(maker.store.url, result)
            settled = {index: record for index, record in stored.items() if plan.images[index].image_id not in unsettled}
            tasks.append(maker.task(plan, settled, attempt=attempt + 1, orientation=rest))
    made = maker.make_again(tasks)
    return [made[result.name].result if result.name in made else result for result in results]


def _proof(image: PlannedImage, ended: ImageResult) -> bool:
    return is_proof(ended.orientation, image.width, image.height)


def _is_unsettled(image: PlannedImage, ended: ImageResult, rest: str) -> bool:
    """Return True if an image was not read as `rest` says, and nothing else decides."""
    if image.orientation:
        return False
    if ended.outcome is Outcome.AMBIGUOUS_ORIENTATION:
        return True
    # Another revision with other images may have stored it.
    return ended.orientation > 1 and not _proof(image, ended) and ended.turned != (rest == UPRIGHT)
