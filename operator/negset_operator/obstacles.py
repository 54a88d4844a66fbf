"""Why something does not start, as Kubernetes and KubeRay tell it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from negset_operator.facts import Obstacle
from negset_operator.kube.objects import Condition, ObjectMeta, Pod

LONGEST_LINE: Final = 1000

# Reasons with which kubelet says that a container waits for something that does not come by itself.
_CANNOT_START: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
# kubelet goes back and forth between the two, which must not be news each time.
_ONE_AND_THE_SAME: Final = {"ErrImagePull": "ImagePullBackOff"}


def stuck_pod(pods: Iterable[Pod], now: datetime, after: timedelta) -> Pod | None:
    """A pod that has a node and whose containers have not begun for this long: a volume that is not there, for instance, shows in events only."""
    for pod in pods:
        scheduled = any(condition.type == "PodScheduled" and condition.status == "True" for condition in pod.status.conditions)
        if pod.status.phase == "Pending" and scheduled and pod.metadata.deletion_timestamp is None and age(pod.metadata, now) > after:
            return pod
    return None


def not_starting(pod: Pod, warning: str) -> Obstacle:
    """What a stuck pod's newest warning says."""
    return Obstacle(reason="PodNotStarting", message=f"Pod {pod.metadata.name} does not start: {one_line(warning)}")


def held_by_lost_node(pods: Iterable[Pod], now: datetime, after: timedelta) -> Obstacle | None:
    """A pod that should have been gone for this long: its node does not answer, and nobody can know whether it still writes."""
    for pod in pods:
        end = pod.metadata.deletion_timestamp  # when its time to end in peace is over
        if end is not None and now > end + after:
            message = (
                f"Pod {pod.metadata.name} should have ended at {end:%H:%M:%S} UTC, and its node {pod.spec.node_name} does not say that it has. Its work goes on elsewhere "
                f"when the node is back or removed (kubectl delete node {pod.spec.node_name})."
            )
            return Obstacle(reason="NodeLost", message=message)
    return None


def of_pods(pods: Iterable[Pod]) -> Obstacle | None:
    """Why one of the pods does not start, if one does not."""
    for pod in pods:
        if pod.metadata.deletion_timestamp is not None or pod.status.phase in {"Succeeded", "Failed"}:
            continue
        name = pod.metadata.name
        for condition in pod.status.conditions:
            if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
                return Obstacle(reason="Unschedulable", message=f"Pod {name} cannot be scheduled: {one_line(condition.message)}")
        for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            waiting = container.state.waiting
            if waiting is not None and waiting.reason in _CANNOT_START:
                said = f": {one_line(waiting.message)}" if waiting.message else ""
                message = f"Container {container.name} of pod {name} cannot start: {waiting.reason}{said}"
                return Obstacle(reason=_ONE_AND_THE_SAME.get(waiting.reason, waiting.reason), message=message)
    return None


def of_ray_cluster(conditions: Iterable[Condition], name: str) -> Obstacle | None:
    """What KubeRay says where it cannot make a cluster's pods: the RayJob itself says nothing."""
    for condition in conditions:
        if condition.type == "ReplicaFailure" and condition.status == "True":
            said = one_line(condition.message).removeprefix(condition.reason).strip()  # KubeRay says its reason twice
            message = f"The Ray cluster of RayJob {name} cannot make its pods: {condition.reason}: {said}"
            return Obstacle(reason="PodRefused", message=message)
    return None


def age(metadata: ObjectMeta, now: datetime) -> timedelta:
    """How long ago an object was made."""
    return now - (metadata.creation_timestamp or now)


def one_line(text: str) -> str:
    """The text without line breaks, cut where it would fill a condition."""
    return " ".join(text.split())[:LONGEST_LINE]
