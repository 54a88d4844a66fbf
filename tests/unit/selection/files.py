"""COCO annotations, specs and plans for tests of the selection."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from negset_api.spec import (
    CocoPositives,
    CocoSource,
    HardNegativeMining,
    NegativeDatasetSpec,
    Output,
    PipelineConfig,
    Positives,
    Selection,
    Source,
    Training,
)
from negset_api.values import Plan
from negset_jobs.formats.coco import Annotations, read_annotations
from negset_jobs.selection.guard import Guarded
from negset_jobs.selection.plan import make_plan

CLASSES = ("person", "car", "dog", "cat", "zebra")


def coco(shows: Mapping[int, Sequence[str]], *, classes: Sequence[str] = CLASSES, **image_fields: Any) -> dict[str, Any]:
    """Return a file whose images, by id, show the given classes.

    If none shows any, the first shows the last class: the file is annotated.
    """
    number = {name: index + 1 for index, name in enumerate(classes)}
    return {
        "images": [
            {
                "id": image,
                "file_name": f"{image}.jpg",
                "coco_url": f"http://images.test/{image}.jpg",
                "width": 640,
                "height": 480,
                **image_fields,
            }
            for image in shows
        ],
        "annotations": [
            {"id": index, "image_id": image, "category_id": number[name], "iscrowd": 0}
            for index, (image, name) in enumerate((image, name) for image, names in shows.items() for name in names)
        ]
        or [{"id": 0, "image_id": next(iter(shows), -1), "category_id": len(classes)}],
        "categories": [{"id": number[name], "name": name, "supercategory": "thing"} for name in classes],
    }


def read(document: Any, *, block: int = 512) -> Annotations:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_annotations(io.BytesIO(text), field="spec.source.coco.annotations", url="file.json", block=block)


def spec(
    exclude: Sequence[str] = ("person",),
    *,
    image_url: str = "{coco_url}",
    held_out: int | None = None,
    mining: HardNegativeMining = HardNegativeMining(rounds=1),  # noqa: B008 - it is frozen
    **selection: Any,
) -> NegativeDatasetSpec:
    """Return a spec; with `held_out`, one with training.

    It has one round, and so no pool, unless `mining` is given.
    """
    preset = PipelineConfig(preset="ssd-mobilenet-v2-320")
    training = {
        "positives": Positives(coco=CocoPositives(annotations="positives.json")),
        "training": Training(pipeline_config=preset, steps=1, held_out_percent=held_out or 1, hard_negative_mining=mining),
    }
    return NegativeDatasetSpec(
        source=Source(coco=CocoSource(annotations="file.json", image_url=image_url)),
        exclude_classes=tuple(exclude),
        selection=Selection(**{"count": 1, **selection}),
        output=Output(url="out"),
        **(training if held_out is not None else {}),
    )


def plan(document: Any, wanted: NegativeDatasetSpec, guarded: Guarded | None = None, *, block: int = 512) -> Plan:
    return make_plan(wanted, read(document, block=block), guarded or Guarded())


def crowded(images: int = 2000, seed: int = 1):
    """Many images: 'dog' in most, 'zebra' in few, some with an excluded class, some unannotated."""
    draw = random.Random(seed)
    weights = {"person": 0.3, "car": 0.2, "dog": 0.6, "cat": 0.2, "zebra": 0.01}
    return coco({number * 3 + 1: [name for name in CLASSES if draw.random() < weights[name]] for number in range(images)})


def splits(value: Plan) -> dict[str, list]:
    found: dict[str, list] = {}
    for shard in value.shards:
        found.setdefault(shard.split, []).extend(image.image_id for image in shard.images)
    return found
