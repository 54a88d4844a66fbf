"""Plans and manifests for the tests of the data path.

As a program, one run of the recording stage:
`python -m tests.local.data_path_run PLAN OUTPUT KIND`, where KIND is a kind of workers.
"""

from __future__ import annotations

import pathlib
import sys

from tests.local.workers import working
from tests.progress import Silent

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.validation import parse
from negset_api.values import Plan, PlannedImage, ShardPlan, decode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.download.stage import record_stage


def dataset(**download: object) -> NegativeDataset:
    """A manifest with these fields of spec.download."""
    spec = {
        "source": {"coco": {"annotations": "annotations.json"}},
        "excludeClasses": ["person"],
        "selection": {"count": 1},
        "download": {"attempts": 2, "timeoutSeconds": 30, **download},
        "output": {"url": "out"},
        "ray": {"workers": 2},
    }
    return parse({"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "test"}, "spec": spec})


def plan_of(urls: list[str], *, shards: int, held_out_shards: int = 0) -> Plan:
    """The images in order, in shards of equal length except the last."""
    images = [
        PlannedImage(
            image_id=index, url=url, file_name=f"{index}.jpg", license=3, stratum="kitchen", reason="because", page=f"page/{index}"
        )
        for index, url in enumerate(urls)
    ]
    size = -(-len(images) // shards)
    runs = [tuple(images[start : start + size]) for start in range(0, len(images), size)]
    splits = [names.HELD_OUT] * held_out_shards + [names.TRAIN] * (len(runs) - held_out_shards)
    planned = tuple(
        ShardPlan(name=names.shard(split, index, len(runs)), split=split, images=run)
        for index, (split, run) in enumerate(zip(splits, runs, strict=True))
    )
    return Plan(
        input_digest="plan", excluded_classes=("person",), categories={}, candidates=len(urls), planned=len(urls), rejected={}, bytes_estimate=0,
        licenses=(), remaining_classes={}, image_ids=tuple(range(len(urls))), shards=planned,
    )  # fmt: skip


if __name__ == "__main__":
    plan_file, output, kind = sys.argv[1:]
    plan = decode(pathlib.Path(plan_file).read_bytes(), Plan)
    with working(kind):
        record_stage(Store(output), plan, dataset(), Access(allowed_networks=("127.0.0.1/32",)), (), Silent())
