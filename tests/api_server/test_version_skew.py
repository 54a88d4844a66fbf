"""In every upgrade and rollback, the CRD, the operator and the jobs differ for a while.

Running jobs must continue.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes.client import ApiException
from operators import QUICK, TRAINING, Cluster, eventually, running
from testbed import objects

from negset_api import names, reads, revision
from negset_api.schema import custom_resource_definition
from negset_operator import naming, observe
from negset_operator.config import Config, Images

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


@contextlib.contextmanager
def definition(cluster: Cluster, change: Change) -> Iterator[None]:
    """The API server serves a changed CRD while the context lasts.

    `change` gets the fields of the schema of the whole object.
    """
    changed = custom_resource_definition()
    change(changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"])
    objects.apply(cluster.dynamic, [changed])
    try:
        yield
    finally:
        objects.apply(cluster.dynamic, [custom_resource_definition()])


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
    """Remove this field of the spec and these of the status, as in an earlier release."""
    del fields["spec"]["properties"]["download"]["properties"]["contact"]
    del fields["status"]["properties"]["reportUrl"]
    del fields["status"]["properties"]["completed"]
    del fields["status"]["properties"]["runs"]


def test_a_crd_one_field_ahead_and_its_rollback_leave_a_running_training_alone(api_server, cluster):
    with running(api_server, cluster.namespace):
        job = training_that_runs(cluster)
        with definition(cluster, one_field_ahead):
            eventually("the new default", lambda: thumbnails(cluster) == 64)
            cluster.annotate("seen", "default")
            eventually("still running", lambda: cluster.reason() == "Running")
            cluster.change(download={"thumbnails": 32})
            eventually("seen", lambda: seen(cluster))
            assert cluster.reason() == "Running"
            assert untouched(cluster, job)
            with running(api_server, cluster.namespace) as another:
                looked_again(another)
                assert untouched(cluster, job)
        eventually("pruned", lambda: thumbnails(cluster) is None)
        cluster.annotate("seen", "rollback")
        cluster.job_succeeds(job["metadata"]["name"])
        eventually("the next step of the same run", lambda: job["metadata"]["name"].replace("train", "mine") in cluster.ray_jobs())
        assert len(cluster.jobs()) == 2


def test_a_field_that_the_operator_does_not_know_reaches_the_jobs_which_write_where_the_operator_says(api_server, cluster):
    with definition(cluster, one_field_ahead):
        cluster.create()
        eventually("the new default", lambda: thumbnails(cluster) == 64)
        with running(api_server, cluster.namespace):
            (name,) = eventually("the data", cluster.ray_jobs)
            eventually("the status", lambda: cluster.reason() == "Starting")
        manifest = json.loads(cluster.find("v1", "ConfigMap", name.removesuffix("-data"))["data"]["dataset.yaml"])
    assert manifest["spec"]["download"]["thumbnails"] == 64
    (run,) = cluster.dataset()["status"]["runs"]
    assert manifest["metadata"]["annotations"] == {
        names.LABEL_REVISION: cluster.dataset()["status"]["revision"],
        names.LABEL_SPEC_HASH: run,
    }


def test_a_value_that_the_operator_does_not_know_stops_nothing_and_is_said(api_server, cluster):
    with running(api_server, cluster.namespace):
        job = training_that_runs(cluster)
        with definition(cluster, one_choice_ahead):
            eventually("taken", lambda: taken(cluster, selection={"strategy": "Clustered"}))
            eventually("said", lambda: cluster.reason() == "NotUnderstood")
            message = cluster.condition("Stalled")["message"]
            assert 'spec.selection.strategy: Unsupported value: "Clustered"' in message
            assert f"Not stopped: Job {job['metadata']['name']}." in message
            assert "Upgrade the operator" in message
            assert untouched(cluster, job)
            cluster.change(suspend=True)
            eventually(
                "suspended all the same", lambda: cluster.find("batch/v1", "Job", job["metadata"]["name"])["spec"]["suspend"] is True
            )
            cluster.change(suspend=False, selection={"strategy": "Stratified"})
            eventually("resumed", lambda: cluster.find("batch/v1", "Job", job["metadata"]["name"])["spec"]["suspend"] is False)
    assert untouched(cluster, job)


def test_another_kind_of_source_can_be_added_and_an_earlier_operator_says_that_it_does_not_know_it(api_server, cluster):
    with running(api_server, cluster.namespace):
        job = training_that_runs(cluster)
        with definition(cluster, one_source_ahead):
            lvis = {"coco": None, "lvis": {"annotations": "s3://datasets/lvis.json"}}
            eventually("taken", lambda: taken(cluster, source=lvis))
            eventually("said", lambda: cluster.reason() == "NotUnderstood")
            message = cluster.condition("Stalled")["message"]
            assert "spec.source: " in message
            assert "must have exactly one kind of source: coco" in message
            assert "Upgrade the operator" in message
            assert untouched(cluster, job)
            cluster.change(source={"lvis": None, "coco": {"annotations": "s3://datasets/instances.json"}})
            eventually("understood", lambda: cluster.reason() == "Running")
    assert untouched(cluster, job)


def test_an_operator_ahead_of_the_crd_continues_and_does_not_write_without_end(api_server, cluster):
    with running(api_server, cluster.namespace) as operator:
        job = training_that_runs(cluster)
        with definition(cluster, a_field_behind):
            eventually("pruned", lambda: "contact" not in cluster.dataset()["spec"]["download"])
            cluster.annotate("seen", "behind")
            looked_again(operator)
            assert (cluster.reason(), untouched(cluster, job)) == ("Running", True)
            settled = cluster.dataset()["metadata"]["resourceVersion"]
            time.sleep(1)
            assert cluster.dataset()["metadata"]["resourceVersion"] == settled
        eventually("the field is back", lambda: "contact" in cluster.dataset()["spec"]["download"])
        cluster.annotate("seen", "level again")
        looked_again(operator)
        assert (cluster.reason(), untouched(cluster, job)) == ("Running", True)


def test_jobs_of_another_version_come_with_the_next_step_and_leave_the_running_one_alone(api_server, cluster):
    with running(api_server, cluster.namespace):
        job = training_that_runs(cluster)
    ahead = Config(patience=QUICK, workers=4, images=Images(jobs="negset/jobs:9.0.0", trainer="negset/trainer:9.0.0"))
    with running(api_server, cluster.namespace, config=ahead) as operator:
        looked_again(operator)
        assert (cluster.reason(), untouched(cluster, job)) == ("Running", True)
        cluster.job_succeeds(job["metadata"]["name"])
        mining = job["metadata"]["name"].replace("train", "mine")
        found = eventually("mining", lambda: cluster.find("ray.io/v1", "RayJob", mining))
        head = found["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
        assert head["image"] == "negset/trainer:9.0.0"
        cluster.ray_status(mining, "Running", "RUNNING")
        eventually("running", lambda: cluster.reason() == "Running")
    with running(api_server, cluster.namespace) as operator:
        looked_again(operator)
        assert cluster.find("ray.io/v1", "RayJob", mining)["metadata"]["uid"] == found["metadata"]["uid"]
        assert cluster.reason() == "Running"


def test_an_operator_that_computes_its_digests_differently_and_its_rollback_leave_a_running_training_alone(
    api_server, cluster, monkeypatch
):
    with running(api_server, cluster.namespace):
        job = training_that_runs(cluster)
        cluster.change(ray={"workers": 9})
        eventually("kept and marked", lambda: labels(cluster, job)[names.LABEL_GENERATION] == "2")
    with monkeypatch.context() as another_version:
        another_version.setattr(reads, "VERSION", "2")
        another_version.setattr(naming, "spec_hash", lambda spec, *_: "f" + revision.revision(spec)[:7])
        another_version.setattr(observe, "revision", lambda spec, *_: "e" + revision.revision(spec)[:11])
        with running(api_server, cluster.namespace) as operator:
            looked_again(operator)
            assert untouched(cluster, job)
            assert cluster.condition("Trained")["reason"] == "Running"
    with running(api_server, cluster.namespace) as operator:
        looked_again(operator)
        assert untouched(cluster, job)
        assert cluster.reason() == "Running"


def test_children_of_0_1_0_continue_and_an_edit_stops_only_what_it_changes(api_server, cluster):
    with running(api_server, cluster.namespace):
        job = training_that_runs(cluster)
    missing = dict.fromkeys((names.LABEL_GENERATION, names.LABEL_DIGEST, names.LABEL_PLACE))
    for kind, name in (("batch/v1", cluster.jobs()), ("ray.io/v1", cluster.ray_jobs())):
        for each in name:
            cluster.merge(kind, "RayJob" if "ray" in kind else "Job", each, {"metadata": {"labels": missing}})
    with running(api_server, cluster.namespace):
        eventually("adopted", lambda: labels(cluster, job).get(names.LABEL_GENERATION) == "1")
        cluster.change(ray={"workers": 9})
        eventually("kept", lambda: labels(cluster, job)[names.LABEL_GENERATION] == "2")
        assert (cluster.reason(), untouched(cluster, job)) == ("Running", True)
        cluster.change(training={"steps": 200})
        eventually("replaced", lambda: not untouched(cluster, job))


def thumbnails(cluster: Cluster) -> int | None:
    return cluster.dataset()["spec"]["download"].get("thumbnails")


def taken(cluster: Cluster, **spec: Any) -> bool:
    """Return True if the API server serves the changed CRD."""
    try:
        cluster.change(**spec)
    except ApiException:
        return False
    return True


def seen(cluster: Cluster) -> bool:
    return cluster.dataset()["status"]["observedGeneration"] == cluster.dataset()["metadata"]["generation"]


def labels(cluster: Cluster, job: dict[str, Any]) -> dict[str, str]:
    return cluster.find("batch/v1", "Job", job["metadata"]["name"])["metadata"]["labels"]


def training_that_runs(cluster: Cluster) -> dict[str, Any]:
    """Create a dataset whose first training round runs, and return its Job."""
    cluster.create(**TRAINING)
    (check,) = eventually("the check", cluster.jobs)
    cluster.job_succeeds(check)
    (data,) = eventually("the data", cluster.ray_jobs)
    cluster.ray_succeeds(data)
    name = data.replace("data", "train-1")
    eventually("the training", lambda: cluster.find("batch/v1", "Job", name))
    cluster.job_runs(name)
    eventually("running", lambda: cluster.reason() == "Running")
    return cluster.find("batch/v1", "Job", name)


def untouched(cluster: Cluster, job: dict[str, Any]) -> bool:
    found = cluster.find("batch/v1", "Job", job["metadata"]["name"])
    return found is not None and found["metadata"]["uid"] == job["metadata"]["uid"] and not found["metadata"].get("deletionTimestamp")


def looked_again(operator: Any) -> None:
    """Wait until an operator has reconciled the dataset again."""

    def count() -> float:
        return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count")

    before = count() if operator.synced else 0
    eventually("a reconcile", lambda: count() > before)
    time.sleep(0.5)
