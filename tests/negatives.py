"""A small set of negatives, stored as the pipeline stores them, for the later stages."""

from __future__ import annotations

import json
import pathlib

import msgspec
import numpy as np
from PIL import Image

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import Plan, Records
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.download.stage import record_stage
from negset_jobs.formats.stored import commit
from negset_jobs.selection.stage import plan_stage
from tests.progress import Silent

IMAGES = {
    "street/001.jpg": ("RGB", "JPEG"),
    "field/001.jpg": ("RGB", "JPEG"),
    "grey.jpg": ("L", "JPEG"),
    "print.jpg": ("CMYK", "JPEG"),
    "logo.png": ("RGB", "PNG"),
    "web.webp": ("RGB", "WEBP"),
    "a b&c.JPG": ("RGB", "JPEG"),
    "gone.jpg": None,
}
"""File name → colour mode and format. The last one is annotated but does not exist."""

STORED = len(IMAGES) - 1
SIDES = (48, 64)


def dataset(folder: pathlib.Path, *, formats: tuple[str, ...], held_out: bool = True) -> NegativeDataset:
    """Make the images and their annotations in `folder`. Return a dataset that selects all of them.

    With `held_out`, it has a training, and some images are held out.
    """
    random = np.random.default_rng(7)
    images = []
    for number, (name, kind) in enumerate(IMAGES.items(), 1):
        images.append({"id": number, "file_name": name, "width": SIDES[1], "height": SIDES[0], "license": 1 + number % 2})
        if kind is not None:
            path = folder / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (*SIDES, 3), np.uint8)).convert(kind[0]).save(path, kind[1])
    annotations = {
        "images": images,
        "annotations": [{"id": 1, "image_id": 1, "category_id": 18, "bbox": [1, 1, 9, 9], "iscrowd": 0}],
        "categories": [
            {"id": 1, "name": "person", "supercategory": "person"},
            {"id": 3, "name": "car", "supercategory": "vehicle"},
            {"id": 18, "name": "dog", "supercategory": "animal"},
        ],
        "licenses": [{"id": 1, "name": "Attribution", "url": "https://example.org/by"}, {"id": 2, "name": "No licence", "url": ""}],
    }
    (folder / "annotations.json").write_text(json.dumps(annotations))
    spec = {
        "source": {"coco": {"annotations": f"{folder}/annotations.json", "imageUrl": f"{folder}/images/{{file_name}}"}},
        "excludeClasses": ["person", "car"],
        "selection": {"count": len(IMAGES), "seed": 1},
        "download": {"maxFailedPercent": 20},
        "output": {"url": f"{folder}/out", "formats": formats},
    }
    if held_out:
        spec["positives"] = {"tfrecords": ["unused.tfrecord"]}
        spec["training"] = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1, "heldOutPercent": 40}
    return msgspec.convert({"metadata": {"name": "labels", "namespace": "team-a"}, "spec": spec}, NegativeDataset, strict=False)


def stored(dataset: NegativeDataset, url: str) -> tuple[Store, Plan, Records]:
    """Return the dataset's store, plan and records. Fast only in an open `work.session`."""
    store = Store(url)
    plan = plan_stage(dataset, Access())
    commit(store, names.PLAN, plan)
    return store, plan, record_stage(store, plan, dataset, Access(), (), Silent())
