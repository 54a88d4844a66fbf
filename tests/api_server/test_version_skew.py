"""The CRD, the operator and the jobs are of different versions for a while in every upgrade and
rollback. Nothing that runs may notice.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes.client import ApiException
from operators import QUICK, TRAINING, Hand, eventually, running
from testbed import objects

from negset_api import names, reads, revision
from negset_api.schema import custom_resource_definition
from negset_operator import naming, observe
from negset_operator.config import Config, Images

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


@contextlib.contextmanager
def definition(hand: Hand, change: Change) -> Iterator[None]:
    """The API server serves a changed CRD meanwhile; `change` gets the fields of the whole object's
    schema.
    """
    changed = custom_resource_definition()
    change(changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"])
    objects.apply(hand.dynamic, [changed])
    try:
        yield
    finally:
        objects.apply(hand.dynamic, [custom_resource_definition()])


def one_field_ahead(fields: dict[str, Any]) -> None:
    fields["spec"]["properties"]["download"]["properties"]["thumbnails"] = {"type": "integer", "default": 64}


def one_choice_ahead(fields: dict[str, Any]) -> None:
    fields["spec"]["properties"]["selection"]["properties"]["strategy"]["enum"].append("Clustered")


def one_source_ahead(fields: dict[str, Any]) -> None:
    source = fields["spec"]["properties"]["source"]
    url = {"type": "string", "maxLength": 2048}
    source["properties"]["lvis"] = {"type": "object", "properties": {"annotations": url}, "required": ["annotations"]}
    source["x-kubernetes-validations"] = [
        {"rule": "[has(self.coco), has(self.lvis)].filter(given, given).size() == 1", "message": "must have exactly one of coco and lvis"}
    ]


def a_field_behind(fields: dict[str, Any]) -> None:
    """As an earlier release: it knows neither this field of the spec nor these of the status."""
    del fields["spec"]["properties"]["download"]["properties"]["contact"]
    del fields["status"]["properties"]["reportUrl"]
    del fields["status"]["properties"]["completed"]
    del fields["status"]["properties"]["runs"]


def test_a_crd_one_field_ahead_and_its_rollback_leave_a_running_training_alone(api_server, hand):
    with running(api_server, hand.namespace):
        job = training_that_runs(hand)
        with definition(hand, one_field_ahead):
            eventually("the new default", lambda: thumbnails(hand) == 64)
            hand.annotate("seen", "default")
            eventually("still running", lambda: hand.reason() == "Running")
            hand.change(download={"thumbnails": 32})
            eventually("seen", lambda: seen(hand))
            assert hand.reason() == "Running"
            assert untouched(hand, job)
            with running(api_server, hand.namespace) as another:
                looked_again(another)
                assert untouched(hand, job)
        eventually("pruned", lambda: thumbnails(hand) is None)
        hand.annotate("seen", "rollback")
        hand.job_succeeds(job["metadata"]["name"])
        eventually("the next step of the same run", lambda: job["metadata"]["name"].replace("train", "mine") in hand.ray_jobs())
        assert len(hand.jobs()) == 2


def test_a_field_that_the_operator_does_not_know_reaches_the_jobs_which_write_where_the_operator_says(api_server, hand):
    with definition(hand, one_field_ahead):
        hand.create()
        eventually("the new default", lambda: thumbnails(hand) == 64)
        with running(api_server, hand.namespace):
            (name,) = eventually("the data", hand.ray_jobs)
            eventually("told", lambda: hand.reason() == "Starting")
        manifest = json.loads(hand.find("v1", "ConfigMap", name.removesuffix("-data"))["data"]["dataset.yaml"])
    assert manifest["spec"]["download"]["thumbnails"] == 64
    (run,) = hand.dataset()["status"]["runs"]
    assert manifest["metadata"]["annotations"] == {names.LABEL_REVISION: hand.dataset()["status"]["revision"], names.LABEL_SPEC_HASH: run}


def test_a_value_that_the_operator_does_not_know_stops_nothing_and_is_said(api_server, hand):
    with running(api_server, hand.namespace):
        job = training_that_runs(hand)
        with definition(hand, one_choice_ahead):
            eventually("taken", lambda: taken(hand, selection={"strategy": "Clustered"}))
            eventually("said", lambda: hand.reason() == "NotUnderstood")
            message = hand.condition("Stalled")["message"]
            assert 'spec.selection.strategy: Unsupported value: "Clustered"' in message
            assert f"Left as they are: Job {job['metadata']['name']}." in message
            assert "Upgrade the operator" in message
            assert untouched(hand, job)
            hand.change(suspend=True)
            eventually("suspended all the same", lambda: hand.find("batch/v1", "Job", job["metadata"]["name"])["spec"]["suspend"] is True)
            hand.change(suspend=False, selection={"strategy": "Stratified"})
            eventually("resumed", lambda: hand.find("batch/v1", "Job", job["metadata"]["name"])["spec"]["suspend"] is False)
    assert untouched(hand, job)


def test_another_kind_of_source_can_be_added_and_an_earlier_operator_says_that_it_does_not_know_it(api_server, hand):
    with running(api_server, hand.namespace):
        job = training_that_runs(hand)
        with definition(hand, one_source_ahead):
            lvis = {"coco": None, "lvis": {"annotations": "s3://datasets/lvis.json"}}
            eventually("taken", lambda: taken(hand, source=lvis))
            eventually("said", lambda: hand.reason() == "NotUnderstood")
            message = hand.condition("Stalled")["message"]
            assert "spec.source: " in message
            assert "must have exactly one kind of source: coco" in message
            assert "Upgrade the operator" in message
            assert untouched(hand, job)
            hand.change(source={"lvis": None, "coco": {"annotations": "s3://datasets/instances.json"}})
            eventually("understood", lambda: hand.reason() == "Running")
    assert untouched(hand, job)


def test_an_operator_ahead_of_the_crd_goes_on_and_does_not_write_without_end(api_server, hand):
    with running(api_server, hand.namespace) as operator:
        job = training_that_runs(hand)
        with definition(hand, a_field_behind):
            eventually("pruned", lambda: "contact" not in hand.dataset()["spec"]["download"])
            hand.annotate("seen", "behind")
            looked_again(operator)
            assert (hand.reason(), untouched(hand, job)) == ("Running", True)
            settled = hand.dataset()["metadata"]["resourceVersion"]
            time.sleep(1)
            assert hand.dataset()["metadata"]["resourceVersion"] == settled
        eventually("the field is back", lambda: "contact" in hand.dataset()["spec"]["download"])
        hand.annotate("seen", "level again")
        looked_again(operator)
        assert (hand.reason(), untouched(hand, job)) == ("Running", True)


def test_jobs_of_another_version_come_with_the_next_step_and_leave_the_running_one_alone(api_server, hand):
    with running(api_server, hand.namespace):
        job = training_that_runs(hand)
    ahead = Config(patience=QUICK, workers=4, images=Images(jobs="negset/jobs:9.0.0", trainer="negset/trainer:9.0.0"))
    with running(api_server, hand.namespace, config=ahead) as operator:
        looked_again(operator)
        assert (hand.reason(), untouched(hand, job)) == ("Running", True)
        hand.job_succeeds(job["metadata"]["name"])
        mining = job["metadata"]["name"].replace("train", "mine")
        found = eventually("mining", lambda: hand.find("ray.io/v1", "RayJob", mining))
        head = found["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        assert head["image"] == "negset/trainer:9.0.0"
        hand.ray_status(mining, "Running", "RUNNING")
        eventually("running", lambda: hand.reason() == "Running")
    with running(api_server, hand.namespace) as operator:
        looked_again(operator)
        assert hand.find("ray.io/v1", "RayJob", mining)["metadata"]["uid"] == found["metadata"]["uid"]
        assert hand.reason() == "Running"


def test_an_operator_that_computes_its_digests_differently_and_its_rollback_leave_a_running_training_alone(api_server, hand, monkeypatch):
    with running(api_server, hand.namespace):
        job = training_that_runs(hand)
        hand.change(ray={"workers": 9})
        eventually("kept and marked", lambda: labels(hand, job)[names.LABEL_GENERATION] == "2")
    with monkeypatch.context() as another_version:
        another_version.setattr(reads, "VERSION", "2")
        another_version.setattr(naming, "spec_hash", lambda spec, *_: "f" + revision.revision(spec)[:7])
        another_version.setattr(observe, "revision", lambda spec, *_: "e" + revision.revision(spec)[:11])
        with running(api_server, hand.namespace) as operator:
            looked_again(operator)
            assert untouched(hand, job)
            assert hand.condition("Trained")["reason"] == "Running"
    with running(api_server, hand.namespace) as operator:
        looked_again(operator)
        assert untouched(hand, job)
        assert hand.reason() == "Running"


def test_what_0_1_0_has_made_goes_on_and_an_edit_stops_only_what_it_changes(api_server, hand):
    with running(api_server, hand.namespace):
        job = training_that_runs(hand)
    missing = dict.fromkeys((names.LABEL_GENERATION, names.LABEL_DIGEST, names.LABEL_PLACE))
    for kind, name in (("batch/v1", hand.jobs()), ("ray.io/v1", hand.ray_jobs())):
        for each in name:
            hand.merge(kind, "RayJob" if "ray" in kind else "Job", each, {"metadata": {"labels": missing}})
    with running(api_server, hand.namespace):
        eventually("adopted", lambda: labels(hand, job).get(names.LABEL_GENERATION) == "1")
        hand.change(ray={"workers": 9})
        eventually("kept", lambda: labels(hand, job)[names.LABEL_GENERATION] == "2")
        assert (hand.reason(), untouched(hand, job)) == ("Running", True)
        hand.change(training={"steps": 200})
        eventually("replaced", lambda: not untouched(hand, job))


def thumbnails(hand: Hand) -> int | None:
    return hand.dataset()["spec"]["download"].get("thumbnails")


def taken(hand: Hand, **spec: Any) -> bool:
    """Whether the API server serves the changed CRD already."""
    try:
        hand.change(**spec)
    except ApiException:
        return False
    return True


def seen(hand: Hand) -> bool:
    return hand.dataset()["status"]["observedGeneration"] == hand.dataset()["metadata"]["generation"]


def labels(hand: Hand, job: dict[str, Any]) -> dict[str, str]:
    return hand.find("batch/v1", "Job", job["metadata"]["name"])["metadata"]["labels"]


def training_that_runs(hand: Hand) -> dict[str, Any]:
    """A dataset whose first training round runs; returns its Job."""
    hand.create(**TRAINING)
    (check,) = eventually("the check", hand.jobs)
    hand.job_succeeds(check)
    (data,) = eventually("the data", hand.ray_jobs)
    hand.ray_succeeds(data)
    name = data.replace("data", "train-1")
    eventually("the training", lambda: hand.find("batch/v1", "Job", name))
    hand.job_runs(name)
    eventually("running", lambda: hand.reason() == "Running")
    return hand.find("batch/v1", "Job", name)


def untouched(hand: Hand, job: dict[str, Any]) -> bool:
    found = hand.find("batch/v1", "Job", job["metadata"]["name"])
    return found is not None and found["metadata"]["uid"] == job["metadata"]["uid"] and not found["metadata"].get("deletionTimestamp")


def looked_again(operator: Any) -> None:
    """Waits until an operator has looked at the dataset once more."""

    def count() -> float:
        return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count")

    before = count() if operator.synced else 0
    eventually("a reconcile", lambda: count() > before)
    time.sleep(0.5)
