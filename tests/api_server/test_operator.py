"""The operator's loop against a real API server.

The tests play the controllers of Ray and of Jobs.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from operators import AT_ONCE, QUICK, TRAINING, Cluster, eventually, first_ray_job, pods_of_job_end, running

from negset_operator.config import Config

RETRY = 'To retry: kubectl annotate negativedataset street negset.dev/retry="$(date)" --overwrite'


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def test_a_dataset_gets_its_children_and_says_so(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        name = first_ray_job(cluster)
        eventually("the status", lambda: cluster.reason() == "Starting")
    dataset = cluster.dataset()
    uid = dataset["metadata"]["uid"]
    assert cluster.condition("Ready")["message"] == f"Storing the data: RayJob {name} is starting."
    assert dataset["status"]["observedGeneration"] == 1
    assert dataset["status"]["url"] == f"s3://team-a/negatives/{cluster.namespace}/street/{dataset['status']['revision']}"
    for api_version, kind in (
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("ray.io/v1", "RayJob"),
    ):
        ours = [item for item in cluster.all(api_version, kind) if "negset.dev/dataset" in (item["metadata"].get("labels") or {})]
        assert [item["metadata"]["ownerReferences"][0]["uid"] for item in ours] == [uid], kind
    events = [item["reason"] for item in cluster.all("v1", "Event")]
    assert events == ["Starting"]


def test_it_goes_through_every_stage_to_ready_and_makes_each_child_once(api_server, cluster):
    with running(api_server, cluster.namespace) as operator:
        cluster.create(**AT_ONCE)
        (check,) = eventually("the check", cluster.jobs)
        child = check.removesuffix("check")
        assert cluster.ray_jobs() == [], "nothing is downloaded before the configuration is checked"
        cluster.job_succeeds(check)
        (data,) = eventually("the data", cluster.ray_jobs)
        cluster.ray_status(data, "Running", "RUNNING")
        eventually("running", lambda: cluster.reason() == "Running")
        cluster.ray_succeeds(data)
        beside = {f"{child}train-none", f"{child}train-1"}
        eventually("the first round, and one without negatives", lambda: beside <= set(cluster.jobs()))
        cluster.job_succeeds(f"{child}train-1")
        eventually("mining", lambda: f"{child}mine-1" in cluster.ray_jobs())
        cluster.ray_succeeds(f"{child}mine-1")
        eventually("random negatives", lambda: f"{child}train-random-2" in cluster.jobs())
        cluster.job_succeeds(f"{child}train-random-2")
        cluster.job_succeeds(f"{child}train-none")
        eventually("the last round", lambda: f"{child}train-2" in cluster.jobs())
        cluster.job_succeeds(f"{child}train-2")
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        counted = {
            kind: operator.metrics.registry.get_sample_value("negset_children_created_total", {"kind": kind}) for kind in ("RayJob", "Job")
        }
    status = cluster.dataset()["status"]
    assert {entry["type"]: entry["status"] for entry in status["conditions"]} == dict.fromkeys(
        ("Ready", "Checked", "DataStored", "Trained", "Mined", "Reported"), "True"
    )
    assert status["reportUrl"] == f"{status['url']}/report/index.html"
    assert status["stage"] == "Ready"
    assert cluster.ray_jobs() == [f"{child}data", f"{child}mine-1"]
    assert cluster.jobs() == [f"{child}{role}" for role in ("check", "train-1", "train-2", "train-none", "train-random-2")]
    assert counted == {"RayJob": 2.0, "Job": 5.0}


def test_a_configuration_that_cannot_be_trained_stalls_before_anything_is_downloaded(api_server, cluster, controllers):
    said = "negset: spec.training.pipelineConfig: expected a model that TensorFlow 2 trains, got ssd_mobilenet_v1"
    with running(api_server, cluster.namespace):
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        pods_of_job_end(cluster, check, code=2, said=f"a warning\n{said}\n")
        eventually("stalled", lambda: cluster.reason() == "InputRefused")
        condition = cluster.condition("Checked")
        assert (condition["status"], condition["reason"]) == ("False", "InputRefused")
        assert condition["message"] == f"Job {check} reports that its input is invalid: {said}. {RETRY}"
        assert cluster.condition("Stalled")["status"] == "True"
        assert (cluster.ray_jobs(), cluster.jobs()) == ([], [check])


def test_of_many_datasets_at_once_each_check_comes_before_its_account_and_still_gets_its_pod(api_server, cluster, controllers):
    everybody = [f"street-{number}" for number in range(30)]
    with running(api_server, cluster.namespace):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: cluster.create(name, **TRAINING), everybody))
        eventually(
            "each check has its pod",
            lambda: {pod["metadata"]["labels"]["negset.dev/dataset"] for pod in cluster.all("v1", "Pod")} == set(everybody),
        )
        eventually("each status", lambda: {cluster.condition("Checked", name).get("reason") for name in everybody} == {"Starting"})


def test_after_ready_nothing_is_written(api_server, cluster):
    with running(api_server, cluster.namespace, config=Config(patience=QUICK, resync_seconds=1)) as operator:
        cluster.create()
        cluster.ray_succeeds(first_ray_job(cluster))
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        settled = _versions(cluster)
        before = _reconciles(operator)
        eventually("two resyncs", lambda: _reconciles(operator) >= before + 2)
        assert _versions(cluster) == settled


def test_ready_is_evidence_for_one_place_and_outlives_the_job_that_gave_it(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        name = first_ray_job(cluster)
        cluster.ray_succeeds(name)
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        url = cluster.dataset()["status"]["url"]
        assert cluster.dataset()["status"]["completed"]["url"] == url
        cluster.remove("ray.io/v1", "RayJob", name)
        cluster.annotate("seen", "without its job")
        time.sleep(2)
        assert (cluster.ray_jobs(), cluster.reason()) == ([], "Succeeded")
        cluster.change(output={"url": "s3://team-b/negatives"})
        (moved,) = eventually("a job that writes to the new place", cluster.ray_jobs)
        eventually("not ready", lambda: cluster.reason() == "Starting")
        assert not cluster.dataset()["status"].get("reportUrl")
        assert cluster.dataset()["status"]["url"] == url.replace("team-a/", "team-b/", 1)
        cluster.change(output={"url": "s3://team-a/negatives"})
        eventually("ready again, since there it is", lambda: cluster.reason() == "Succeeded")
        assert cluster.dataset()["status"]["reportUrl"] == f"{url}/report/index.html"
    with running(api_server, cluster.namespace) as another:
        eventually("a reconcile", lambda: _reconciles(another) >= 1)
        time.sleep(0.5)
        assert set(cluster.ray_jobs()) <= {moved}


def test_a_second_operator_finds_nothing_to_do(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        first_ray_job(cluster)
        eventually("the status", lambda: cluster.reason() == "Starting")
    settled = _versions(cluster)
    with running(api_server, cluster.namespace) as operator:
        eventually("a reconcile", lambda: _reconciles(operator) >= 1)
        time.sleep(0.3)
        assert _versions(cluster) == settled


def test_deleted_children_are_created_again(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        name = first_ray_job(cluster)
        for api_version, kind, deleted in (
            ("ray.io/v1", "RayJob", name),
            ("v1", "ServiceAccount", "street-negset"),
            ("v1", "ConfigMap", name.removesuffix("-data")),
            ("rbac.authorization.k8s.io/v1", "Role", "street-negset"),
        ):
            before = eventually(kind, lambda k=(api_version, kind, deleted): cluster.find(*k))
            cluster.remove(api_version, kind, deleted)
            after = eventually(f"{kind} again", lambda k=(api_version, kind, deleted): cluster.find(*k))
            assert before["metadata"]["uid"] != after["metadata"]["uid"]


def test_edited_supporting_objects_are_corrected_while_a_child_works(api_server, cluster):
    rbac = "rbac.authorization.k8s.io/v1"
    with running(api_server, cluster.namespace):
        cluster.create()
        first_ray_job(cluster)
        eventually("the last supporting_object", lambda: cluster.find(rbac, "RoleBinding", "street-negset"))
        before = {
            kind: cluster.find(api, kind, "street-negset") for api, kind in ((rbac, "Role"), ("networking.k8s.io/v1", "NetworkPolicy"))
        }
        cluster.merge(rbac, "Role", "street-negset", {"rules": []})
        cluster.merge("networking.k8s.io/v1", "NetworkPolicy", "street-negset", {"spec": {"egress": [{}]}})
        eventually("its rules", lambda: cluster.find(rbac, "Role", "street-negset")["rules"] == before["Role"]["rules"])
        policy = before["NetworkPolicy"]["spec"]
        eventually("its NetworkPolicy", lambda: cluster.find("networking.k8s.io/v1", "NetworkPolicy", "street-negset")["spec"] == policy)


@pytest.mark.parametrize(("api_version", "kind"), [("v1", "ConfigMap"), ("v1", "ServiceAccount"), ("ray.io/v1", "RayJob")])
def test_a_foreign_object_of_that_name_is_not_changed_and_is_named(api_server, cluster, api_version, kind):
    with running(api_server, cluster.namespace):
        cluster.create("probe")
        run = first_ray_job(cluster).split("-")[1]
    name = {"ConfigMap": f"street-{run}", "ServiceAccount": "street-negset", "RayJob": f"street-{run}-data"}[kind]
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": cluster.namespace}}
    theirs = cluster.kind(api_version, kind).create(body=body, namespace=cluster.namespace).to_dict()
    with running(api_server, cluster.namespace):
        cluster.create()
        eventually("the condition", lambda: cluster.reason() == "ForeignChild")
        assert cluster.condition("Stalled")["message"].startswith(
            f"{kind} {name} already exists and does not belong to this dataset, so the operator does not change it."
        )
    assert cluster.find(api_version, kind, name)["metadata"]["resourceVersion"] == theirs["metadata"]["resourceVersion"]


def test_a_status_edited_by_hand_is_put_right(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        first_ray_job(cluster)
        eventually("the status", lambda: cluster.reason() == "Starting")
        lie = {"type": "Ready", "status": "True", "reason": "Lie", "message": "x", "lastTransitionTime": "2020-01-01T00:00:00Z"}
        not_wanted = {**lie, "type": "Stalled"}
        cluster.merge(
            "negset.dev/v1alpha1", "NegativeDataset", "street", {"status": {"stage": "Ready", "conditions": [lie, not_wanted]}}, "status"
        )
        eventually("the truth", lambda: cluster.reason() == "Starting" and not cluster.condition("Stalled"))
        assert cluster.dataset()["status"]["stage"] == "Storing the data"
        assert len(cluster.ray_jobs()) == 1


def test_the_jobs_part_of_the_status_is_not_touched_until_the_revision_changes(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        name = first_ray_job(cluster)
        report = {"images": {"planned": 100, "stored": 40, "failed": 1}, "progress": {"percent": 41}}
        cluster.merge("negset.dev/v1alpha1", "NegativeDataset", "street", {"status": report}, "status")
        cluster.ray_status(name, "Running", "RUNNING")
        eventually("running", lambda: cluster.reason() == "Running")
        assert cluster.dataset()["status"]["images"]["stored"] == 40
        cluster.change(selection={"count": 200})
        eventually("forgotten", lambda: not (cluster.dataset()["status"].get("images") or {}).get("stored"))


def test_a_changed_spec_gets_children_of_its_own_and_the_old_ones_go(api_server, cluster, controllers):
    with running(api_server, cluster.namespace):
        cluster.create()
        before = first_ray_job(cluster)
        cluster.change(selection={"count": 200})
        after = eventually("the new child", lambda: [name for name in cluster.ray_jobs() if name != before])[0]
        eventually("the old one deleted", lambda: cluster.ray_jobs() == [after])
        eventually("its manifest deleted", lambda: cluster.find("v1", "ConfigMap", before.removesuffix("-data")) is None)
        eventually("seen", lambda: cluster.dataset()["status"]["observedGeneration"] == 2)


def test_more_training_steps_leave_a_running_download_alone_and_a_short_job_copies_it(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        cluster.job_succeeds(check)
        name = first_ray_job(cluster)
        cluster.ray_status(name, "Running", "RUNNING")
        eventually("running", lambda: cluster.reason() == "Running")
        before = cluster.find("ray.io/v1", "RayJob", name)["metadata"]
        cluster.change(training={"steps": 200})
        eventually("seen", lambda: cluster.dataset()["status"]["revision"] != before["labels"]["negset.dev/revision"])
        assert cluster.find("ray.io/v1", "RayJob", name)["metadata"]["uid"] == before["uid"]
        assert cluster.ray_jobs() == [name]
        assert cluster.condition("DataStored")["message"] == f"Storing the data: RayJob {name} is running."
        cluster.ray_succeeds(name)
        eventually("the check of the new steps", lambda: len(cluster.jobs()) == 2)
        cluster.job_succeeds(next(job for job in cluster.jobs() if job != check))
        (copy,) = eventually("a job for the new revision", lambda: [job for job in cluster.ray_jobs() if job != name])
        labels = cluster.find("ray.io/v1", "RayJob", copy)["metadata"]["labels"]
        assert labels["negset.dev/revision"] == cluster.dataset()["status"]["revision"]


def test_a_wrong_spec_stalls_and_makes_nothing(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create(output={"url": "/data/negatives"})
        eventually("stalled", lambda: cluster.condition("Stalled").get("status") == "True")
        assert cluster.condition("Ready")["message"].startswith('spec.output.url: Invalid value: "/data/negatives": local paths')
        assert cluster.ray_jobs() == []
        cluster.change(output={"url": "s3://team-a/negatives"})
        first_ray_job(cluster)
        eventually("going on", lambda: cluster.condition("Stalled") == {})


def test_a_failed_data_job_is_tried_again_and_a_wrong_input_is_not(api_server, cluster):
    with running(api_server, cluster.namespace):
        cluster.create()
        name = first_ray_job(cluster)
        log = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\nstarting\nnegset: {}\n"
        cluster.ray_status(
            name, "Failed", "FAILED", reason="AppFailed", message=log.format(1, "the bucket does not exist"), endTime="2026-01-01T00:00:00Z"
        )
        eventually("the second attempt", lambda: cluster.ray_jobs() == [name, f"{name}-a2"])
        cluster.ray_status(f"{name}-a2", "Failed", "FAILED", reason="AppFailed", message=log.format(2, "unknown class cars"))
        eventually("stalled", lambda: cluster.reason() == "InputRefused")
        assert cluster.condition("Stalled")["message"] == (
            f"RayJob {name}-a2 reports that its input is invalid: negset: unknown class cars. {RETRY}"
        )
        assert cluster.ray_jobs() == [name, f"{name}-a2"]


def _versions(cluster: Cluster) -> dict[str, str]:
    kinds = (
        ("negset.dev/v1alpha1", "NegativeDataset"),
        ("ray.io/v1", "RayJob"),
        ("v1", "ConfigMap"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("v1", "Event"),
    )
    return {
        f"{kind} {item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for api_version, kind in kinds
        for item in cluster.all(api_version, kind)
    }


def _reconciles(operator) -> float:
    return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count")
