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
from operators import QUICK, TRAINING, Hand, eventually, running

from negset_api import names
from negset_api.revision import pipeline_digest
from negset_operator import pipelines
from negset_operator.config import Config
from negset_operator.facts import Pipeline

OWN: dict[str, Any] = {**TRAINING, "training": {**TRAINING["training"], "pipelineConfig": {"configMap": "det"}}}
ONE, OTHER = "model { ssd { } }", "model { faster_rcnn { } }"


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def give(hand: Hand, data: dict[str, str]) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "det"}, "data": data}
    hand.kind("v1", "ConfigMap").server_side_apply(body=body, namespace=hand.namespace, field_manager="user", force_conflicts=True)


def live(hand: Hand) -> dict[str, dict[str, Any]]:
    """Return the jobs that are not terminating, by role."""
    found = [item for version, kind in (("batch/v1", "Job"), ("ray.io/v1", "RayJob")) for item in hand.all(version, kind)]
    return {item["metadata"]["labels"][names.LABEL_ROLE]: item for item in found if not item["metadata"].get("deletionTimestamp")}


def child(hand: Hand, role: str, *, other_than: str = "") -> dict[str, Any]:
    return eventually(role, lambda: (found := live(hand).get(role)) and found["metadata"]["name"] != other_than and found)


def mounted(hand: Hand, job: dict[str, Any]) -> dict[str, Any]:
    """Return the ConfigMap from which the pods of a job get their pipeline.config."""
    volumes = {volume["name"]: volume for volume in job["spec"]["template"]["spec"]["volumes"]}
    (item,) = volumes["pipeline"]["configMap"]["items"]
    assert item == {"key": "pipeline.config", "path": "pipeline.config"}
    return eventually("it", lambda: hand.find("v1", "ConfigMap", volumes["pipeline"]["configMap"]["name"]))


def through(hand: Hand, *roles: str) -> None:
    for role in roles:
        job = child(hand, role)
        succeeds = hand.ray_succeeds if job["kind"] == "RayJob" else hand.job_succeeds
        succeeds(job["metadata"]["name"])


def test_edited_between_rounds_it_is_another_revision_and_what_ran_for_the_old_one_is_stopped(api_server, hand):
    give(hand, {"pipeline.config": ONE})
    with running(api_server, hand.namespace):
        hand.create(**OWN)
        through(hand, "check", "data")
        first = child(hand, "train-1")
        revision = eventually("a revision", lambda: hand.dataset()["status"].get("revision"))
        copy = mounted(hand, first)
        assert (copy["data"]["pipeline.config"], copy["immutable"]) == (ONE, True)

        give(hand, {"pipeline.config": OTHER})
        assert mounted(hand, first)["data"]["pipeline.config"] == ONE, "its pods go on with what they began with"
        hand.annotate("look", "again")
        again = child(hand, "check", other_than=first["metadata"]["name"].replace("train-1", "check"))
        eventually("the training stopped", lambda: "train-1" not in live(hand))
        assert mounted(hand, again)["data"]["pipeline.config"] == OTHER
        status = eventually("another revision", lambda: (s := hand.dataset()["status"])["revision"] != revision and s)
        through(hand, "check", "data")
        second = child(hand, "train-1")
        told = json.loads(mounted(hand, second)["data"]["dataset.yaml"])["metadata"]["annotations"]
        assert told == {
            names.LABEL_REVISION: status["revision"],
            names.LABEL_SPEC_HASH: second["metadata"]["labels"][names.LABEL_SPEC_HASH],
            names.LABEL_PIPELINE: pipeline_digest(OTHER.encode()),
        }


def test_missing_wrong_and_mended_it_says_so_and_goes_on_by_itself(api_server, hand, monkeypatch):
    monkeypatch.setattr("negset_operator.decide.LOOK_AGAIN", 1.0)
    with running(api_server, hand.namespace):
        hand.create(**OWN)
        eventually("told", lambda: hand.reason() == "PipelineConfigUnavailable")
        ready = hand.condition("Ready")
        assert ready["message"] == (
            f"spec.training.pipelineConfig.configMap: expected the ConfigMap det in the namespace {hand.namespace}, found none; "
            f"create it: kubectl create configmap det --namespace {hand.namespace} --from-file=pipeline.config."
        )
        give(hand, {"model.config": ONE})
        eventually("the key", lambda: "expected the key pipeline.config in the ConfigMap det" in hand.condition("Ready")["message"])
        assert (hand.jobs(), hand.ray_jobs()) == ([], [])
        give(hand, {"pipeline.config": ONE})
        assert mounted(hand, child(hand, "check"))["data"]["pipeline.config"] == ONE


def test_deleted_it_stops_nothing_and_undoes_nothing_and_other_content_is_seen_by_the_resync(api_server, hand):
    give(hand, {"pipeline.config": ONE})
    with running(api_server, hand.namespace, config=Config(patience=QUICK, workers=4, resync_seconds=1)):
        hand.create(**OWN)
        through(hand, "check", "data")
        training = child(hand, "train-1")
        hand.job_runs(training["metadata"]["name"])
        hand.remove("v1", "ConfigMap", "det")
        eventually("told", lambda: hand.reason() == "PipelineConfigUnavailable")
        assert hand.find("batch/v1", "Job", training["metadata"]["name"])["metadata"]["uid"] == training["metadata"]["uid"]
        give(hand, {"pipeline.config": ONE})
        through(hand, "train-1", "mine-1", "train-2")
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")

        hand.remove("v1", "ConfigMap", "det")
        for job in live(hand).values():
            kind = hand.kind(job["apiVersion"], job["kind"])
            kind.delete(name=job["metadata"]["name"], namespace=hand.namespace, body={"propagationPolicy": "Background"})
        hand.annotate("look", "again")
        eventually("children gone", lambda: not hand.jobs() and not hand.ray_jobs())
        time.sleep(2)  # it is looked at again meanwhile
        assert live(hand) == {}
        before = hand.dataset()["status"]
        assert hand.condition("Ready")["status"] == "True"
        assert before["completed"]["pipeline"] == pipeline_digest(ONE.encode())

        give(hand, {"pipeline.config": OTHER})
        child(hand, "check")
        assert eventually("another revision", lambda: hand.dataset()["status"]["revision"] != before["revision"])


@pytest.fixture
def earlier_version(monkeypatch):
    """An operator that ignores the content of the ConfigMap, while the context lasts."""

    @contextlib.contextmanager
    def open_() -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(pipelines, "of", lambda *_: Pipeline())
            yield

    return open_


def test_an_upgrade_from_a_version_that_left_the_content_out_does_nothing_again_of_what_is_ready(api_server, hand, earlier_version):
    give(hand, {"pipeline.config": ONE})
    with earlier_version(), running(api_server, hand.namespace):
        hand.create(**OWN)
        through(hand, "check", "data", "train-1", "mine-1", "train-2")
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        before = hand.dataset()["status"]
        assert "pipeline" not in before["completed"]
    finished = sorted(job["metadata"]["uid"] for job in live(hand).values())
    with running(api_server, hand.namespace):
        eventually("recorded", lambda: hand.dataset()["status"]["completed"].get("pipeline") == pipeline_digest(ONE.encode()))
        hand.annotate("look", "again")
        time.sleep(2)
        assert hand.dataset()["status"]["url"] == before["url"]
        assert hand.condition("Ready")["status"] == "True"
        assert sorted(job["metadata"]["uid"] for job in live(hand).values()) == finished
        give(hand, {"pipeline.config": OTHER})
        hand.annotate("look", "once more")
        eventually("another revision", lambda: hand.dataset()["status"]["url"] != before["url"])
    with earlier_version(), running(api_server, hand.namespace):
        eventually("the rollback's revision", lambda: hand.dataset()["status"]["url"] == before["url"])


def test_an_upgrade_and_its_rollback_leave_a_training_that_runs_alone(api_server, hand, earlier_version):
    give(hand, {"pipeline.config": ONE})
    with earlier_version(), running(api_server, hand.namespace):
        hand.create(**OWN)
        through(hand, "check", "data")
        training = child(hand, "train-1")
        hand.job_runs(training["metadata"]["name"])
        eventually("running", lambda: hand.reason() == "Running")

    def there() -> dict[str, Any]:
        return hand.find("batch/v1", "Job", training["metadata"]["name"])["metadata"]

    with running(api_server, hand.namespace):
        eventually("marked", lambda: there()["labels"].get(names.LABEL_PIPELINE) == pipeline_digest(ONE.encode()))
        eventually("listed", lambda: training["metadata"]["labels"][names.LABEL_SPEC_HASH] in hand.dataset()["status"]["runs"])
        time.sleep(1)
    with earlier_version(), running(api_server, hand.namespace):
        hand.annotate("look", "again")
        time.sleep(2)
        assert hand.condition("Trained")["reason"] == "Running"
    assert (there()["uid"], there().get("deletionTimestamp")) == (training["metadata"]["uid"], None)
