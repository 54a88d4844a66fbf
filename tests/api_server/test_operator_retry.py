"""A failed job that its owner retries, and a configuration that the administrator corrects.

The API server is real.
"""

from __future__ import annotations

import pytest
from operators import QUICK, TRAINING, Hand, eventually, pods_of_job_end, running

from negset_operator.config import Config, Images

TYPO = Config(patience=QUICK, workers=4, images=Images(jobs="negset/jobs:0.1.O"))
MENDED = Config(patience=QUICK, workers=4, images=Images(jobs="negset/jobs:0.1.0"))
WRONG_INPUT = (
    "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 chars):\nnegset: unknown class cars\n"
)


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def ask(hand: Hand, wish: str) -> None:
    """Annotate as `kubectl annotate negativedataset street negset.dev/retry=… --overwrite`."""
    hand.merge("negset.dev/v1alpha1", "NegativeDataset", "street", {"metadata": {"annotations": {"negset.dev/retry": wish}}})


def uids(hand: Hand, api_version: str, kind: str) -> dict[str, str]:
    """Return the uids of the children of a kind that are not terminating, by name."""
    found = (item["metadata"] for item in hand.all(api_version, kind))
    return {meta["name"]: meta["uid"] for meta in found if not meta.get("deletionTimestamp")}


def another(hand: Hand, api_version: str, kind: str, seen: list[str]) -> list[str]:
    """Return the uids of new children as soon as there are some."""
    return eventually(f"another {kind}", lambda: [uid for uid in uids(hand, api_version, kind).values() if uid not in seen])


def image(hand: Hand, name: str) -> str:
    cluster = hand.find("ray.io/v1", "RayJob", name)["spec"]["rayClusterSpec"]
    head: str = cluster["headGroupSpec"]["template"]["spec"]["containers"][0]["image"]
    return head


def cannot_start(hand: Hand, child: str) -> None:
    """Report that a child's image cannot be pulled, as KubeRay and a kubelet do."""
    hand.ray_status(child, "Initializing")
    hand.pod_of("data", child)
    waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}
    state = {"name": "c", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": {"waiting": waiting}}
    hand.merge("v1", "Pod", child, {"status": {"phase": "Pending", "containerStatuses": [state]}}, "status")


def test_a_failed_ray_job_is_retried_as_often_as_the_annotation_changes(api_server, hand, controllers):
    with running(api_server, hand.namespace):
        hand.create()
        (name,) = eventually("a RayJob", hand.ray_jobs)
        seen: list[str] = []
        for wish in ("", "Mon Mar  2 09:00:00 UTC 2026", "Mon Mar  2 10:00:00 UTC 2026"):
            if wish:
                ask(hand, wish)
            seen += another(hand, "ray.io/v1", "RayJob", seen)
            hand.ray_status(name, "Failed", "FAILED", reason="AppFailed", message=WRONG_INPUT)
            eventually("stalled", lambda: hand.reason() == "InputRefused")
            assert uids(hand, "ray.io/v1", "RayJob") == {name: seen[-1]}, "a failure is final until somebody asks again"
        assert len(seen) == 3
        labels = hand.find("ray.io/v1", "RayJob", name)["metadata"]["labels"]
        assert labels["negset.dev/retry"] != "Mon Mar  2 10:00:00 UTC 2026", "a label takes no such value"


def test_a_failed_check_is_retried_and_what_runs_afterwards_is_left_alone(api_server, hand, controllers):
    with running(api_server, hand.namespace):
        hand.create(**TRAINING)
        (check,) = eventually("the check", hand.jobs)
        before = uids(hand, "batch/v1", "Job")
        pods_of_job_end(hand, check, code=2, said="negset: no such bucket")
        eventually("stalled", lambda: hand.reason() == "InputRefused")
        ask(hand, "1")
        after = another(hand, "batch/v1", "Job", list(before.values()))
        eventually("going on", lambda: hand.reason() == "Starting" and not hand.condition("Stalled"))
        ask(hand, "2")
        pods_of_job_end(hand, check)
        eventually("the data", hand.ray_jobs)
        assert list(uids(hand, "batch/v1", "Job").values()) == after


def test_an_image_that_the_administrator_mends_is_pulled_by_what_waits_for_it_and_stops_nothing(api_server, hand, controllers):
    with running(api_server, hand.namespace, config=TYPO):
        hand.create()
        (waits,) = eventually("a RayJob", hand.ray_jobs)
        hand.create("other")
        (runs,) = eventually("another", lambda: [name for name in hand.ray_jobs() if name != waits])
        hand.ray_status(runs, "Running", "RUNNING")
        cannot_start(hand, waits)
        eventually("said", lambda: hand.reason() == "ImagePullBackOff")
        eventually("running", lambda: hand.reason("other") == "Running")
        made = uids(hand, "ray.io/v1", "RayJob")
        assert image(hand, waits) == "negset/jobs:0.1.O"
    with running(api_server, hand.namespace, config=MENDED):
        eventually(
            "a child with the right image", lambda: waits in uids(hand, "ray.io/v1", "RayJob") and image(hand, waits) == "negset/jobs:0.1.0"
        )
        hand.remove("v1", "Pod", waits)
        eventually("starting", lambda: hand.reason() == "Starting")
        hand.ray_succeeds(waits)
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
    assert uids(hand, "ray.io/v1", "RayJob")[runs] == made[runs]
    assert image(hand, runs) == "negset/jobs:0.1.O"


def test_a_deletion_of_data_that_was_refused_is_retried_and_lets_the_object_go(api_server, hand, controllers):
    with running(api_server, hand.namespace):
        hand.create(deletionPolicy="Delete")
        (data,) = eventually("a RayJob", hand.ray_jobs)
        hand.ray_succeeds(data)
        eventually("ready", lambda: hand.condition("Ready").get("status") == "True")
        hand.delete()
        (job,) = eventually("the job that deletes", hand.jobs)
        before = list(uids(hand, "batch/v1", "Job").values())
        pods_of_job_end(hand, job, code=2, said="negset: output.url: access denied")
        eventually("stalled", lambda: hand.reason() == "DeletionFailed")
        assert hand.condition("Ready")["message"].endswith('negset.dev/retry="$(date)" --overwrite')
        ask(hand, "1")
        another(hand, "batch/v1", "Job", before)
        pods_of_job_end(hand, job)
        eventually("gone", lambda: hand.dataset() is None)
