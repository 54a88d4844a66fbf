"""Pods on a node that does not answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from building import NOW, TRAINING, DatasetState, condition_of
from dataset_states import DELETE, nothing_but_data

from negset_operator import reasons
from negset_operator.facts import PodOnLostNode, Work


def on_a_lost_node(role: str, work: Work, *, seconds_over: float, given: DatasetState | None = None) -> DatasetState:
    """Return a dataset with a child whose pod should have ended this many seconds ago."""
    pod = PodOnLostNode(name="pod-1", uid="uid-of-pod-1", node="node-7", until=NOW - timedelta(seconds=seconds_over))
    return (given or nothing_but_data()).with_child(role, work, pods_on_lost_nodes=(pod,))


def test_a_pod_of_a_ray_cluster_is_given_up_with_its_node():
    (deletion,) = on_a_lost_node("data", Work.RUNNING, seconds_over=20).decide().deletions
    assert (deletion.kind, deletion.name, deletion.uid, deletion.at_once) == ("Pod", "pod-1", "uid-of-pod-1", True)


def test_a_node_has_a_moment_to_answer_and_the_condition_says_for_what_one_waits():
    decision = on_a_lost_node("data", Work.RUNNING, seconds_over=5).decide()
    assert decision.deletions == ()
    assert decision.wake_after == pytest.approx(15)
    status, reason, message = condition_of(decision, reasons.READY)
    assert (status, reason) == (False, "NodeLost")
    assert message.startswith("Node node-7 does not answer. Pod pod-1 of RayJob ")
    assert message.endswith("The pod is deleted by force at 12:00:15 UTC and replaced.")


def test_a_training_pod_is_never_given_up_since_two_would_write_the_same_checkpoints():
    decision = on_a_lost_node("train-1", Work.STARTING, seconds_over=3600, given=DatasetState(TRAINING).with_succeeded("data")).decide()
    assert decision.deletions == ()
    assert condition_of(decision, reasons.READY)[1] == "NodeLost"
    assert "kubectl delete node node-7" in condition_of(decision, reasons.READY)[2]


def test_a_pod_on_a_lost_node_does_not_hold_up_the_deletion_of_the_data():
    given = on_a_lost_node("data", Work.RUNNING, seconds_over=5, given=DatasetState(DELETE).being_deleted())
    assert [deletion.kind for deletion in given.decide().deletions] == ["RayJob"]
    assert given.decide().wake_after == pytest.approx(15)
    assert [deletion.kind for deletion in given.but(now=NOW + timedelta(seconds=15)).decide().deletions] == ["RayJob", "Pod"]
