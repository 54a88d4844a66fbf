"""From `helm install` and `kubectl apply` to Ready.

Nothing is mocked: KubeRay, Ray, TensorFlow, object storage, Pod Security and rights are real.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import fsspec
import pytest
from datasets import EXAMPLE, data_only, example
from image_host import ImageHost
from kubernetes.client import AuthorizationV1Api, CoreV1Api
from obstore.fsspec import FsspecStore
from obstore.store import S3Store
from prometheus import SECONDS_BETWEEN_SCRAPES, Prometheus
from pyarrow import parquet
from tenant import Tenant, Timed
from testbed import objects
from testbed.addons import GPU
from testbed.binaries import Unavailable
from testbed.objects import Object
from testbed.surroundings import Surroundings

from negset_api import names
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records

MINUTES = 60

RAY_JOB = ("ray.io/v1", "RayJob")
JOB = ("batch/v1", "Job")


@pytest.fixture(scope="module")
def tenant(make_tenant: Callable[[str], Tenant]) -> Tenant:
    return make_tenant("team-a")


@pytest.fixture(scope="module")
def manifest(tenant: Tenant, around: Surroundings, image_host: ImageHost) -> Object:
    return example(tenant.namespace, around.bucket, image_host)


@pytest.fixture(scope="module")
def prometheus(around: Surroundings, release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run Prometheus with the chart's alerts, from before the first dataset to the last test."""
    watching = Prometheus(around.kubeconfig, release, tmp_path_factory.mktemp("prometheus"))
    watching.start()
    yield watching
    watching.stop()


@pytest.fixture(scope="module")
def finished(tenant: Tenant, prometheus: Prometheus, manifest: Object, timed: Timed) -> Object:
    """Return the example's NegativeDataset once it is Ready."""
    tenant.apply(manifest)
    return tenant.wait_for_ready(EXAMPLE, 20 * MINUTES, timed)


@pytest.fixture(scope="module")
def bucket(around: Surroundings) -> fsspec.AbstractFileSystem:
    """Return the bucket, as the tenant's laptop would see it."""
    return FsspecStore("s3", config=_s3(around), client_options={"allow_http": True})


def _s3(around: Surroundings) -> dict[str, str]:
    return {"access_key_id": around.access_key, "secret_access_key": around.secret_key, "endpoint": around.s3, "region": "us-east-1"}


def _objects(around: Surroundings, folder: str) -> set[str]:
    """Return the keys below a folder's URL. The server also has folders, which stay when empty."""
    bucket, _, prefix = folder.removeprefix("s3://").partition("/")
    store = S3Store(bucket, config=_s3(around), client_options={"allow_http": True})
    return {found["path"] for page in store.list(prefix) for found in page}


def _read_json(bucket: fsspec.AbstractFileSystem, url: str, key: str) -> Any:
    return json.loads(bucket.cat_file(f"{url}/{key}"))


def test_the_conditions_say_ready_and_nothing_else_is_going_on(finished: Object) -> None:
    status = {condition["type"]: condition["status"] for condition in finished["status"]["conditions"]}
    assert status == dict.fromkeys(("Ready", "Checked", "DataStored", "Trained", "Mined", "Reported"), "True")
    assert finished["status"]["observedGeneration"] == finished["metadata"]["generation"]


def test_every_planned_image_has_one_outcome_and_the_sums_add_up(finished: Object, bucket: fsspec.AbstractFileSystem) -> None:
    url, images = finished["status"]["url"], finished["status"]["images"]
    with bucket.open(f"{url}/{names.MANIFEST}") as stream:
        rows = parquet.read_table(stream).to_pylist()
    outcomes = Counter(row["outcome"] for row in rows)
    assert len(rows) == images["planned"] == images["stored"] + images["failed"]
    assert outcomes["stored"] == images["stored"] > 0
    assert len({row["image_id"] for row in rows}) == len(rows)


def test_the_records_hold_the_stored_images_and_none_of_them_shows_an_object(
    finished: Object, bucket: fsspec.AbstractFileSystem, image_host: ImageHost
) -> None:
    url, truth = finished["status"]["url"], image_host.truth
    found: list[int] = []
    for path in (path for path in bucket.find(f"{url}/{names.RECORDS_FOLDER}") if path.endswith(".tfrecord")):
        with bucket.open(path) as stream:
            for _, payload in read_records(stream):
                features = decode_example(payload)
                found.append(int(features["image/source_id"][0]))
                assert not features.get("image/object/bbox/xmin")
    assert len(found) == len(set(found)) == finished["status"]["images"]["stored"]
    assert set(found) <= set(truth.without_object)


def test_the_labels_lie_beside_the_records(finished: Object, bucket: fsspec.AbstractFileSystem) -> None:
    texts = [path for path in bucket.find(f"{finished['status']['url']}/{names.labels_folder('YOLO')}") if path.endswith(".txt")]
    assert texts


def test_the_report_says_what_the_status_says(finished: Object, bucket: fsspec.AbstractFileSystem) -> None:
    status = finished["status"]
    report = _read_json(bucket, status["url"], names.REPORT)
    assert status["reportUrl"] == f"{status['url']}/{names.REPORT_PAGE}"
    assert b"<html" in bucket.cat_file(status["reportUrl"])[:2000]
    assert [entry["round"] for entry in report["rounds"]] == [entry["round"] for entry in status["rounds"]] == [1, 2]
    for wrote, says in zip(report["rounds"], status["rounds"], strict=True):
        assert float(says["falsePositivesPerImage"]) == pytest.approx(wrote["falsePositivesPerImage"], abs=0.01)
        assert float(says["recall"]) == pytest.approx(wrote["recall"], abs=0.01)
    assert float(status["falsePositivesPerImage"]) == pytest.approx(report["rounds"][-1]["falsePositivesPerImage"], abs=0.01)


def test_the_report_compares_mined_negatives_with_random_ones(finished: Object, bucket: fsspec.AbstractFileSystem) -> None:
    url = finished["status"]["url"]
    compared = {entry["name"]: entry["steps"] for entry in _read_json(bucket, url, names.REPORT)["comparisons"]}
    assert compared.keys() == {names.MINED, names.RANDOM_NEGATIVES}
    assert len(set(compared.values())) == 1, "every arm has made the same number of steps"
    assert bucket.exists(f"{url}/{names.round_marker(2, names.RANDOM_NEGATIVES)}")


@pytest.mark.usefixtures("finished")
def test_each_step_has_one_child_and_only_training_and_mining_ask_for_gpus(tenant: Tenant) -> None:
    asked: dict[str, list[str | None]] = {}
    for job in tenant.children(RAY_JOB, JOB):
        if job["metadata"]["labels"][names.LABEL_DATASET] == EXAMPLE:
            (container,) = _working_template(job)["spec"]["containers"]
            asked.setdefault(job["metadata"]["labels"][names.LABEL_ROLE], []).append(container["resources"]["limits"].get(GPU))
    assert asked == {
        "check": [None],
        "data": [None],
        "train-1": ["1"],
        "mine-1": ["1"],
        "train-random-2": ["1"],
        "train-2": ["1"],
    }


def _working_template(job: Object) -> Object:
    """Return the template of the pods that do the work: for a RayJob, the workers'."""
    if job["kind"] == "Job":
        return dict(job["spec"]["template"])
    (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return dict(group["template"])


@pytest.mark.usefixtures("release")
def test_a_pipeline_config_that_cannot_train_is_refused_before_anything_is_downloaded(
    make_tenant: Callable[[str], Tenant], around: Surroundings, image_host: ImageHost, timed: Timed
) -> None:
    careless = make_tenant("team-c")
    for_tensorflow_1 = "model { ssd { num_classes: 1 feature_extractor { type: 'ssd_mobilenet_v1' } } }"
    careless.kubectl("create", "configmap", "wrong", f"--from-literal=pipeline.config={for_tensorflow_1}")
    wanted = example(careless.namespace, around.bucket, image_host)
    training = {**wanted["spec"]["training"], "pipelineConfig": {"configMap": "wrong"}}
    careless.apply({**wanted, "spec": {**wanted["spec"], "training": training}})

    with timed("a wrong pipeline.config is refused"):
        stalled = lambda: objects.condition(careless.dataset(EXAMPLE), "Stalled") == "True"  # noqa: E731
        objects.wait_for("it is stalled", stalled, seconds=3 * MINUTES)
    assert objects.condition(careless.dataset(EXAMPLE), "Ready", "reason") == "InputRefused"
    assert "pipelineConfig" in objects.condition(careless.dataset(EXAMPLE), "Checked", "message")
    assert not list(careless.children(RAY_JOB))


def test_a_second_apply_by_another_field_manager_changes_nothing(tenant: Tenant, manifest: Object, finished: Object) -> None:
    before = tenant.dataset(EXAMPLE)
    objects.apply(tenant.client, [manifest], field_manager="argocd-controller")
    after = tenant.dataset(EXAMPLE)
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert after["spec"] == before["spec"]
    assert after["status"] == before["status"]


def test_another_tenant_may_not_look_at_the_dataset_or_its_secret(
    tenant: Tenant, make_tenant: Callable[[str], Tenant], finished: Object
) -> None:
    neighbour = make_tenant("team-b")
    user = f"system:serviceaccount:{neighbour.namespace}:default"
    neighbour.kubectl("create", "rolebinding", "default-edit", "--clusterrole=edit", f"--serviceaccount={neighbour.namespace}:default")
    assert neighbour.kubectl("auth", "can-i", "get", names.PLURAL, f"--as={user}").strip() == "yes"
    for resource in (f"{names.PLURAL}/{EXAMPLE}", "secrets/s3-credentials", "configmaps"):
        with pytest.raises(Unavailable, match="Forbidden"):
            tenant.kubectl("get", resource, f"--as={user}")


def test_the_jobs_account_may_touch_its_own_dataset_and_nothing_else(tenant: Tenant, finished: Object) -> None:
    (account,) = tenant.children(("v1", "ServiceAccount"))
    user = f"system:serviceaccount:{tenant.namespace}:{account['metadata']['name']}"

    def may(verb: str, resource: str, name: str = "", group: str = "", subresource: str = "") -> bool:
        asked = {
            "namespace": tenant.namespace,
            "verb": verb,
            "resource": resource,
            "name": name,
            "group": group,
            "subresource": subresource,
        }
        review = {"spec": {"user": user, "resourceAttributes": asked}}
        return bool(AuthorizationV1Api(tenant.client.client).create_subject_access_review(review).status.allowed)

    assert may("patch", names.PLURAL, EXAMPLE, names.GROUP, "status")
    assert not may("patch", names.PLURAL, EXAMPLE, names.GROUP)
    assert not may("patch", names.PLURAL, "another", names.GROUP, "status")
    assert not may("get", "secrets")
    assert not may("create", "pods")


@pytest.mark.usefixtures("release")
def test_with_the_deletion_policy_delete_the_data_goes_with_the_object(
    tenant: Tenant, around: Surroundings, image_host: ImageHost, timed: Timed
) -> None:
    tenant.apply(data_only(tenant.namespace, around.bucket, image_host, name="brief", deletionPolicy="Delete"))
    url = tenant.wait_for_ready("brief", 10 * MINUTES, timed)["status"]["url"]
    everything = url.rpartition("/")[0]
    assert f"{url}/{names.REPORT}".removeprefix(f"s3://{around.bucket}/") in _objects(around, everything)
    with timed("brief: deleted with its data"):
        tenant.kubectl("delete", names.SINGULAR, "brief", "--timeout=180s")
    assert _objects(around, everything) == set()


@pytest.mark.usefixtures("release")
def test_a_namespace_goes_with_its_datasets_and_an_event_says_where_the_data_stays(
    make_tenant: Callable[[str], Tenant], around: Surroundings, image_host: ImageHost, timed: Timed
) -> None:
    gone = make_tenant("team-gone")
    gone.apply(data_only(gone.namespace, around.bucket, image_host, name="brief", deletionPolicy="Delete"))
    objects.wait_for("a RayJob", lambda: list(gone.children(RAY_JOB)), seconds=2 * MINUTES)
    core = CoreV1Api(gone.client.client)
    with timed("a namespace deleted with a dataset whose data would have to go first"):
        gone.kubectl("delete", "namespace", gone.namespace, "--timeout=180s")
    events = [
        event for event in core.list_namespaced_event("default").items if event.reason == "DataLeft" and gone.namespace in event.message
    ]
    assert [event.message.rpartition(" at ")[2] for event in events] == [f"s3://{around.bucket}/negatives/{gone.namespace}/brief."]


@pytest.fixture
def deleted(tenant: Tenant, finished: Object) -> Iterator[Object]:
    tenant.kubectl("delete", names.SINGULAR, EXAMPLE, "--timeout=120s")
    return finished


def test_deleting_the_object_removes_every_child_and_keeps_the_data(
    tenant: Tenant, deleted: Object, bucket: fsspec.AbstractFileSystem
) -> None:
    objects.wait_for("no child is left", lambda: not list(tenant.children()), seconds=2 * MINUTES)
    assert bucket.exists(f"{deleted['status']['url']}/{names.REPORT}")


def test_two_replicas_that_work_raise_no_alert_but_for_the_dataset_that_stalls(prometheus: Prometheus, finished: Object) -> None:
    # An alert is pending as soon as its expression holds, and fires minutes later. The stalled
    # dataset is the one with the wrong pipeline.config.
    stalled = ("NegsetDatasetStalled", "pending")
    objects.wait_for("the stalled dataset is seen", lambda: stalled in prometheus.raised(), seconds=20)
    assert prometheus.raised() == {stalled}

    scrapes = prometheus.query(f"count_over_time(negset_leader{prometheus.so_far})")
    assert len(scrapes) == 2
    assert min(count for _, count in scrapes) > 0.8 * (time.time() - prometheus.began) / SECONDS_BETWEEN_SCRAPES
    datasets = f'negset_datasets{{dataset_namespace="{finished["metadata"]["namespace"]}",state="ready"}}'
    ((_, ready),) = prometheus.query(f"max(max_over_time({datasets}{prometheus.so_far}))")
    assert ready >= 1
