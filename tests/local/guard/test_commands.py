"""A job on a cluster reaches only what the administrator allows."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest
from tests.local.guard.guarding import STRICT, Counting, get

from negset_api.errors import InvalidInput
from negset_api.values import Outcome
from negset_jobs.adapters.inputs import open_input
from negset_jobs.cli import main


def manifest(folder: pathlib.Path, **spec: Any) -> str:
    document = {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "guarded"},
        "spec": {
            "source": {"coco": {"annotations": "s3://bucket/a.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 2},
            "output": {"url": "memory://guarded"},
            "positives": {"tfrecords": ["s3://bucket/a.tfrecord"]},
            "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1},
            **spec,
        },
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a job that stops because its input is wrong."""
    assert main(["job", *words, "--cluster"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("stage", ["check", "delete"])
def test_a_job_reaches_no_endpoint_of_a_secret(
    stage: str, private: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", private.url)
    path = manifest(tmp_path, output={"url": "s3://bucket/out"})
    line = told(capsys, stage, "--file", path)
    assert "127.0.0.1 is not allowed" in line
    told(capsys, stage, "--file", path, "--allow-address", "127.0.0.0/8")
    assert private.connections == 0
    main(["job", stage, "--file", path, "--cluster", "--allow-store", "127.0.0.0/8"])
    assert private.connections > 0


def test_a_job_reads_no_configuration_from_a_private_address(
    private: Counting, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("check", "--allow-scheme", "memory", "--allow-scheme", "http")
    for url in (f"{private.url}/x", f"simplecache::{private.url}/x?]", f"simplecache://::{private.url}/x?]"):
        model = {"pipelineConfig": {"url": url}, "steps": 1}
        line = told(capsys, *words, "--file", manifest(tmp_path, training=model))
        assert "spec.training.pipelineConfig.url" in line
        model = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1, "fineTuneCheckpoint": url}
        line = told(capsys, *words, "--allow-store", "127.0.0.0/8", "--file", manifest(tmp_path, training=model))
        assert "spec.training.fineTuneCheckpoint" in line
    assert private.connections == 0
    line = told(
        capsys,
        *words,
        "--allow-address",
        "127.0.0.0/8",
        "--file",
        manifest(tmp_path, training={"pipelineConfig": {"url": f"{private.url}/x"}, "steps": 1}),
    )
    assert private.connections > 0
    assert "not a pipeline.config" in line
    assert "hunter2" not in line


def test_a_jobs_schemes_are_the_administrators(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = manifest(tmp_path, output={"url": "webhdfs://namenode:9870/out"})
    line = told(capsys, "delete", "--file", path)
    assert line.startswith(
        "negset: spec.output.url: expected a URL of a scheme that the administrator allows (s3, gs, abfs, http, https), got 'webhdfs'"
    )
    line = told(capsys, "delete", "--file", path, "--allow-scheme", "gs", "--allow-scheme", "s3")
    assert "allows (gs, s3), got 'webhdfs'" in line


def test_the_environment_is_not_read_by_a_label_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the process may read, behind a chain that the guard once took for one web URL."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    for url in (
        "simplecache:///proc/self/environ::file://x::http://b]",
        "file:///proc/self/environ",
        "simplecache::/proc/self/environ",
        "zip://a::/proc/self/environ",
    ):
        with pytest.raises(InvalidInput) as caught, open_input(url, STRICT, "spec.positives.labelMap"):
            pass
        assert "hunter2" not in str(caught.value)
        assert get(url, STRICT) is Outcome.BLOCKED_ADDRESS
