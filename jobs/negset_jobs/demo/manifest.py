"""The demo's manifest, of the same kind as a user's."""

from __future__ import annotations

import os
from typing import Any, Final

from negset_api import names
from negset_jobs.demo.dataset import ANNOTATIONS, DISTRACTORS, IMAGES, LOOK_ALIKES, OBJECT

NAME: Final = "demo"
_TRAINING_BYTES: Final = 3 << 30  # a training uses half of it; the rest is for other processes


def trainings() -> int:
    """Return how many models the demo trains at the same time.

    Two, if this machine has enough processors and memory; else one.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(2, os.cpu_count() or 1, max(1, memory // _TRAINING_BYTES))


def manifest(base_url: str, output: str, *, count: int = 1900, steps: int = 400, seed: int = 0) -> dict[str, Any]:
    """Return the manifest for the dataset that is served at `base_url`, as parsed YAML.

    Look-alikes are rare, so round 1 sees few of them and mining finds them in the pool. The
    held-out shares are large, because the held-out images must contain rare look-alikes too.
    """
    source = {"annotations": f"{base_url}/{ANNOTATIONS}", "imageUrl": f"{base_url}/{IMAGES}/{{file_name}}"}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": NAME},
        "spec": {
            "source": {"coco": source},
            "excludeClasses": [OBJECT],
            "selection": {
                "count": count,
                "seed": seed,
                "strategy": "Random",
                # Discs of other colours are look-alikes here.
                "allowClasses": [name for name in (*DISTRACTORS, *LOOK_ALIKES) if OBJECT in name],
            },
            "output": {"url": output, "formats": ["TFRecord", "YOLO", "COCO"]},
            "positives": {"coco": dict(source), "heldOutPercent": 40},
            "training": {
                "pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"},
                "steps": steps,
                "seed": seed,
                "negativePercent": 30,
                "heldOutPercent": 40,
                "hardNegativeMining": {
                    "negativesPerPositive": 3,
                    "minNegativesPerImage": 8,
                    "rounds": 2,
                    "firstRoundPercent": 12,
                    "hardPercent": 10,
                },
                "comparisons": ["NoNegatives", "RandomNegatives"],
                "recallPercent": 80,
            },
        },
    }
