"""Store the positives again whose EXIF turns them, once the other images show how they are read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from negset_api import names
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.download.orientation import UPRIGHT, is_proof, proved
from negset_jobs.download.shard import ShardTask, own_records, run_shard
from negset_jobs.download.shard_cache import read_committed

log = logging.getLogger(__name__)


def settle_orientation(
    store: Store,
    plans: Sequence[ShardPlan],
    results: Sequence[ShardResult],
    *,
    spec: NegativeDatasetSpec,
    access: Access,
    label_ids: Mapping[str, int],
) -> list[ShardResult]:
    """Return the results of the shards, in order, with as many images read as can be.

    An image whose own size proves nothing is read as those whose size does, if they agree. Its
    shard is made again. The other records of that shard are reused.
    """
    pairs = [pair for plan, result in zip(plans, results, strict=True) for pair in zip(plan.images, result.results, strict=True)]
    rest = proved(ended.turned for image, ended in pairs if ended.outcome is Outcome.STORED and _proof(image, ended))
    unsettled = {image.image_id for image, ended in pairs if rest and _is_unsettled(image, ended, rest)}
    if not unsettled:
        return list(results)
    log.info("the EXIF of %d images turns them; their boxes are read as those of the images whose size proves it: %s", len(unsettled), rest)
    committed = read_committed(store, names.POSITIVES_FOLDER)
    tasks = [
        ShardTask(
            store_url=store.url,
            folder=names.POSITIVES_FOLDER,
            shard=plan,
            download=spec.download,
            access=access,
            label_ids=dict(label_ids),
            attempt=committed[plan.name][0] + 1,
            cached_records={
                index: record for index, record in own_records(store.url, result).items() if plan.images[index].image_id not in unsettled
            },
            orientation=rest,
        )
        for plan, result in zip(plans, results, strict=True)
        if any(image.image_id in unsettled for image in plan.images)
    ]
    made = {result.name: result for _, result in work.map_unordered(run_shard, tasks, workers=spec.ray.workers)}
    return [made.get(result.name, result) for result in results]


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
