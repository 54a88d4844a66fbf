"""The extra `training`, installed from the wheel into a fresh environment, trains and measures.

Not part of `make test`: TensorFlow is a download of hundreds of megabytes.
"""

from __future__ import annotations

import json

from tests.packages.conftest import IMAGES, WITH_OBJECT
from tests.packages.test_extras import LOOPBACK, refused, succeeded

STEPS = 4


def test_training_mines_exports_and_measures(installed, write_manifest, served, tmp_path):
    coco = {"annotations": f"{served}/instances.json", "imageUrl": f"{served}/{{file_name}}"}
    training = {
        "pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"},
        "steps": STEPS,
        "batchSize": 4,
        "hardNegativeMining": {"rounds": 2},
    }
    manifest = write_manifest(selection={"count": IMAGES - WITH_OBJECT}, positives={"coco": coco}, training=training)
    page = succeeded(installed("training").call("negset", "run", str(manifest), *LOOPBACK, cwd=tmp_path)).splitlines()[-1]
    (revision,) = (tmp_path / "out" / "default" / "street").iterdir()
    assert page == str(revision / "report" / "index.html")
    report = json.loads((revision / "report" / "report.json").read_text())
    assert [each["round"] for each in report["rounds"]] == [1, 2]
    assert report["comparisons"][0]["steps"] == 2 * STEPS
    assert report["minings"][0]["afterRound"] == 1
    assert (revision / "training" / "round-2" / "saved_model" / "saved_model.pb").stat().st_size > 0


def test_training_names_what_it_lacks(installed, write_manifest, tmp_path):
    training = installed("training")
    refused(training.call("negset", "job", "data", "--file", str(write_manifest()), "--cluster", cwd=tmp_path), "cluster")
    refused(training.call("negset-operator", cwd=tmp_path), "cluster")
