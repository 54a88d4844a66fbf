"""The manifests that the tests apply."""

from __future__ import annotations

import os
from typing import Any

from image_host import ImageHost
from tenant import Tenant, Timed
from testbed import objects
from testbed.images import ROOT
from testbed.objects import Object

from negset_api import names
from negset_jobs.demo import dataset as demo
from negset_jobs.selection.sharding import IMAGES_PER_SHARD

EXAMPLE = "quick-start"


def example(namespace: str, bucket: str, image_host: ImageHost) -> Object:
    """Return the shipped example with the tests' inputs and bucket.

    It requests a GPU for each training and scoring pod.
    """
    (manifest,) = objects.read_objects(os.path.join(ROOT, "charts", "negset", "examples", f"{EXAMPLE}.yaml"))
    annotations = {"annotations": image_host.annotations}
    spec, training = manifest["spec"], manifest["spec"]["training"]
    mining = {**training["hardNegativeMining"], "gpusPerWorker": 1}
    return {
        **manifest,
        "metadata": {"name": EXAMPLE, "namespace": namespace},
        "spec": {
            **spec,
            "source": {"coco": annotations},
            "excludeClasses": [demo.OBJECT],
            # The demo has a few dead links on purpose.
            "download": {"maxFailedPercent": 20},
            "output": {**spec["output"], "url": f"s3://{bucket}/negatives"},
            "positives": {"coco": annotations},
            "training": {**training, "gpusPerWorker": 1, "hardNegativeMining": mining},
        },
    }


def data_only(namespace: str, bucket: str, image_host: ImageHost, *, name: str = "small", count: int = 24, **spec: Any) -> Object:
    """Return the smallest dataset: one worker, no training."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "source": {"coco": {"annotations": image_host.annotations}},
            "excludeClasses": [demo.OBJECT],
            "selection": {"count": count, "allowFewer": True},
            "download": {"maxFailedPercent": 50},
            "output": {"url": f"s3://{bucket}/negatives", "secretName": "s3-credentials"},
            "ray": {"workers": 1},
            **spec,
        },
    }


def apply_and_hold(tenant: Tenant, manifest: Object, image_host: ImageHost, timed: Timed) -> list[int]:
    """Apply a dataset of several shards, and wait until its download is paused in the second one.

    Return the images of the first shard, which are stored by then. With `training`, the
    configuration is checked first, which loads TensorFlow.
    """
    image_host.hold_after(IMAGES_PER_SHARD + 20)
    tenant.apply(manifest)
    with timed(f"{manifest['metadata']['name']}: until the second shard is being downloaded"):
        image_host.wait_until_held(300)
    return list(image_host.asked)[:IMAGES_PER_SHARD]
