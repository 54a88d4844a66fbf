"""The first stage: open the annotations and make the plan.

It writes nothing, because `negset plan` needs the plan without a dataset.
"""

from __future__ import annotations

import logging

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import Plan
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import open_input
from negset_jobs.formats import coco
from negset_jobs.selection import sources
from negset_jobs.selection.annotated import Objects, objects_on
from negset_jobs.selection.guard import Guarded
from negset_jobs.selection.plan import make_plan

log = logging.getLogger(__name__)


def plan_stage(dataset: NegativeDataset, access: Access) -> Plan:
    """Return the plan of a dataset.

    Raises `InvalidInput`, naming the field, if the manifest or a file that it names is wrong.
    """
    return _plan(dataset, access, boxes=False)[0]


def plan_with_objects(dataset: NegativeDataset, access: Access) -> tuple[Plan, Objects]:
    """Return the plan, and the other annotated objects on the held-out negatives.

    The report says which objects false positives lie on. Without training nothing is held out.
    """
    plan, annotations = _plan(dataset, access, boxes=dataset.spec.training is not None)
    held_out = [image.image_id for shard in plan.shards if shard.split == names.HELD_OUT for image in shard.images]
    return plan, objects_on(held_out, annotations)


def _plan(dataset: NegativeDataset, access: Access, *, boxes: bool) -> tuple[Plan, coco.Annotations]:
    spec = dataset.spec
    guarded: list[tuple[coco.Image, ...]] = []
    for index, url in enumerate(spec.selection.exclude_images_of):
        field = f"spec.selection.excludeImagesOf[{index}]"
        with open_input(url, access, field) as stream:
            guarded.append(coco.read_images(stream, field=field, url=url))
    annotations = sources.read(spec, access, boxes=boxes)
    plan = make_plan(spec, annotations, Guarded.of(*guarded))
    access.check_images((image.url for shard in plan.shards for image in shard.images), sources.url_field(spec))
    log.info("planned %d of %d candidates in %d shards", plan.planned, plan.candidates, len(plan.shards))
    return plan, annotations
