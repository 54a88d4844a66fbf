"""A dataset becomes Ready, or says why not, whatever fails; and no work is done twice."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
from datasets import EXAMPLE, apply_and_hold, data_only, example
from image_host import ImageHost
from kubernetes.client import CoreV1Api, V1Eviction, V1ObjectMeta
from tenant import Tenant, Timed
from testbed import addons, cluster, objects
from testbed.objects import Object
from testbed.surroundings import Surroundings

MINUTES = 60

RAY_JOB = ("ray.io/v1", "RayJob")
JOB = ("batch/v1", "Job")
POD = ("v1", "Pod")


@pytest.fixture
def tenant(make_tenant: Callable[[str], Tenant], release: str) -> Tenant:
    return make_tenant("team-a")


@pytest.fixture
def own(around: Surroundings) -> cluster.Cluster:
    if around.own is None:
        pytest.skip("NOT TESTED: faults are injected into the project's own cluster only, and this one is yours")
    return around.own


@pytest.fixture
def small(tenant: Tenant, around: Surroundings, image_host: ImageHost) -> Object:
    """Return a dataset of 24 images, without training."""
    return data_only(tenant.namespace, around.bucket, image_host)


def test_killing_the_operator_and_the_api_server_again_and_again_makes_nothing_twice(
    tenant: Tenant, small: Object, own: cluster.Cluster, timed: Timed
) -> None:
    tenant.apply(small)
    with _meanwhile(lambda: own.kill_processes("negset-operator"), seconds=3), timed("small: operator killed every 3 s for 20 s"):
        objects.wait_for("its RayJob is there", lambda: list(tenant.children(RAY_JOB)), seconds=60)
        threading.Event().wait(20)
    own.kill("kube-apiserver")
    own.wait_until_ready()
    tenant.wait_for_ready("small", 10 * MINUTES, timed)
    assert len(list(tenant.children(RAY_JOB))) == 1


def test_suspending_and_resuming_at_every_stage_loses_nothing(
    tenant: Tenant, around: Surroundings, release: str, many_images: ImageHost, timed: Timed
) -> None:
    wanted = example(tenant.namespace, around.bucket, many_images)
    training = {**wanted["spec"]["training"], "steps": 300, "comparisons": []}
    wanted = {**wanted, "spec": {**wanted["spec"], "selection": {"count": 300, "allowFewer": True}, "training": training}}

    stored = apply_and_hold(tenant, wanted, many_images, timed)
    _suspend(tenant, wanted, timed)
    many_images.release()
    tenant.apply(wanted)

    with timed("until the first round has trained for 30 steps"):
        before = objects.wait_for("30 steps", lambda: _step(tenant, 30), seconds=5 * MINUTES)
    assert {image: many_images.asked[image] for image in stored} == dict.fromkeys(stored, 1)
    _suspend(tenant, wanted, timed)
    tenant.apply(wanted)
    with timed("until the round goes on"):
        after = objects.wait_for("a later step", lambda: _step(tenant, before + 1), seconds=5 * MINUTES)
    assert before < after <= 300

    with timed("until the mining runs"):
        objects.wait_for("the mining runs", lambda: _doing(tenant) == "Mining after round 1 of 2", seconds=5 * MINUTES)
    _suspend(tenant, wanted, timed)
    tenant.apply(wanted)
    finished = tenant.wait_for_ready(EXAMPLE, 10 * MINUTES, timed)
    assert [each["round"] for each in finished["status"]["rounds"]] == [1, 2]


@pytest.fixture
def one_round(tenant: Tenant, around: Surroundings, image_host: ImageHost) -> Object:
    """Return the example with one round, which takes some minutes."""
    wanted = example(tenant.namespace, around.bucket, image_host)
    training = wanted["spec"]["training"]
    mining = {**training["hardNegativeMining"], "rounds": 1}
    training = {**training, "steps": 1500, "checkpointEverySteps": 100, "comparisons": [], "hardNegativeMining": mining}
    return {**wanted, "spec": {**wanted["spec"], "training": training}}


def test_a_store_that_is_away_costs_no_attempt_and_no_step(
    tenant: Tenant, own: cluster.Cluster, small: Object, one_round: Object, timed: Timed
) -> None:
    tenant.apply(one_round)
    with timed("until the first round has trained for 30 steps"):
        before = objects.wait_for("30 steps", lambda: _step(tenant, 30), seconds=10 * MINUTES)
    own.hold_down("s3")
    try:
        tenant.apply(small)
        with timed("small: until a job has found the store away"):
            said = lambda: objects.condition(tenant.dataset("small"), "Ready", "reason") == "Retrying"  # noqa: E731
            objects.wait_for("the condition says that it is tried again", said, seconds=5 * MINUTES)
        assert "cannot be reached" in str(objects.condition(tenant.dataset("small"), "Ready", "message"))
        with timed("until the training has gone on without the store"):
            objects.wait_for("a later step", lambda: _step(tenant, before + 50), seconds=5 * MINUTES)
    finally:
        own.release("s3")
    tenant.wait_for_ready("small", 10 * MINUTES, timed)
    tenant.wait_for_ready(EXAMPLE, 10 * MINUTES, timed)
    jobs = [child["metadata"]["name"] for child in tenant.children(JOB)]
    assert not [name for name in jobs if "-a" in name.rpartition("train-1")[2]], "the training was not begun again"


def test_an_evicted_worker_costs_its_peer_no_failure(tenant: Tenant, one_round: Object, timed: Timed) -> None:
    training = {**one_round["spec"]["training"], "steps": 300, "workers": 2, "gpusPerWorker": 0}
    tenant.apply({**one_round, "spec": {**one_round["spec"], "training": training}})
    with timed("until two workers have trained for 30 steps"):
        before = objects.wait_for("30 steps", lambda: _step(tenant, 30), seconds=10 * MINUTES)
    second = next(pod["metadata"]["name"] for pod in tenant.children(POD) if "-train-1-1-" in pod["metadata"]["name"])
    eviction = V1Eviction(metadata=V1ObjectMeta(name=second, namespace=tenant.namespace))
    CoreV1Api(tenant.client.client).create_namespaced_pod_eviction(second, tenant.namespace, eviction)
    with timed("until both go on"):
        objects.wait_for("a later step", lambda: _step(tenant, before + 1), seconds=5 * MINUTES)
    tenant.wait_for_ready(EXAMPLE, 10 * MINUTES, timed)
    (job,) = (child for child in tenant.children(JOB) if "-train-1" in child["metadata"]["name"])
    assert not job["status"].get("failed"), "neither pod counts as a failure"


def test_a_quota_that_is_used_up_is_named_within_a_minute(tenant: Tenant, small: Object, timed: Timed) -> None:
    objects.limit(tenant.client, tenant.namespace, "none", {"pods": "0"})
    tenant.apply(small)
    with timed("small: quota named in the condition"):
        message = objects.wait_for("the condition names the quota", lambda: _said(tenant, "exceeded quota"), seconds=60)
    assert "none" in message
    tenant.kubectl("delete", "resourcequota", "none")
    tenant.wait_for_ready("small", 10 * MINUTES, timed)


def test_a_secret_that_is_missing_is_named_within_a_minute(tenant: Tenant, small: Object, timed: Timed) -> None:
    spec = {**small["spec"], "output": {**small["spec"]["output"], "secretName": "no-such-secret"}}
    tenant.apply({**small, "spec": spec})
    with timed("small: missing Secret named in the condition"):
        objects.wait_for("the condition names the Secret", lambda: _said(tenant, "no-such-secret"), seconds=60)


def test_a_deleted_child_is_made_again(tenant: Tenant, small: Object, timed: Timed) -> None:
    tenant.apply(small)
    (first,) = objects.wait_for("its RayJob is there", lambda: list(tenant.children(RAY_JOB)), seconds=60)
    tenant.kubectl("delete", "rayjob", first["metadata"]["name"], "--wait=true", "--timeout=120s")
    tenant.wait_for_ready("small", 10 * MINUTES, timed)


@pytest.fixture
def large(tenant: Tenant, around: Surroundings, many_images: ImageHost) -> Object:
    """Return a dataset of 300 images in three shards, without training."""
    return data_only(tenant.namespace, around.bucket, many_images, count=300)


class Nodes:
    """Two nodes: one stays and runs the add-ons, the other may be lost by a test."""

    def __init__(self, own: cluster.Cluster) -> None:
        self.stays, self.may_go = (node.name for node in own.layout.nodes)
        self._own = own

    def use_only(self, name: str) -> None:
        """Schedule new pods on this node only."""
        for node in (self.stays, self.may_go):
            addons.kubectl(self._own.kubeconfig, "uncordon" if node == name else "cordon", node)

    def lose(self) -> None:
        self._own.lose_node(2)

    def restore(self) -> None:
        self._own.return_node(2)
        self._own.wait_until_ready()
        addons.kubectl(self._own.kubeconfig, "uncordon", self.stays, self.may_go)
        addons.advertise_gpus(self._own.dynamic(), self.may_go, 1)


@pytest.fixture
def nodes(own: cluster.Cluster) -> Iterator[Nodes]:
    if own.layout.node_count < 2:
        pytest.skip("NOT TESTED, because the cluster has no second node: run `make test-cluster NODES=2`")
    both = Nodes(own)
    yield both
    both.restore()


def test_a_node_lost_with_a_worker_in_the_middle_of_the_download_costs_no_stored_image(
    tenant: Tenant, large: Object, nodes: Nodes, many_images: ImageHost, timed: Timed
) -> None:
    nodes.use_only(nodes.stays)
    stored = apply_and_hold(tenant, large, many_images, timed)

    nodes.use_only(nodes.may_go)
    (worker,) = (pod for pod in tenant.children(POD) if "worker" in pod["metadata"]["name"])
    tenant.kubectl("delete", "pod", worker["metadata"]["name"], "--wait=true", "--timeout=120s")
    many_images.hold_after(20)
    with timed("small: until the worker that was deleted has a successor at work"):
        many_images.wait_until_held(3 * MINUTES)
    nodes.lose()
    nodes.use_only(nodes.stays)
    many_images.release()
    tenant.wait_for_ready("small", 10 * MINUTES, timed)
    assert len(list(tenant.children(RAY_JOB))) == 1
    assert {image: many_images.asked[image] for image in stored} == dict.fromkeys(stored, 1)


def test_a_node_lost_with_the_whole_ray_cluster_in_the_middle_of_the_download_costs_no_stored_image(
    tenant: Tenant, large: Object, nodes: Nodes, many_images: ImageHost, timed: Timed
) -> None:
    nodes.use_only(nodes.may_go)
    stored = apply_and_hold(tenant, large, many_images, timed)

    nodes.lose()
    nodes.use_only(nodes.stays)
    many_images.release()
    tenant.wait_for_ready("small", 10 * MINUTES, timed)
    assert {image: many_images.asked[image] for image in stored} == dict.fromkeys(stored, 1)


def _suspend(tenant: Tenant, manifest: Object, timed: Timed) -> None:
    """Suspend a dataset, and wait until none of its pods is running."""
    name = manifest["metadata"]["name"]
    tenant.apply({**manifest, "spec": {**manifest["spec"], "suspend": True}})
    with timed(f"{name}: suspended, until no pod works"):
        objects.wait_for("no pod works", lambda: not any(map(_works, tenant.children(POD))), seconds=3 * MINUTES)
    suspended = lambda: objects.condition(tenant.dataset(name), "Ready", "reason") == "Suspended"  # noqa: E731
    objects.wait_for("the condition says Suspended", suspended, seconds=30)


def _works(pod: Object) -> bool:
    return pod["status"].get("phase") not in {"Succeeded", "Failed"}


def _step(tenant: Tenant, least: int) -> int:
    """Return the training step in the status, or 0 while it is below `least`."""
    step = int(((tenant.dataset(EXAMPLE).get("status") or {}).get("progress") or {}).get("step") or 0)
    return step if step >= least else 0


def _doing(tenant: Tenant) -> str:
    status = tenant.dataset(EXAMPLE)["status"]
    running = any(entry["type"] == "Ready" and entry["reason"] == "Running" for entry in status["conditions"])
    return status["stage"] if running else ""


def _said(tenant: Tenant, words: str) -> str:
    """Return the message of the condition that contains these words."""
    conditions = (tenant.dataset("small").get("status") or {}).get("conditions") or ()
    return next((entry["message"] for entry in conditions if words in entry["message"]), "")


@contextlib.contextmanager
def _meanwhile(act: Callable[[], object], *, seconds: float) -> Iterator[None]:
    """Call `act` every `seconds` until the block ends."""
    done = threading.Event()

    def again() -> None:
        while not done.wait(seconds):
            act()

    thread = threading.Thread(target=again)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
