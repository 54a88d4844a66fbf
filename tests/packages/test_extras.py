"""Each extra, installed from the wheel into a fresh environment, does its job.

Whatever needs another extra names it. The training has a module of its own, because TensorFlow is
large.
"""

from __future__ import annotations

import io
import json

import pyarrow.parquet
import pytest
import yaml
from tests.packages.conftest import WITH_OBJECT

from negset_api import validation
from negset_api.values import License, Report, encode
from negset_jobs.formats.tfrecord import read_records

LOOPBACK = ("--allow-address", "127.0.0.1/32")
TRAINING = {
    "positives": {"tfrecords": ["p.tfrecord"]},
    "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1},
}


def succeeded(ended):
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def refused(ended, extra):
    """What a command says that needs another extra."""
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    assert line.endswith(f"not installed: pip install 'negset[{extra}]'"), line
    return line


def test_the_base_checks_plans_and_reports(installed, write_manifest, tmp_path):
    base, manifest = installed(""), str(write_manifest())
    assert succeeded(base.call("negset", "validate", manifest, cwd=tmp_path)) == "default/street is valid\n"
    planned = json.loads(succeeded(base.call("negset", "plan", "--json", manifest, *LOOPBACK, cwd=tmp_path)))
    assert (planned["planned"], planned["remainingClasses"]) == (20, {"dog": 20})
    assert min(planned["imageIds"]) > WITH_OBJECT
    crd = yaml.safe_load(succeeded(base.call("negset", "crd", cwd=tmp_path)))
    assert crd["metadata"]["name"] == "negativedatasets.negset.dev"
    assert succeeded(base.call("negset", "init", "new.yaml", cwd=tmp_path)) == "new.yaml\n"
    assert validation.parse(yaml.safe_load((tmp_path / "new.yaml").read_text())).metadata.name == "new"


def test_the_base_prints_a_report(installed, tmp_path):
    report = Report(
        input_digest="",
        name="street",
        namespace="default",
        revision="0123456789ab",
        negset_version="0.1.0",
        planned=20,
        stored=19,
        outcomes={"stored": 19, "not_found": 1},
        bytes=1000,
        excluded_classes=("cat",),
        remaining_classes={"dog": 20},
        licenses=(License(id=0, name="not stated", images=20),),
        rounds=(),
        comparisons=(),
        review=(),
        page="report/index.html",
    )
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.json").write_bytes(encode(report))
    said = succeeded(installed("").call("negset", "report", str(tmp_path), cwd=tmp_path))
    assert "Stored 19 of 20 planned images without cat (1,000 B); 1 failed." in said


def test_the_base_names_what_it_lacks(installed, write_manifest, tmp_path):
    base, manifest = installed(""), str(write_manifest(**TRAINING))
    assert "pyarrow" in refused(base.call("negset", "run", str(write_manifest()), cwd=tmp_path), "jobs")
    assert "tensorflow" in refused(base.call("negset", "run", str(write_manifest(**TRAINING)), cwd=tmp_path), "training")
    assert "tensorflow" in refused(base.call("negset", "demo", cwd=tmp_path), "training")
    assert "kubernetes" in refused(base.call("negset", "job", "data", "--file", manifest, "--cluster", cwd=tmp_path), "jobs,cluster")
    assert "prometheus-client" in refused(base.call("negset-operator", cwd=tmp_path), "cluster")
    assert [path.name for path in tmp_path.iterdir()] == ["street.yaml"]


def test_jobs_download_and_label(installed, write_manifest, tmp_path):
    ended = installed("jobs").call("negset", "run", str(write_manifest()), *LOOPBACK, cwd=tmp_path)
    page = succeeded(ended).splitlines()[-1]
    (revision,) = (tmp_path / "out" / "default" / "street").iterdir()
    assert page == str(revision / "report" / "index.html")
    outcomes = pyarrow.parquet.read_table(revision / "manifest.parquet")["outcome"].to_pylist()
    assert outcomes == ["stored"] * 20
    records = [record for path in (revision / "records").glob("*.tfrecord") for record in read_records(io.BytesIO(path.read_bytes()))]
    assert len(records) == 20
    assert len(list((revision / "labels" / "yolo").rglob("*.txt"))) >= 20
    assert len(json.loads(next((revision / "labels" / "coco").rglob("*.json")).read_text())["images"]) == 20
    assert json.loads((revision / "report" / "report.json").read_text())["stored"] == 20


def test_jobs_name_what_they_lack(installed, write_manifest, tmp_path):
    jobs, manifest = installed("jobs"), str(write_manifest(**TRAINING))
    line = refused(jobs.call("negset", "run", manifest, *LOOPBACK, cwd=tmp_path), "training")
    assert (
        line
        == "negset: negset run needs pycocotools, tensorflow, tf-keras and tf-slim, which are not installed: pip install 'negset[training]'"
    )
    refused(jobs.call("negset", "demo", cwd=tmp_path), "training")
    refused(jobs.call("negset", "job", "data", "--file", manifest, "--cluster", cwd=tmp_path), "cluster")
    assert [path.name for path in tmp_path.iterdir()] == ["street.yaml"]


def test_cluster_runs_the_operator(installed, write_manifest, tmp_path):
    cluster = installed("cluster")
    assert "--kubeconfig" in succeeded(cluster.call("negset-operator", "--help", cwd=tmp_path))
    # Everything is imported before the kubeconfig is read.
    ended = cluster.call("negset-operator", "--lease", "", "--kubeconfig", "missing.yaml", cwd=tmp_path)
    assert (ended.returncode, ended.stderr.splitlines()[-1].startswith("negset-operator: --kubeconfig: ")) == (2, True), ended.stderr
    refused(cluster.call("negset", "run", str(write_manifest()), cwd=tmp_path), "jobs")


@pytest.mark.parametrize("extra", ["", "jobs", "cluster"])
def test_an_extra_brings_no_other(extra, installed, tmp_path):
    """What is not asked for is large: the base must not reach it by way of another package."""
    modules = {"jobs": "pyarrow", "training": "tensorflow", "cluster": "kubernetes"}
    others = {name: module for name, module in modules.items() if name != extra}
    code = f"import importlib.util as util; print([name for name, module in {others!r}.items() if util.find_spec(module)])"
    assert succeeded(installed(extra).call("python", "-c", code, cwd=tmp_path)) == "[]\n"
