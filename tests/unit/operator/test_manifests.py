"""What the builders put into objects, and what they leave out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from building import DATA_ONLY, TRAINING, Scene, merged

from negset_api import names, validation
from negset_operator.config import Config, Networks
from negset_operator.decide import subject_of
from negset_operator.manifests import companions, job, ray_job
from negset_operator.manifests.subject import Subject


def subject(spec: dict[str, Any], config: Config | None = None) -> Subject:
    facts = Scene(spec).facts()
    return subject_of(facts, facts.spec, config or Config())


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    if manifest["kind"] == "Job":
        templates = [manifest["spec"]["template"]]
    else:
        cluster = manifest["spec"]["rayClusterSpec"]
        templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    return [container for template in templates for container in template["spec"]["containers"]]


def all_jobs(spec: dict[str, Any], config: Config | None = None) -> list[dict[str, Any]]:
    built = subject(spec, config)
    return [
        ray_job.data(built, "c", "data"),
        ray_job.mine(built, "c", "mine-1", 1),
        job.train(built, "c", "train-1", 1),
        job.delete(built, "c", "delete"),
    ]


def test_each_job_runs_its_stage():
    data, mine, train, delete = all_jobs(TRAINING, Config(networks=Networks(allowed=("10.0.0.0/8",))))
    tail = "--file /etc/negset/dataset.yaml --cluster --allow-address 10.0.0.0/8"
    assert data["spec"]["entrypoint"] == f"negset job data {tail}"
    assert mine["spec"]["entrypoint"] == f"negset job mine --round 1 {tail}"
    assert " ".join(containers(train)[0]["command"]) == f"negset job train --round 1 {tail}"
    assert " ".join(containers(delete)[0]["command"]) == f"negset job delete {tail}"


def test_only_what_trains_or_scores_carries_tensorflow():
    data, mine, train, delete = all_jobs(TRAINING)
    images = Config().images
    assert [{container["image"] for container in containers(each)} for each in (data, mine, train, delete)] == [
        {images.jobs},
        {images.trainer},
        {images.trainer},
        {images.jobs},
    ]


def test_the_secret_becomes_environment_variables_of_every_container_and_is_named_nowhere_else():
    spec = merged(TRAINING, {"output": {"secretName": "s3-credentials"}})
    for manifest in all_jobs(spec):
        assert all(container["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}] for container in containers(manifest))
    for manifest in all_jobs(TRAINING):
        assert all("envFrom" not in container for container in containers(manifest))


def test_every_container_has_requests_and_limits_and_a_read_only_root():
    for manifest in all_jobs(TRAINING):
        for container in containers(manifest):
            assert set(container["resources"]) == {"requests", "limits"}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_only_the_pods_that_report_progress_hold_a_token():
    data, _, train, delete = all_jobs(TRAINING)
    cluster = data["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert cluster["workerGroupSpecs"][0]["template"]["spec"]["automountServiceAccountToken"] is False
    assert train["spec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert delete["spec"]["template"]["spec"]["automountServiceAccountToken"] is False


def test_gpus_are_requested_for_training_only():
    data, mine, train, _ = all_jobs(merged(TRAINING, {"training": {"gpusPerWorker": 2}}))
    assert containers(train)[0]["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert containers(train)[0]["resources"]["requests"]["nvidia.com/gpu"] == "2"
    assert all("nvidia.com/gpu" not in container["resources"]["limits"] for each in (data, mine) for container in containers(each))


def test_workers_that_train_together_know_each_other():
    _, _, train, _ = all_jobs(merged(TRAINING, {"training": {"workers": 3}}))
    index, config = containers(train)[0]["env"][-2:]
    assert index["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    # Kubernetes replaces $(JOB_INDEX) by the pod's index before the container sees it.
    assert json.loads(config["value"].replace("$(JOB_INDEX)", "1")) == {
        "cluster": {"worker": ["c-0.c:2222", "c-1.c:2222", "c-2.c:2222"]},
        "task": {"type": "worker", "index": 1},
    }
    spec = train["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["template"]["spec"]["subdomain"] == "c"


def test_a_single_worker_needs_no_cluster():
    _, _, train, _ = all_jobs(TRAINING)
    assert "TF_CONFIG" not in {variable["name"] for variable in containers(train)[0]["env"]}
    assert "subdomain" not in train["spec"]["template"]["spec"]


def test_an_eviction_is_no_failure_and_a_wrong_input_fails_at_once():
    _, _, train, _ = all_jobs(TRAINING)
    fail, ignore = train["spec"]["podFailurePolicy"]["rules"]
    assert fail == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [2]}}
    assert ignore == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_the_queue_is_named_on_every_job_but_the_deleting_one():
    labels = [manifest["metadata"]["labels"] for manifest in all_jobs(merged(TRAINING, {"queueName": "team-a"}))]
    assert [label.get(names.LABEL_QUEUE) for label in labels] == ["team-a", "team-a", "team-a", None]


def test_a_ray_job_is_as_kueue_wants_it():
    data, *_ = all_jobs(TRAINING)
    assert data["spec"]["shutdownAfterJobFinishes"] is True
    assert data["spec"]["ttlSecondsAfterFinished"] == 0
    assert "deletionStrategy" not in data["spec"]


def test_ray_gets_the_workers_asked_for():
    data = ray_job.data(subject(merged(DATA_ONLY, {"ray": {"workers": 8}})), "c", "data")
    (group,) = data["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert {group[name] for name in ("replicas", "minReplicas", "maxReplicas")} == {8}


def test_the_users_pipeline_is_mounted_where_the_job_looks_for_it():
    pipeline = {"preset": None, "configMap": "my-pipeline"}
    spec = merged(TRAINING, {"training": {"pipelineConfig": pipeline}})
    del spec["training"]["pipelineConfig"]["preset"]
    _, _, train, _ = all_jobs(spec)
    assert {"name": names.PIPELINE_CONFIG_VARIABLE, "value": names.PIPELINE_CONFIG_FILE} in containers(train)[0]["env"]
    volumes = {volume["name"]: volume for volume in train["spec"]["template"]["spec"]["volumes"]}
    assert volumes["pipeline"]["configMap"] == {"name": "my-pipeline", "items": [{"key": "pipeline.config", "path": "pipeline.config"}]}


def test_the_mounted_manifest_is_what_was_asked_for():
    scene = Scene(TRAINING)
    facts = scene.facts()
    (text,) = companions.config_map(subject_of(facts, facts.spec, Config()))["data"].values()
    assert validation.parse(json.loads(text)).spec == facts.spec


def test_suspending_changes_nothing_in_the_manifest_that_a_run_has_mounted():
    assert companions.config_map(subject(DATA_ONLY)) == companions.config_map(subject(merged(DATA_ONLY, {"suspend": True})))


def test_the_jobs_may_patch_the_status_of_their_object_and_nothing_else():
    (rule,) = companions.role(subject(DATA_ONLY))["rules"]
    assert rule == {
        "apiGroups": ["negset.dev"],
        "resources": ["negativedatasets/status"],
        "resourceNames": ["street"],
        "verbs": ["get", "patch"],
    }


def test_everything_belongs_to_its_data_set_without_blocking_its_deletion():
    built = subject(TRAINING)
    for manifest in (*companions.all_of(built), companions.headless_service(built, "c", "train-1"), *all_jobs(TRAINING)):
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"], owner["blockOwnerDeletion"]) == (
            "NegativeDataset",
            "street",
            True,
            False,
        )
        assert manifest["metadata"]["namespace"] == "team-a"
        assert manifest["metadata"]["labels"][names.LABEL_DATASET] == "street"


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"])
def test_the_fence_keeps_private_addresses_out_of_reach(cidr):
    policy = companions.network_policy(subject(DATA_ONLY))
    public = policy["spec"]["egress"][0]["to"][1]["ipBlock"]
    assert public["cidr"] == "0.0.0.0/0"
    assert cidr in public["except"]


def test_builders_give_a_new_object_each_time():
    built = subject(TRAINING)
    first, second = companions.all_of(built), companions.all_of(built)
    assert first == second
    first[0]["metadata"]["labels"]["changed"] = "yes"
    assert "changed" not in companions.all_of(built)[0]["metadata"]["labels"]
