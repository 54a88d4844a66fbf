"""Why something does not start, as Kubernetes and KubeRay tell it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from negset_api import names
from negset_operator.facts import Obstacle, PodOnLostNode
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
# KubeRay's ray-operator/controllers/ray/utils/constant.go (1.6.2)
_NODE_TYPE: Final = "ray.io/node-type"
_HEAD: Final = "head"
_A_MOMENT: Final = timedelta(seconds=5)
# kubelet goes back and forth between the two, which must not be news each time.
_ONE_AND_THE_SAME: Final = {"ErrImagePull": "ImagePullBackOff"}


def stuck_pod(pods: Iterable[Pod], now: datetime, after: timedelta) -> Pod | None:
    """A pod that has a node and whose containers have not begun for this long: a volume that is not
    there, for instance, shows in events only.
    """
    for pod in pods:
        scheduled = any(condition.type == "PodScheduled" and condition.status == "True" for condition in pod.status.conditions)
        if pod.status.phase == "Pending" and scheduled and pod.metadata.deletion_timestamp is None and age(pod.metadata, now) > after:
            return pod
    return None


def not_starting(pod: Pod, warning: str) -> Obstacle:
    """What a stuck pod's newest warning says."""
    return Obstacle(reason="PodNotStarting", message=f"Pod {pod.metadata.name} does not start: {one_line(warning)}")


def pods_on_lost_nodes(pods: Iterable[Pod]) -> tuple[PodOnLostNode, ...]:
    """The pods that Kubernetes wants to be gone because their node does not answer.

    They stay until that node, or whoever removes it, says that they are.
    """
    return tuple(
        PodOnLostNode(name=pod.metadata.name, uid=pod.metadata.uid, node=pod.spec.node_name, until=pod.metadata.deletion_timestamp)
        for pod in pods
        if pod.metadata.deletion_timestamp is not None and any(_by_taint(condition) for condition in pod.status.conditions)
    )


def _by_taint(condition: Condition) -> bool:
    # https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
    return condition.type == "DisruptionTarget" and condition.status == "True" and condition.reason == "DeletionByTaintManager"


def of_pods(pods: Iterable[Pod]) -> Obstacle | None:
    """Why one of the pods does not start, if one does not."""
    for pod in pods:
        if pod.metadata.deletion_timestamp is not None or pod.status.phase in {"Succeeded", "Failed"}:
            continue
        name = pod.metadata.name
        for condition in pod.status.conditions:
            if condition.type == "PodScheduled" and condition.status == "False" and condition.reason == "Unschedulable":
                message = f"Pod {name} cannot be scheduled: {one_line(condition.message)}"
                return Obstacle(reason="Unschedulable", message=message, since=condition.last_transition_time)
        for container in (*pod.status.init_container_statuses, *pod.status.container_statuses):
            waiting = container.state.waiting
            if waiting is not None and waiting.reason in _CANNOT_START:
                said = f": {one_line(waiting.message)}" if waiting.message else ""
                message = f"Container {container.name} of pod {name} cannot start: {waiting.reason}{said}"
                return Obstacle(reason=_ONE_AND_THE_SAME.get(waiting.reason, waiting.reason), message=message, since=_unready_since(pod))
    return None


def _unready_since(pod: Pod) -> datetime | None:
    """Since when a pod is not ready.

    Its node says so, whose clock may be slow: never since before the pod was made.
    """
    said = (each.last_transition_time for each in pod.status.conditions if each.type == "Ready" and each.status == "False")
    since, made = next(said, None), pod.metadata.creation_timestamp
    return max(since, made) if since is not None and made is not None else since


def of_running_cluster(pods: Iterable[Pod], conditions: Iterable[Condition], name: str, now: datetime) -> Obstacle | None:
    """Why a Ray cluster whose job has begun does not go on: its head does not run, or none of its
    workers does. One worker that is missing stops nothing.
    """
    there = tuple(pod for pod in pods if pod.metadata.deletion_timestamp is None)
    heads = tuple(pod for pod in there if is_head(pod))
    workers = tuple(pod for pod in there if not is_head(pod))
    for group in (heads, workers):
        if any(pod.status.phase == "Running" and of_pods((pod,)) is None for pod in group):
            continue
        if (obstacle := of_pods(group) or (of_ray_cluster(conditions, name, now) if not group else None)) is not None:
            return obstacle
    return None


def is_head(pod: Pod) -> bool:
    """Whether a pod is the head of a Ray cluster, by KubeRay's label."""
    return pod.metadata.labels.get(_NODE_TYPE) == _HEAD


def began(pods: Iterable[Pod]) -> datetime | None:
    """When the newest container that runs began to, and its pod was made: by the clock of its node,
    or of the API server if that is later.
    """
    found = [
        max(moment for moment in (container.state.running.started_at, pod.metadata.creation_timestamp) if moment is not None)
        for pod in pods
        for container in pod.status.container_statuses
        if container.state.running is not None and container.state.running.started_at is not None
    ]
    return max(found, default=None)


def of_ray_cluster(conditions: Iterable[Condition], name: str, now: datetime) -> Obstacle | None:
    """What KubeRay says where it cannot make a cluster's pods: the RayJob itself says nothing.

    What it says for a moment only is no obstacle.
    """
    for condition in conditions:
        refused_for = now - (condition.last_transition_time or datetime.min.replace(tzinfo=now.tzinfo))
        if condition.type == "ReplicaFailure" and condition.status == "True" and refused_for > _A_MOMENT:
            # KubeRay says its reason twice.
            said = one_line(condition.message).removeprefix(condition.reason).strip()
            message = f"The Ray cluster of RayJob {name} cannot make its pods: {condition.reason}: {said}"
            return Obstacle(reason="PodRefused", message=message, since=condition.last_transition_time)
    return None


def of_multikueue(who: str, managed_by: str) -> Obstacle | None:
    """Why a child that Kueue dispatches to another cluster does not start: Kueue copies the job,
    and nothing else that it needs.
    """
    if managed_by != names.MULTIKUEUE:
        return None
    return Obstacle(
        reason="MultiKueue",
        message=f"{who} is in a MultiKueue queue. Kueue would run it in another cluster, which has neither its ServiceAccount nor its ConfigMap. "
        "Set spec.queueName to a LocalQueue without MultiKueue, or create the dataset in a cluster where an operator runs.",
    )


def age(metadata: ObjectMeta, now: datetime) -> timedelta:
    """How long ago an object was made."""
    return now - (metadata.creation_timestamp or now)


def one_line(text: str) -> str:
    """The text without line breaks, cut where it would fill a condition."""
    return " ".join(text.split())[:LONGEST_LINE]
