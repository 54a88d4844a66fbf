"""Manifests for tests."""

from __future__ import annotations

import copy
from typing import Any

DATA_ONLY: dict[str, Any] = {
    "apiVersion": "negset.dev/v1alpha1",
    "kind": "NegativeDataset",
    "metadata": {"name": "street-background", "namespace": "team-a"},
    "spec": {
        "source": {"coco": {"annotations": "s3://datasets/instances.json"}},
        "excludeClasses": ["person", "car"],
        "selection": {"count": 1000},
        "output": {"url": "s3://team-a/negatives"},
    },
}

OWN_IMAGES: dict[str, Any] = {**DATA_ONLY, "spec": {**DATA_ONLY["spec"], "source": {"images": {"urls": ["s3://team-a/frames"]}}}}

OPEN_IMAGES: dict[str, Any] = {
    **DATA_ONLY,
    "spec": {
        **DATA_ONLY["spec"],
        "source": {"openImages": {"labels": ["s3://b/l.csv"], "classDescriptions": "s3://b/c.csv", "images": ["s3://b/i.csv"]}},
    },
}

TRAINED: dict[str, Any] = {
    **DATA_ONLY,
    "spec": {
        **DATA_ONLY["spec"],
        "positives": {"tfrecords": ["s3://team-a/positives/train-*.tfrecord"]},
        "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-320"}, "steps": 20000},
    },
}


def with_field(manifest: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy with one field set, or removed by `...`. Missing parents are created."""
    changed = copy.deepcopy(manifest)
    *parents, last = path.split(".")
    node = changed
    for parent in parents:
        node = node.setdefault(parent, {})
    if value is ...:
        node.pop(last)
    else:
        node[last] = value
    return changed
