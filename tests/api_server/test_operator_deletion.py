"""The deletion of a dataset and of a namespace ends, and an event says what it leaves."""

from __future__ import annotations

import pytest
from operators import Hand, eventually, first_ray_job, pods_of_job_end, running

from negset_api import names


@pytest.fixture
def hand(api_server, namespace) -> Hand:
    return Hand(api_server, namespace)


def told(hand: Hand, namespace: str, reason: str) -> list[dict]:
    events = hand.kind("v1", "Event").get(namespace=namespace).to_dict()["items"]
    return [event for event in events if event["reason"] == reason and hand.namespace in str(event)]


def test_a_namespace_that_is_being_deleted_is_not_held_and_an_event_says_where_the_data_lies(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(deletionPolicy="Delete")
        (data,) = eventually("a child", hand.ray_jobs)
        assert hand.dataset()["metadata"]["finalizers"] == [names.FINALIZER]
        hand.kind("v1", "Namespace").delete(name=hand.namespace)
        # What the namespace controller does.
        hand.remove("ray.io/v1", "RayJob", data)
        hand.delete()
        eventually("gone", lambda: hand.dataset() is None, seconds=20)
        (event,) = told(hand, "default", "DataLeft")
        assert event["involvedObject"]["kind"] == "Namespace"
        assert event["message"].endswith(f"The data is at s3://team-a/negatives/{hand.namespace}/street.")


def test_an_object_that_never_ran_goes_at_once(api_server, hand):
    with running(api_server, hand.namespace):
        hand.create(deletionPolicy="Delete", suspend=True)
        eventually("told", lambda: hand.reason() == "Suspended")
        hand.delete()
        eventually("gone", lambda: hand.dataset() is None, seconds=5)
        assert hand.jobs() == []


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_with_delete_the_data_goes_before_the_object(api_server, hand, controllers, policy):
    with running(api_server, hand.namespace):
        hand.create(deletionPolicy="Delete")
        name = first_ray_job(hand)
        hand.delete(policy=policy)
        eventually("the writer gone", lambda: hand.ray_jobs() == [])
        deleter = name.replace("data", "delete")
        eventually("the deleting job", lambda: hand.jobs() == [deleter])
        eventually("said", lambda: hand.reason() == "DeletingData")
        eventually(
            "its supporting objects",
            lambda: hand.find("v1", "ServiceAccount", "street-negset") and hand.find("v1", "ConfigMap", name.removesuffix("-data")),
        )
        pods_of_job_end(hand, deleter)
        eventually("the object gone", lambda: hand.dataset() is None)
        eventually("everything gone", lambda: not hand.jobs() and hand.find("v1", "ServiceAccount", "street-negset") is None)
