"""The operator's loop against a real API server.

The tests play the controllers of Ray and of Jobs.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from operators import AT_ONCE, QUICK, TRAINING, Hand, eventually, first_ray_job, pods_of_job_end, running

from negset_operator.config import Config

RETRY = 'To retry: kubectl annotate negativedataset street negset.dev/retry="$(date)" --overwrite'


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def test_a_dataset_gets_its_children_and_says_so(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        name = first_ray_job(hand)
        eventually("the status", lambda: hand.reason() == "Starting")
    dataset = hand.dataset()
    uid = dataset["metadata"]["uid"]
    assert hand.condition("Ready")["message"] == f"Storing the data: RayJob {name} is starting."
    assert dataset["status"]["observedGeneration"] == 1
    assert dataset["status"]["url"] == f"s3://team-a/negatives/{hand.namespace}/street/{dataset['status']['revision']}"
    for api_version, kind in (
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("ray.io/v1", "RayJob"),
    ):
        ours = [item for item in hand.all(api_version, kind) if "negset.dev/dataset" in (item["metadata"].get("labels") or {})]
        assert [item["metadata"]["ownerReferences"][0]["uid"] for item in ours] == [uid], kind
    events = [item["reason"] for item in hand.all("v1", "Event")]
    assert events == ["Starting"]


def test_it_goes_through_every_stage_to_ready_and_makes_each_child_once(api_server, hand):
    with running(api_server, hand.namespace) as operator:
        hand.create(**AT_ONCE)
        (check,) = eventually("the check", hand.jobs)
        child = check.removesuffix("check")
        assert hand.ray_jobs() == [], "nothing is downloaded before the configuration is checked"
        hand.job_succeeds(check)
        (data,) = eventually("the data", hand.ray_jobs)
        hand.ray_status(data, "Running", "RUNNING")
        eventually("running", lambda: hand.reason() == "Running")
        hand.ray_succeeds(data)
        beside = {f"{child}train-none", f"{child}train-1"}
        eventually("the first round, and one without negatives", lambda: beside <= set(hand.jobs()))
        hand.job_succeeds(f"{child}train-1")
        eventually("mining", lambda: f"{child}mine-1" in hand.ray_jobs())
        hand.ray_succeeds(f"{child}mine-1")
        eventually("random negatives", lambda: f"{child}train-random-2" in hand.jobs())
        hand.job_succeeds(f"{child}train-random-2")
        hand.job_succeeds(f"{child}train-none")
        eventually("the last round", lambda: f"{child}train-2" in hand.jobs())
        hand.job_succeeds(f"{child}train-2")
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        counted = {
            kind: operator.metrics.registry.get_sample_value("negset_children_created_total", {"kind": kind}) for kind in ("RayJob", "Job")
        }
    status = hand.dataset()["status"]
    assert {entry["type"]: entry["status"] for entry in status["conditions"]} == dict.fromkeys(
        ("Ready", "Checked", "DataStored", "Trained", "Mined", "Reported"), "True"
    )
    assert status["reportUrl"] == f"{status['url']}/report/index.html"
    assert status["stage"] == "Ready"
    assert hand.ray_jobs() == [f"{child}data", f"{child}mine-1"]
    assert hand.jobs() == [f"{child}{role}" for role in ("check", "train-1", "train-2", "train-none", "train-random-2")]
    assert counted == {"RayJob": 2.0, "Job": 5.0}


def test_a_configuration_that_cannot_be_trained_stalls_before_anything_is_downloaded(api_server, hand, controllers):
    said = "negset: spec.training.pipelineConfig: expected a model that TensorFlow 2 trains, got ssd_mobilenet_v1"
    with running(api_server, hand.namespace):
        hand.create(**TRAINING)
        (check,) = eventually("the check", hand.jobs)
        pods_of_job_end(hand, check, code=2, said=f"a warning\n{said}\n")
        eventually("stalled", lambda: hand.reason() == "InputRefused")
        condition = hand.condition("Checked")
        assert (condition["status"], condition["reason"]) == ("False", "InputRefused")
        assert condition["message"] == f"Job {check} reports that its input is invalid: {said}. {RETRY}"
        assert hand.condition("Stalled")["status"] == "True"
        assert (hand.ray_jobs(), hand.jobs()) == ([], [check])


def test_of_many_datasets_at_once_each_check_comes_before_its_account_and_still_gets_its_pod(api_server, hand, controllers):
    everybody = [f"street-{number}" for number in range(30)]
    with running(api_server, hand.namespace):
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda name: hand.create(name, **TRAINING), everybody))
        eventually(
            "each check has its pod",
            lambda: {pod["metadata"]["labels"]["negset.dev/dataset"] for pod in hand.all("v1", "Pod")} == set(everybody),
        )
        eventually("each says so", lambda: {hand.condition("Checked", name).get("reason") for name in everybody} == {"Starting"})


def test_after_ready_nothing_is_written(api_server, hand):
    with running(api_server, hand.namespace, config=Config(patience=QUICK, resync_seconds=1)) as operator:
        hand.create()
        hand.ray_succeeds(first_ray_job(hand))
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        settled = _versions(hand)
        before = _reconciles(operator)
        eventually("two resyncs", lambda: _reconciles(operator) >= before + 2)
        assert _versions(hand) == settled


def test_ready_is_evidence_for_one_place_and_outlives_the_job_that_gave_it(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        name = first_ray_job(hand)
        hand.ray_succeeds(name)
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        url = hand.dataset()["status"]["url"]
        assert hand.dataset()["status"]["completed"]["url"] == url
        hand.remove("ray.io/v1", "RayJob", name)
        hand.annotate("seen", "without its job")
        time.sleep(2)
        assert (hand.ray_jobs(), hand.reason()) == ([], "Succeeded")
        hand.change(output={"url": "s3://team-b/negatives"})
        (moved,) = eventually("a job that writes to the new place", hand.ray_jobs)
        eventually("not ready", lambda: hand.reason() == "Starting")
        assert not hand.dataset()["status"].get("reportUrl")
        assert hand.dataset()["status"]["url"] == url.replace("team-a/", "team-b/", 1)
        hand.change(output={"url": "s3://team-a/negatives"})
        eventually("ready again, since there it is", lambda: hand.reason() == "Succeeded")
        assert hand.dataset()["status"]["reportUrl"] == f"{url}/report/index.html"
    with running(api_server, hand.namespace) as another:
        eventually("a reconcile", lambda: _reconciles(another) >= 1)
        time.sleep(0.5)
        assert set(hand.ray_jobs()) <= {moved}


def test_a_second_operator_finds_nothing_to_do(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        first_ray_job(hand)
        eventually("the status", lambda: hand.reason() == "Starting")
    settled = _versions(hand)
    with running(api_server, hand.namespace) as operator:
        eventually("a reconcile", lambda: _reconciles(operator) >= 1)
        time.sleep(0.3)
        assert _versions(hand) == settled


def test_deleted_children_are_made_again(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        name = first_ray_job(hand)
        for api_version, kind, deleted in (
            ("ray.io/v1", "RayJob", name),
            ("v1", "ServiceAccount", "street-negset"),
            ("v1", "ConfigMap", name.removesuffix("-data")),
            ("rbac.authorization.k8s.io/v1", "Role", "street-negset"),
        ):
            before = eventually(kind, lambda k=(api_version, kind, deleted): hand.find(*k))
            hand.remove(api_version, kind, deleted)
            after = eventually(f"{kind} again", lambda k=(api_version, kind, deleted): hand.find(*k))
            assert before["metadata"]["uid"] != after["metadata"]["uid"]


def test_supporting_objects_edited_by_hand_are_put_right_while_work_goes_on(api_server, hand):
    rbac = "rbac.authorization.k8s.io/v1"
    with running(api_server, hand.namespace):
        hand.create()
        first_ray_job(hand)
        eventually("the last supporting_object", lambda: hand.find(rbac, "RoleBinding", "street-negset"))
        before = {kind: hand.find(api, kind, "street-negset") for api, kind in ((rbac, "Role"), ("networking.k8s.io/v1", "NetworkPolicy"))}
        hand.merge(rbac, "Role", "street-negset", {"rules": []})
        hand.merge("networking.k8s.io/v1", "NetworkPolicy", "street-negset", {"spec": {"egress": [{}]}})
        eventually("its rules", lambda: hand.find(rbac, "Role", "street-negset")["rules"] == before["Role"]["rules"])
        fence = before["NetworkPolicy"]["spec"]
        eventually("its fence", lambda: hand.find("networking.k8s.io/v1", "NetworkPolicy", "street-negset")["spec"] == fence)


@pytest.mark.parametrize(("api_version", "kind"), [("v1", "ConfigMap"), ("v1", "ServiceAccount"), ("ray.io/v1", "RayJob")])
def test_somebody_elses_object_of_that_name_is_left_alone_and_named(api_server, hand, api_version, kind):
    with running(api_server, hand.namespace):
        hand.create("probe")
        run = first_ray_job(hand).split("-")[1]
    name = {"ConfigMap": f"street-{run}", "ServiceAccount": "street-negset", "RayJob": f"street-{run}-data"}[kind]
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": hand.namespace}}
    theirs = hand.kind(api_version, kind).create(body=body, namespace=hand.namespace).to_dict()
    with running(api_server, hand.namespace):
        hand.create()
        eventually("the condition", lambda: hand.reason() == "ForeignChild")
        assert hand.condition("Stalled")["message"].startswith(
            f"{kind} {name} already exists and does not belong to this dataset, so the operator does not change it."
        )
    assert hand.find(api_version, kind, name)["metadata"]["resourceVersion"] == theirs["metadata"]["resourceVersion"]


def test_a_status_edited_by_hand_is_put_right(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        first_ray_job(hand)
        eventually("the status", lambda: hand.reason() == "Starting")
        lie = {"type": "Ready", "status": "True", "reason": "Lie", "message": "x", "lastTransitionTime": "2020-01-01T00:00:00Z"}
        not_wanted = {**lie, "type": "Stalled"}
        hand.merge(
            "negset.dev/v1alpha1", "NegativeDataset", "street", {"status": {"stage": "Ready", "conditions": [lie, not_wanted]}}, "status"
        )
        eventually("the truth", lambda: hand.reason() == "Starting" and not hand.condition("Stalled"))
        assert hand.dataset()["status"]["stage"] == "Storing the data"
        assert len(hand.ray_jobs()) == 1


def test_the_jobs_part_of_the_status_is_not_touched_until_the_revision_changes(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        name = first_ray_job(hand)
        report = {"images": {"planned": 100, "stored": 40, "failed": 1}, "progress": {"percent": 41}}
        hand.merge("negset.dev/v1alpha1", "NegativeDataset", "street", {"status": report}, "status")
        hand.ray_status(name, "Running", "RUNNING")
        eventually("running", lambda: hand.reason() == "Running")
        assert hand.dataset()["status"]["images"]["stored"] == 40
        hand.change(selection={"count": 200})
        eventually("forgotten", lambda: not (hand.dataset()["status"].get("images") or {}).get("stored"))


def test_a_changed_spec_gets_children_of_its_own_and_the_old_ones_go(api_server, hand, controllers):
    with running(api_server, hand.namespace):
        hand.create()
        before = first_ray_job(hand)
        hand.change(selection={"count": 200})
        after = eventually("the new child", lambda: [name for name in hand.ray_jobs() if name != before])[0]
        eventually("the old one gone", lambda: hand.ray_jobs() == [after])
        eventually("its manifest gone", lambda: hand.find("v1", "ConfigMap", before.removesuffix("-data")) is None)
        eventually("seen", lambda: hand.dataset()["status"]["observedGeneration"] == 2)


def test_more_training_steps_leave_a_running_download_alone_and_a_short_job_copies_it(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(**TRAINING)
        (check,) = eventually("the check", hand.jobs)
        hand.job_succeeds(check)
        name = first_ray_job(hand)
        hand.ray_status(name, "Running", "RUNNING")
        eventually("running", lambda: hand.reason() == "Running")
        before = hand.find("ray.io/v1", "RayJob", name)["metadata"]
        hand.change(training={"steps": 200})
        eventually("seen", lambda: hand.dataset()["status"]["revision"] != before["labels"]["negset.dev/revision"])
        assert hand.find("ray.io/v1", "RayJob", name)["metadata"]["uid"] == before["uid"]
        assert hand.ray_jobs() == [name]
        assert hand.condition("DataStored")["message"] == f"Storing the data: RayJob {name} is running."
        hand.ray_succeeds(name)
        eventually("the check of the new steps", lambda: len(hand.jobs()) == 2)
        hand.job_succeeds(next(job for job in hand.jobs() if job != check))
        (copy,) = eventually("a job for the new revision", lambda: [job for job in hand.ray_jobs() if job != name])
        labels = hand.find("ray.io/v1", "RayJob", copy)["metadata"]["labels"]
        assert labels["negset.dev/revision"] == hand.dataset()["status"]["revision"]


def test_a_wrong_spec_stalls_and_makes_nothing(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(output={"url": "/data/negatives"})
        eventually("stalled", lambda: hand.condition("Stalled").get("status") == "True")
        assert hand.condition("Ready")["message"].startswith('spec.output.url: Invalid value: "/data/negatives": local paths')
        assert hand.ray_jobs() == []
        hand.change(output={"url": "s3://team-a/negatives"})
        first_ray_job(hand)
        eventually("going on", lambda: hand.condition("Stalled") == {})


def test_a_failed_data_job_is_tried_again_and_a_wrong_input_is_not(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create()
        name = first_ray_job(hand)
        log = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\nstarting\nnegset: {}\n"
        hand.ray_status(
            name, "Failed", "FAILED", reason="AppFailed", message=log.format(1, "the bucket is gone"), endTime="2026-01-01T00:00:00Z"
        )
        eventually("the second attempt", lambda: hand.ray_jobs() == [name, f"{name}-a2"])
        hand.ray_status(f"{name}-a2", "Failed", "FAILED", reason="AppFailed", message=log.format(2, "unknown class cars"))
        eventually("stalled", lambda: hand.reason() == "InputRefused")
        assert hand.condition("Stalled")["message"] == (
            f"RayJob {name}-a2 reports that its input is invalid: negset: unknown class cars. {RETRY}"
        )
        assert hand.ray_jobs() == [name, f"{name}-a2"]


def _versions(hand: Hand) -> dict[str, str]:
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
        for item in hand.all(api_version, kind)
    }


def _reconciles(operator) -> float:
    return operator.metrics.registry.get_sample_value("negset_reconcile_duration_seconds_count")
