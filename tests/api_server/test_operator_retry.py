"""A failed job that its owner retries, and a configuration that the administrator corrects.

The API server is real.
"""

from __future__ import annotations

import time

import pytest
from operators import QUICK, TRAINING, Cluster, eventually, pods_of_job_end, running

from negset_operator.config import Config, Images

TYPO = Config(patience=QUICK, workers=4, images=Images(jobs="negset/jobs:0.1.O"))
MENDED = Config(patience=QUICK, workers=4, images=Images(jobs="negset/jobs:0.1.0"))
WRONG_INPUT = (
    "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 chars):\nnegset: unknown class cars\n"
)


@pytest.fixture
def cluster(api_server, namespace) -> Cluster:
    return Cluster(api_server, namespace)


def ask(cluster: Cluster, wish: str) -> None:
    """Annotate as `kubectl annotate negativedataset street negset.dev/retry=… --overwrite`."""
    cluster.merge("negset.dev/v1alpha1", "NegativeDataset", "street", {"metadata": {"annotations": {"negset.dev/retry": wish}}})


def uids(cluster: Cluster, api_version: str, kind: str) -> dict[str, str]:
    """Return the uids of the children of a kind that are not terminating, by name."""
    found = (item["metadata"] for item in cluster.all(api_version, kind))
    return {meta["name"]: meta["uid"] for meta in found if not meta.get("deletionTimestamp")}


def another(cluster: Cluster, api_version: str, kind: str, seen: list[str]) -> list[str]:
    """Return the uids of new children as soon as there are some."""
    return eventually(f"another {kind}", lambda: [uid for uid in uids(cluster, api_version, kind).values() if uid not in seen])


def image(cluster: Cluster, name: str) -> str:
    ray_cluster = cluster.find("ray.io/v1", "RayJob", name)["spec"]["rayClusterSpec"]
    head: str = ray_cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    return head


def cannot_start(cluster: Cluster, child: str) -> None:
    """Report that a child's image cannot be pulled, as KubeRay and a kubelet do."""
    cluster.ray_status(child, "Initializing")
    cluster.pod_of("data", child)
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    state = {"name": "c", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    cluster.merge("v1", "Pod", child, {"status": {"phase": "Pending", "containerStatuses": [state]}}, "status")


def test_a_failed_ray_job_is_retried_as_often_as_the_annotation_changes(api_server, cluster, controllers):
    with running(api_server, cluster.namespace):
        cluster.create()
        (name,) = eventually("a RayJob", cluster.ray_jobs)
        seen: list[str] = []
        for wish in ("", "Mon Mar  2 09:00:00 UTC 2026", "Mon Mar  2 10:00:00 UTC 2026"):
            if wish:
                ask(cluster, wish)
            seen += another(cluster, "ray.io/v1", "RayJob", seen)
            cluster.ray_status(name, "Failed", "FAILED", reason="AppFailed", message=WRONG_INPUT)
            eventually("stalled", lambda: cluster.reason() == "InputRefused")
            assert uids(cluster, "ray.io/v1", "RayJob") == {name: seen[-1]}, "a failure is final until a retry is requested"
        assert len(seen) == 3
        labels = cluster.find("ray.io/v1", "RayJob", name)["metadata"]["labels"]
        assert labels["negset.dev/retry"] != "Mon Mar  2 10:00:00 UTC 2026", "a label takes no such value"


def test_data_with_images_that_were_lost_to_an_outage_is_stored_again_once_for_each_request(api_server, cluster, controllers):
    """The status is what the jobs of `negset_jobs.pipeline.status` write at their end."""

    def ready_with(lost: int) -> bool:
        images = (cluster.dataset()["status"].get("images") or {}).get("transient")
        return images == lost and cluster.condition("Ready").get("status") == "True"

    def ends(lost: int) -> None:
        images = {"planned": 3000, "stored": 3000 - lost, "failed": lost, "transient": lost, "bytes": 1}
        cluster.merge("negset.dev/v1alpha1", "NegativeDataset", "street", {"status": {"images": images}}, "status")
        cluster.ray_succeeds(name)
        eventually("ready", lambda: ready_with(lost))

    def never_another(seen: list[str]) -> bool:
        cluster.annotate("again", str(len(seen)))
        time.sleep(2)
        return list(uids(cluster, "ray.io/v1", "RayJob").values()) == seen[-1:]

    with running(api_server, cluster.namespace):
        cluster.create()
        (name,) = eventually("a RayJob", cluster.ray_jobs)
        seen = list(uids(cluster, "ray.io/v1", "RayJob").values())
        ends(12)
        eventually("said", lambda: "12 of 3,000 negatives could not be stored" in cluster.condition("DataStored").get("message", ""))
        assert never_another(seen), "nobody has asked"
        for wish, left in (("Mon Mar  2 09:00:00 UTC 2026", 5), ("Mon Mar  2 10:00:00 UTC 2026", 0)):
            ask(cluster, wish)
            seen += another(cluster, "ray.io/v1", "RayJob", seen)
            eventually("not ready", lambda: cluster.condition("Ready").get("status") == "False")
            assert cluster.dataset()["status"]["completed"].get("steps") == []
            ends(left)
            assert never_another(seen), "a request is answered once"
        assert "could not be stored" not in cluster.condition("DataStored")["message"]
        ask(cluster, "Mon Mar  2 11:00:00 UTC 2026")
        assert never_another(seen), "nothing is left that a request could bring"


def test_a_failed_check_is_retried_and_what_runs_afterwards_is_left_alone(api_server, cluster, controllers):
    with running(api_server, cluster.namespace):
        cluster.create(**TRAINING)
        (check,) = eventually("the check", cluster.jobs)
        before = uids(cluster, "batch/v1", "Job")
        pods_of_job_end(cluster, check, code=2, said="negset: no such bucket")
        eventually("stalled", lambda: cluster.reason() == "InputRefused")
        ask(cluster, "1")
        after = another(cluster, "batch/v1", "Job", list(before.values()))
        eventually("going on", lambda: cluster.reason() == "Starting" and not cluster.condition("Stalled"))
        ask(cluster, "2")
        pods_of_job_end(cluster, check)
        eventually("the data", cluster.ray_jobs)
        assert list(uids(cluster, "batch/v1", "Job").values()) == after


def test_an_image_that_the_administrator_mends_is_pulled_by_what_waits_for_it_and_stops_nothing(api_server, cluster, controllers):
    with running(api_server, cluster.namespace, config=TYPO):
        cluster.create()
        (waits,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.create("other")
        (runs,) = eventually("another", lambda: [name for name in cluster.ray_jobs() if name != waits])
        cluster.ray_status(runs, "Running", "RUNNING")
        cannot_start(cluster, waits)
        eventually("said", lambda: cluster.reason() == "ImagePullBackOff")
        eventually("running", lambda: cluster.reason("other") == "Running")
        made = uids(cluster, "ray.io/v1", "RayJob")
        assert image(cluster, waits) == "negset/jobs:0.1.O"
    with running(api_server, cluster.namespace, config=MENDED):
        eventually(
            "a child with the right image",
            lambda: waits in uids(cluster, "ray.io/v1", "RayJob") and image(cluster, waits) == "negset/jobs:0.1.0",
        )
        cluster.remove("v1", "Pod", waits)
        eventually("starting", lambda: cluster.reason() == "Starting")
        cluster.ray_succeeds(waits)
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
    assert uids(cluster, "ray.io/v1", "RayJob")[runs] == made[runs]
    assert image(cluster, runs) == "negset/jobs:0.1.O"


def test_a_deletion_of_data_that_was_refused_is_retried_and_lets_the_object_go(api_server, cluster, controllers):
    with running(api_server, cluster.namespace):
        cluster.create(deletionPolicy="Delete")
        (data,) = eventually("a RayJob", cluster.ray_jobs)
        cluster.ray_succeeds(data)
        eventually("ready", lambda: cluster.condition("Ready").get("status") == "True")
        cluster.delete()
        (job,) = eventually("the job that deletes", cluster.jobs)
        before = list(uids(cluster, "batch/v1", "Job").values())
        pods_of_job_end(cluster, job, code=2, said="negset: output.url: access denied")
        eventually("stalled", lambda: cluster.reason() == "DeletionFailed")
        assert cluster.condition("Ready")["message"].endswith('negset.dev/retry="$(date)" --overwrite')
        ask(cluster, "1")
        another(cluster, "batch/v1", "Job", before)
        pods_of_job_end(cluster, job)
        eventually("deleted", lambda: cluster.dataset() is None)
