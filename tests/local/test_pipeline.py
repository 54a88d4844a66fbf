"""The main job on real images, as a user runs it: from a manifest to a report.

Then a second run, and a changed manifest, and the work that they repeat.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet
import pytest
import yaml
from tests.local.serving import CountingServer

from negset_api import validation
from negset_jobs import pipeline
from negset_jobs.adapters.access import Access

LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))

CONTRACT = {
    "manifest.parquet",
    "copies.parquet",
    "records",
    "positives",
    "labels/yolo",
    "labels/coco",
    "labels/voc",
    "training/round-1",
    "training/round-2",
    "training/no-negatives/round-2",
    "training/random-negatives/round-2",
    "report/index.html",
    "report/report.json",
}


def manifest(server: CountingServer, folder: pathlib.Path, **spec: Any) -> dict[str, Any]:
    coco = {"annotations": f"{server.url}/annotations/instances_train2017.json", "imageUrl": f"{server.url}/train2017/{{file_name}}"}
    return {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "street"},
        "spec": {
            "source": {"coco": coco},
            "excludeClasses": ["person", "car"],
            "selection": {"count": 20},
            "output": {"url": str(folder)},
            **spec,
        },
    }


ON_RAY = """
from negset_jobs.adapters import work
work.MOST_WITHOUT_RAY = 0
from negset_jobs.cli import process
process()
"""
"""`negset`, as if every amount of work were large."""

PROGRAMS = {"processes": ["-m", "negset_jobs"], "Ray": ["-c", ON_RAY]}


def command_line(command: str, document: dict[str, Any], folder: pathlib.Path, *options: str, kind: str = "processes") -> list[str]:
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(document))
    return [sys.executable, *PROGRAMS[kind], command, str(path), "--allow-address", "127.0.0.1/32", *options]


def negset(
    command: str, document: dict[str, Any], folder: pathlib.Path, *options: str, kind: str = "processes"
) -> subprocess.CompletedProcess[str]:
    arguments = command_line(command, document, folder, *options, kind=kind)
    return subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=folder)


def revision_of(finished: subprocess.CompletedProcess[str]) -> pathlib.Path:
    assert finished.returncode == 0, finished.stderr
    (page,) = finished.stdout.splitlines()
    assert page.endswith("/report/index.html")
    return pathlib.Path(page).parent.parent


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def server(coco_mini: pathlib.Path) -> Iterator[CountingServer]:
    with CountingServer(coco_mini).running() as running:
        yield running


def test_every_stage_runs_on_real_images_and_a_second_run_does_nothing(server: CountingServer, tmp_path: pathlib.Path) -> None:
    document = manifest(
        server,
        tmp_path / "out",
        selection={"count": 40, "seed": 17},
        output={"url": str(tmp_path / "out"), "formats": ["TFRecord", "YOLO", "COCO", "VOC"]},
        positives={"coco": manifest(server, tmp_path)["spec"]["source"]["coco"]},
        training={
            "pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"},
            "steps": 6,
            "batchSize": 4,
            "negativePercent": 50,
            "comparisons": ["NoNegatives", "RandomNegatives"],
        },
    )
    first = negset("run", document, tmp_path, "--trainings", "2")
    revision = revision_of(first)
    for role in ("train-none", "train-1", "train-random-2", "train-2"):
        assert f"{role}: Training: done, " in first.stderr, "two models at a time, so each line says of which it is"
    assert not [name for name in CONTRACT if not (revision / name).exists()]

    assert (revision / "owners" / "laptop").exists(), "a deletion must know whose it is"
    rows = pyarrow.parquet.read_table(revision / "manifest.parquet").to_pylist()
    assert len(rows) == 40
    assert {row["outcome"] for row in rows} == {"stored"}
    report = json.loads((revision / "report" / "report.json").read_text())
    assert [each["round"] for each in report["rounds"]] == [1, 2]
    assert all({"falsePositivesPerImage", "recall", "averagePrecision"} <= each.keys() for each in report["rounds"])
    assert sum(report["outcomes"].values()) == report["planned"] == 40
    compared = {each["name"]: each for each in report["comparisons"]}
    assert compared.keys() == {"Mined", "RandomNegatives", "NoNegatives"}
    assert {each["steps"] for each in compared.values()} == {12}, "all arms make the same steps"
    assert compared["NoNegatives"]["negatives"] == 0
    assert compared["RandomNegatives"]["negatives"] == compared["Mined"]["negatives"] > 0
    splits = collections.Counter(row["subset"] for row in rows)
    assert compared["Mined"]["negatives"] - splits["train"] <= splits["pool"] * 20 // 100
    for each in compared.values():
        low, high = each["falsePositivesPerImageInterval"]
        assert low <= each["falsePositivesPerImage"] <= high
    assert report["heldOutCopies"] == 0, "these images are all different"
    page = (revision / "report" / "index.html").read_text()
    assert "http://127.0.0.1" not in "".join(part for part in page.split("<") if part.startswith(("img", "link", "script")))

    asked, before = len(server.images), contents(revision)
    again = negset("run", document, tmp_path)
    assert revision_of(again) == revision
    assert len(server.images) == asked
    assert contents(revision) == before


def test_twice_the_count_downloads_only_the_second_half(server: CountingServer, tmp_path: pathlib.Path) -> None:
    small = revision_of(negset("run", manifest(server, tmp_path / "out"), tmp_path))
    assert len(server.images) == 20
    large = revision_of(negset("run", manifest(server, tmp_path / "out", selection={"count": 40}), tmp_path))
    assert large != small
    assert len(server.images) == len(set(server.images)) == 40
    assert len(pyarrow.parquet.read_table(large / "manifest.parquet")) == 40
    assert len(pyarrow.parquet.read_table(small / "manifest.parquet")) == 20, "an earlier revision stays as it was"


def test_another_format_downloads_nothing(server: CountingServer, tmp_path: pathlib.Path) -> None:
    before = revision_of(negset("run", manifest(server, tmp_path / "out"), tmp_path))
    asked = len(server.images)
    after = revision_of(
        negset("run", manifest(server, tmp_path / "out", output={"url": str(tmp_path / "out"), "formats": ["YOLO"]}), tmp_path)
    )
    assert len(server.images) == asked
    records = [{name: data for name, data in contents(revision).items() if name.startswith("records/")} for revision in (before, after)]
    assert records[0] == records[1]


def test_a_second_run_asks_again_only_for_what_failed(server: CountingServer, tmp_path: pathlib.Path) -> None:
    document = manifest(server, tmp_path / "out")
    planned = json.loads(negset("plan", document, tmp_path, "--json").stdout)["imageIds"]
    server.missing = {f"{number:012d}.jpg" for number in planned[:5]}
    failed = negset("run", document, tmp_path)
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith(
        "negset: 5 of the 20 planned images could not be stored, spec.download.maxFailedPercent allows 5%"
    )
    repaired, server.missing = server.missing, set()
    server.images.clear()
    revision = revision_of(negset("run", document, tmp_path))
    assert set(server.images) == repaired
    rows = pyarrow.parquet.read_table(revision / "manifest.parquet").to_pylist()
    assert [row["image_id"] for row in rows] == planned
    assert {row["outcome"] for row in rows} == {"stored"}


def test_a_second_run_mends_what_was_transient_and_all_that_was_made_of_it(server: CountingServer, tmp_path: pathlib.Path) -> None:
    """The first run was accepted. Then the user allows no failure any more."""
    document = manifest(
        server,
        tmp_path / "out",
        download={"attempts": 1, "maxOutageSeconds": 0, "maxFailedPercent": 20},
        output={"url": str(tmp_path / "out"), "formats": ["YOLO", "COCO"]},
    )
    planned = [f"{number:012d}.jpg" for number in json.loads(negset("plan", document, tmp_path, "--json").stdout)["imageIds"]]
    server.failing, server.missing = set(planned[:2]), {planned[2]}
    first = negset("run", document, tmp_path)
    revision = revision_of(first)
    assert "2 images could not be stored because of transient errors" in first.stderr

    def labelled() -> int:
        return len(json.loads((revision / "labels" / "coco" / "annotations" / "instances_train.json").read_text())["images"])

    def reported() -> dict[str, int]:
        return json.loads((revision / "report" / "report.json").read_text())["outcomes"]

    def status_on_a_cluster() -> dict[str, int]:
        fields = pipeline.status(pipeline.prepare(validation.parse(document), LOOPBACK))["images"]
        assert fields.pop("bytes") > 0
        return fields

    assert (labelled(), reported()) == (17, {"stored": 17, "not_found": 1, "server_error": 2})
    assert status_on_a_cluster() == {"planned": 20, "stored": 17, "failed": 3, "transient": 2}
    repaired, server.failing = server.failing, set()
    server.images.clear()
    assert revision_of(negset("run", document, tmp_path)) == revision
    assert set(server.images) == repaired
    assert len(server.images) == 2
    assert (labelled(), reported()) == (19, {"stored": 19, "not_found": 1})
    assert status_on_a_cluster() == {"planned": 20, "stored": 19, "failed": 1, "transient": 0}, "the zero is written"

    document["spec"]["download"]["maxFailedPercent"] = 0
    server.images.clear()
    strict = negset("run", document, tmp_path)
    assert strict.returncode == 2
    assert "1 of the 20 planned images could not be stored" in strict.stderr
    assert server.images == [planned[2]], "the user may have added it"
    server.missing = set()
    assert revision_of(negset("run", document, tmp_path)) == revision
    assert (labelled(), reported()) == (20, {"stored": 20})

    server.images.clear()
    before = contents(revision)
    revision_of(negset("run", document, tmp_path))
    assert not server.images
    assert contents(revision) == before


@pytest.mark.parametrize(
    ("kind", "number", "at"),
    [
        pytest.param("processes", signal.SIGINT, "download", id="by Ctrl-C while images are downloaded"),
        pytest.param("processes", signal.SIGTERM, "download", id="by SIGTERM while images are downloaded"),
        pytest.param("Ray", signal.SIGINT, "start", id="by Ctrl-C while Ray starts"),
        pytest.param("Ray", signal.SIGINT, "download", id="by Ctrl-C while images are downloaded on Ray"),
        pytest.param("Ray", signal.SIGTERM, "download", id="by SIGTERM, which Ray has a handler of its own for"),
    ],
)
def test_a_run_that_is_interrupted_says_what_is_safe_and_goes_on(
    kind: str, number: signal.Signals, at: str, server: CountingServer, tmp_path: pathlib.Path
) -> None:
    document = manifest(server, tmp_path / "out")
    arguments = command_line("run", document, tmp_path, kind=kind)
    server.answering.clear()
    child = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not (server.images if at == "download" else list((tmp_path / "out").rglob("plan.json"))):
            assert child.poll() is None, child.communicate()
            assert time.monotonic() < deadline, "the run did not come that far"
            time.sleep(0.05)
        # A terminal sends Ctrl-C to every process.
        (os.killpg if number is signal.SIGINT else os.kill)(child.pid, number)
        out, err = child.communicate(timeout=120)
    finally:
        child.kill()
        server.answering.set()
    assert child.returncode == 128 + number, err
    assert err.splitlines()[-1] == "negset: interrupted; all committed work is kept, and the same command continues from there"
    assert out == ""
    revision_of(negset("run", document, tmp_path))


@pytest.mark.parametrize("hidden", [False, True], ids=["which is installed", "which is not installed"])
def test_a_small_run_does_not_import_ray(hidden: bool, server: CountingServer, tmp_path: pathlib.Path) -> None:
    _, _, *arguments = command_line("run", manifest(server, tmp_path / "out"), tmp_path)[1:]
    before = "sys.modules['ray'] = None" if hidden else ""
    program = f"import sys; {before}\nfrom negset_jobs import cli\ncli.main(sys.argv[1:])\nprint(sys.modules.get('ray'))"
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    page, ray = ended.stdout.splitlines()
    assert (page.endswith("/report/index.html"), ray) == (True, "None"), ended.stderr
    assert len(server.images) == 20


def test_processes_and_ray_write_the_same_bytes(server: CountingServer, tmp_path: pathlib.Path) -> None:
    """All of it: negatives, positives, labels, the search for copies, and the markers."""
    document = manifest(
        server,
        tmp_path / "out",
        output={"url": str(tmp_path / "out"), "formats": ["TFRecord", "YOLO", "COCO", "VOC"]},
        positives={"coco": manifest(server, tmp_path)["spec"]["source"]["coco"]},
        training={"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 6},
    )
    found = {}
    for kind, program in PROGRAMS.items():
        path, *options = command_line("run", document, tmp_path)[4:]
        subprocess.run([sys.executable, *program, "job", "data", "--file", path, *options], check=True, cwd=tmp_path)
        found[kind] = contents(tmp_path / "out")
        shutil.rmtree(tmp_path / "out")
    for name in ("records.json", "positives.json", "labels.json", "copies.json", "manifest.parquet"):
        assert [key for key in found["Ray"] if key.endswith(f"/{name}")], name
    assert found["processes"] == found["Ray"]


def test_the_same_plan_is_printed_for_people_and_for_machines(server: CountingServer, tmp_path: pathlib.Path) -> None:
    document = manifest(server, tmp_path / "out")
    planned = json.loads(negset("plan", document, tmp_path, "--json").stdout)
    assert {"imageIds", "candidates", "planned", "bytesEstimate", "licenses", "remainingClasses"} <= planned.keys()
    assert planned["candidates"] == 42
    assert len(planned["imageIds"]) == planned["planned"] == 20
    assert negset("plan", document, tmp_path).stdout.startswith("20 images planned of 42 candidates")
    assert not (tmp_path / "out").exists(), "a plan writes nothing"
    assert server.images == []
