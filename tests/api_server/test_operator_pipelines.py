"""A ConfigMap with the user's pipeline.config that is edited, missing or deleted.

The API server is real.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from operators import QUICK, TRAINING, Cluster, eventually, running

from negset_api import names
from negset_api.revision import pipeline_digest
from negset_operator import pipelines
from negset_operator.config import Config
from negset_operator.facts import Pipeline

OWN: dict[str, Any] = {**TRAINING, "training": {**TRAINING["training"], "pipelineConfig": {"configMap": "det"}}}
ONE, OTHER = "model { ssd { } }", "model { faster_rcnn { } }"


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def give(cluster: Cluster, data: dict[str, str]) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "det"}, "data": data}
    cluster.kind("v1", "ConfigMap").server_side_apply(body=body, namespace=cluster.namespace, field_manager="user", force_conflicts=True)


def live(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Return the jobs that are not terminating, by role."""
    found = [item for version, kind in (("batch/v1", "Job"), ("ray.io/v1", "RayJob")) for item in cluster.all(version, kind)]
    return {item["metadata"]["labels"][names.LABEL_ROLE]: item for item in found if not item["metadata"].get("deletionTimestamp")}


def child(cluster: Cluster, role: str, *, other_than: str = "") -> dict[str, Any]:
    return eventually(role, lambda: (found := live(cluster).get(role)) and found["metadata"]["name"] != other_than and found)


def mounted(cluster: Cluster, job: dict[str, Any]) -> dict[str, Any]:
    """Return the ConfigMap from which the pods of a job get their pipeline.config."""
    volumes = {volume["name"]: volume for volume in job["spec"]["template"]["spec"]["volumes"]}
    (item,) = volumes["pipeline"]["configMap"]["items"]
    assert item == {"key": "pipeline.config", "path": "pipeline.config"}
    return eventually("it", lambda: cluster.find("v1", "ConfigMap", volumes["pipeline"]["configMap"]["name"]))


def through(cluster: Cluster, *roles: str) -> None:
    for role in roles:
        job = child(cluster, role)
        succeeds = cluster.ray_succeeds if job["kind"] == "RayJob" else cluster.job_succeeds
        succeeds(job["metadata"]["name"])


def test_edited_between_rounds_it_is_another_revision_and_what_ran_for_the_old_one_is_stopped(api_server, cluster):
    give(cluster, {"pipeline.config": ONE})
    with running(api_server, cluster.namespace):
        cluster.create(**OWN)
        through(cluster, "check", "data")
        first = child(cluster, "train-1")
        revision = eventually("a revision", lambda: cluster.dataset()["status"].get("revision"))
        copy = mounted(cluster, first)
        assert (copy["data"]["pipeline.config"], copy["immutable"]) == (ONE, True)

        give(cluster, {"pipeline.config": OTHER})
        assert mounted(cluster, first)["data"]["pipeline.config"] == ONE, "its pods keep the first content"
        cluster.annotate("look", "again")
        again = child(cluster, "check", other_than=first["metadata"]["name"].replace("train-1", "check"))
        eventually("the training stopped", lambda: "train-1" not in live(cluster))
        assert mounted(cluster, again)["data"]["pipeline.config"] == OTHER
        status = eventually("another revision", lambda: (s := cluster.dataset()["status"])["revision"] != revision and s)
        through(cluster, "check", "data")
        second = child(cluster, "train-1")
        annotations = json.loads(mounted(cluster, second)["data"]["dataset.yaml"])["metadata"]["annotations"]
        assert annotations == {
            names.LABEL_REVISION: status["revision"],
            names.LABEL_SPEC_HASH: second["metadata"]["labels"][names.LABEL_SPEC_HASH],
            names.LABEL_PIPELINE: pipeline_digest(OTHER.encode()),
        }


def test_a_missing_or_wrong_one_is_reported_and_work_continues_once_it_is_corrected(api_server, cluster, monkeypatch):
    monkeypatch.setattr("negset_operator.decide.RECHECK_SECONDS", 1.0)
    with running(api_server, cluster.namespace):
        cluster.create(**OWN)
        eventually("the status", lambda: cluster.reason() == "PipelineConfigUnavailable")
        ready = cluster.condition("Ready")
        assert ready["message"] == (
            f"spec.training.pipelineConfig.configMap: expected the ConfigMap det in the namespace {cluster.namespace}, found none; "
            f"create it: kubectl create configmap det --namespace {cluster.namespace} --from-file=pipeline.config."
        )
        give(cluster, {"model.config": ONE})
        eventually("the key", lambda: "expected the key pipeline.config in the ConfigMap det" in cluster.condition("Ready")["message"])
        assert (cluster.jobs(), cluster.ray_jobs()) == ([], [])
        give(cluster, {"pipeline.config": ONE})
        assert mounted(cluster, child(cluster, "check"))["data"]["pipeline.config"] == ONE


def test_deleted_it_stops_nothing_and_undoes_nothing_and_other_content_is_seen_by_the_resync(api_server, cluster):
    give(cluster, {"pipeline.config": ONE})
    with running(api_server, cluster.namespace, config=Config(patience=QUICK, workers=4, resync_seconds=1)):
        cluster.create(**OWN)
        through(cluster, "check", "data")
        training = child(cluster, "train-1")
        cluster.job_runs(training["metadata"]["name"])
        cluster.remove("v1", "ConfigMap", "det")
        eventually("the status", lambda: cluster.reason() == "PipelineConfigUnavailable")
        assert cluster.find("batch/v1", "Job", training["metadata"]["name"])["metadata"]["uid"] == training["metadata"]["uid"]
        give(cluster, {"pipeline.config": ONE})
        through(cluster, "train-1", "mine-1", "train-2")
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")

        cluster.remove("v1", "ConfigMap", "det")
        for job in live(cluster).values():
            kind = cluster.kind(job["apiVersion"], job["kind"])
            kind.delete(name=job["metadata"]["name"], namespace=cluster.namespace, body={"propagationPolicy": "Background"})
        cluster.annotate("look", "again")
        eventually("children deleted", lambda: not cluster.jobs() and not cluster.ray_jobs())
        time.sleep(2)  # it is reconciled again meanwhile
        assert live(cluster) == {}
        before = cluster.dataset()["status"]
        assert cluster.condition("Ready")["status"] == "True"
        assert before["completed"]["pipeline"] == pipeline_digest(ONE.encode())

        give(cluster, {"pipeline.config": OTHER})
        child(cluster, "check")
        assert eventually("another revision", lambda: cluster.dataset()["status"]["revision"] != before["revision"])


@pytest.fixture
def earlier_version(monkeypatch):
    """An operator that ignores the content of the ConfigMap, while the context lasts."""

    @contextlib.contextmanager
    def open_() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(pipelines, "of", lambda *_: Pipeline())
            yield

    return open_


def test_an_upgrade_from_a_version_that_left_the_content_out_does_nothing_again_of_what_is_ready(api_server, cluster, earlier_version):
    give(cluster, {"pipeline.config": ONE})
    with earlier_version(), running(api_server, cluster.namespace):
        cluster.create(**OWN)
        through(cluster, "check", "data", "train-1", "mine-1", "train-2")
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        before = cluster.dataset()["status"]
        assert "pipeline" not in before["completed"]
    finished = sorted(job["metadata"]["uid"] for job in live(cluster).values())
    with running(api_server, cluster.namespace):
        eventually("recorded", lambda: cluster.dataset()["status"]["completed"].get("pipeline") == pipeline_digest(ONE.encode()))
        cluster.annotate("look", "again")
        time.sleep(2)
        assert cluster.dataset()["status"]["url"] == before["url"]
        assert cluster.condition("Ready")["status"] == "True"
        assert sorted(job["metadata"]["uid"] for job in live(cluster).values()) == finished
        give(cluster, {"pipeline.config": OTHER})
        cluster.annotate("look", "once more")
        eventually("another revision", lambda: cluster.dataset()["status"]["url"] != before["url"])
    with earlier_version(), running(api_server, cluster.namespace):
        eventually("the rollback's revision", lambda: cluster.dataset()["status"]["url"] == before["url"])


def test_an_upgrade_and_its_rollback_leave_a_training_that_runs_alone(api_server, cluster, earlier_version):
    give(cluster, {"pipeline.config": ONE})
    with earlier_version(), running(api_server, cluster.namespace):
        cluster.create(**OWN)
        through(cluster, "check", "data")
        training = child(cluster, "train-1")
        cluster.job_runs(training["metadata"]["name"])
        eventually("running", lambda: cluster.reason() == "Running")

    def there() -> dict[str, Any]:
        return cluster.find("batch/v1", "Job", training["metadata"]["name"])["metadata"]

    with running(api_server, cluster.namespace):
        eventually("marked", lambda: there()["labels"].get(names.LABEL_PIPELINE) == pipeline_digest(ONE.encode()))
        eventually("listed", lambda: training["metadata"]["labels"][names.LABEL_SPEC_HASH] in cluster.dataset()["status"]["runs"])
        time.sleep(1)
    with earlier_version(), running(api_server, cluster.namespace):
        cluster.annotate("look", "again")
        time.sleep(2)
        assert cluster.condition("Trained")["reason"] == "Running"
    assert (there()["uid"], there().get("deletionTimestamp")) == (training["metadata"]["uid"], None)
