"""A command depends on where it runs, and its exit code says how it ended."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from negset_api import revision, validation
from negset_api.version import version
from negset_jobs import cli, pipeline
from negset_jobs.commands import job, laptop


@pytest.mark.parametrize(
    ("task", "speaks"),
    [
        pytest.param(None, True, id="a pod that trains alone"),
        pytest.param({"type": "worker", "index": 0}, True, id="the first of several"),
        pytest.param({"type": "worker", "index": 1}, False, id="another"),
    ],
)
def test_of_several_training_pods_one_writes_report_and_status(monkeypatch: pytest.MonkeyPatch, task: object, speaks: bool) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if task is not None:
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:2222", "b:2222"]}, "task": task}))
    assert job._is_chief() is speaks


def manifest(tmp_path: pathlib.Path, **spec: object) -> str:
    """The path of a manifest that the operator wrote."""
    document = {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "street", "namespace": "team-a", "annotations": {"negset.dev/revision": "0123456789ab"}},
        "spec": {
            "source": {"coco": {"annotations": "a.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 10},
            "output": {"url": str(tmp_path / "out")},
            **spec,
        },
    }
    path = tmp_path / "dataset.yaml"
    path.write_text(json.dumps(document))
    return str(path)


def test_jobs_read_a_newer_manifest_and_write_where_the_operator_says(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(pipeline, "check", seen.append)
    assert cli.main(["job", "check", "--file", manifest(tmp_path, thumbnails=64)]) == 0
    assert [run.store.location("").rstrip("/") for run in seen] == [str(tmp_path / "out" / "team-a" / "street" / "0123456789ab")]


@pytest.mark.parametrize("held", [b"model { }", b""], ids=["what the ConfigMap holds", "what an operator that does not look into it tells"])
def test_jobs_compute_the_operators_revision_from(
    held: bytes, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    training = {"pipelineConfig": {"configMap": "det"}, "steps": 1}
    path = pathlib.Path(manifest(tmp_path, training=training, positives={"tfrecords": ["x"]}))
    document = json.loads(path.read_text())
    digest = revision.pipeline_digest(held) if held else ""
    told = revision.revision(validation.parse(document).spec, digest)
    annotations = {"negset.dev/revision": told, **({"negset.dev/pipeline": digest} if digest else {})}
    path.write_text(json.dumps({**document, "metadata": {**document["metadata"], "annotations": annotations}}))
    seen: list[Any] = []
    monkeypatch.setattr(pipeline, "check", seen.append)
    monkeypatch.setattr(pipeline, "check_with_api", seen.append)
    assert cli.main(["job", "check", "--file", str(path)]) == 0
    assert seen[0].store.url.endswith(f"/{told}")
    assert caplog.messages == []


def test_jobs_that_do_not_understand_a_manifest_say_so_in_one_line(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        cli.main(["job", "check", "--file", manifest(tmp_path, selection={"count": 10, "strategy": "Clustered"}, ray={"workers": 0})]) == 2
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        'negset: spec.selection.strategy: Unsupported value: "Clustered": supported values: "Random", "Stratified"; '
        "spec.ray.workers: Invalid value: 0: should be greater than or equal to 1 "
        f"(negset {version()} cannot read this manifest; use a jobs image of the CRD's version)"
    )


GROUPS = {
    "one model after the other": ({}, [], [["train-none"], ["train-1"]]),
    "as many at the same time as the manifest allows": ({"maxParallel": 2}, [], [["train-none", "train-1"]]),
    "as many as the command line says, whatever the manifest does": (
        {"maxParallel": 2},
        ["--trainings", "1"],
        [["train-none"], ["train-1"]],
    ),
    "more than the manifest allows": ({}, ["--trainings", "2"], [["train-none", "train-1"]]),
}


@pytest.mark.parametrize(("fields", "words", "trained"), GROUPS.values(), ids=GROUPS)
def test_a_laptop_trains(
    fields: dict[str, Any], words: list[str], trained: list[list[str]], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    training = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-320"}, "steps": 1, "hardNegativeMining": {"rounds": 1}}
    training |= {"comparisons": ["NoNegatives"], **fields}
    path = manifest(tmp_path, training=training, positives={"tfrecords": ["x"]})
    for name, answer in {"check": None, "data_missing": False, "trained": None, "report": None}.items():
        monkeypatch.setattr(pipeline, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(laptop, "_in_children", lambda _opened, steps, _options: seen.append([step.role for step in steps]))
    assert cli.main(["run", path, *words]) == 0
    assert seen == trained


def test_a_person_who_misspells_a_field_is_told(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", manifest(tmp_path, thumbnails=64)]) == 2
    assert "spec.thumbnails: unknown field" in capsys.readouterr().err
