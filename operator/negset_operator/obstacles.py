"""Why a child does not start or does not continue, as Kubernetes and KubeRay report it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from negset_api import names
from negset_operator.facts import Obstacle, PodOnLostNode
from negset_operator.kube.objects import Condition, ObjectMeta, Pod

LONGEST_LINE: Final = 1000

# The kubelet's reasons for a waiting container that usually require a person to act.
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
# The kubelet alternates between the two. That must not be a new event each time.
_SAME_REASON: Final = {"ErrImagePull": "ImagePullBackOff"}


def stuck_pod(pods: Iterable[Pod], now: datetime, after: timedelta) -> Pod | None:
    """Return a pod that has a node and whose containers have not started within `after`.

    Some causes, for example a missing volume, show only in events.
    """
    for pod in pods:
        scheduled = any(condition.type == "PodScheduled" and condition.status == "True" for condition in pod.status.conditions)
        if pod.status.phase == "Pending" and scheduled and pod.metadata.deletion_timestamp is None and age(pod.metadata, now) > after:
            return pod
    return None


def not_starting(pod: Pod, warning: str) -> Obstacle:
    """Return the obstacle that the newest warning event of a stuck pod describes."""
    return Obstacle(reason="PodNotStarting", message=f"Pod {pod.metadata.name} does not start: {one_line(warning)}")


def pods_on_lost_nodes(pods: Iterable[Pod]) -> tuple[PodOnLostNode, ...]:
    """Return the pods that Kubernetes deletes because their node does not answer.

    They stay until their node reports their end, or until the node is removed.
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
    """Return why the first pod that does not start does not; None if all start."""
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
                detail = f": {one_line(waiting.message)}" if waiting.message else ""
                message = f"Container {container.name} of pod {name} cannot start: {waiting.reason}{detail}"
                return Obstacle(reason=_SAME_REASON.get(waiting.reason, waiting.reason), message=message, since=_unready_since(pod))
    return None


def _unready_since(pod: Pod) -> datetime | None:
    """Return since when a pod is not ready, but not earlier than its creation.

    The time is by the clock of its node, which may be slow.
    """
    times = (each.last_transition_time for each in pod.status.conditions if each.type == "Ready" and each.status == "False")
    since, created = next(times, None), pod.metadata.creation_timestamp
    return max(since, created) if since is not None and created is not None else since


def of_running_cluster(pods: Iterable[Pod], conditions: Iterable[Condition], name: str, now: datetime) -> Obstacle | None:
    """Return why the Ray cluster of a running RayJob does no work.

    That is so if its head does not run, or if none of its workers runs. One missing worker stops
    nothing.
    """
    present = tuple(pod for pod in pods if pod.metadata.deletion_timestamp is None)
    heads = tuple(pod for pod in present if is_head(pod))
    workers = tuple(pod for pod in present if not is_head(pod))
    for group in (heads, workers):
        if any(pod.status.phase == "Running" and of_pods((pod,)) is None for pod in group):
            continue
        if (obstacle := of_pods(group) or (of_ray_cluster(conditions, name, now) if not group else None)) is not None:
            return obstacle
    return None


def is_head(pod: Pod) -> bool:
    """Return True if a pod is the head of a Ray cluster, by KubeRay's label."""
    return pod.metadata.labels.get(_NODE_TYPE) == _HEAD


def began(pods: Iterable[Pod]) -> datetime | None:
    """Return when the newest running container started, but not earlier than its pod's creation.

    The start is by the clock of the node, the creation by that of the API server.
    """
    found = [
        max(moment for moment in (container.state.running.started_at, pod.metadata.creation_timestamp) if moment is not None)
        for pod in pods
        for container in pod.status.container_statuses
        if container.state.running is not None and container.state.running.started_at is not None
    ]
    return max(found, default=None)


def of_ray_cluster(conditions: Iterable[Condition], name: str, now: datetime) -> Obstacle | None:
    """Return why KubeRay cannot create the pods of a cluster. The RayJob has no cause.

    A refusal that lasts only for a moment is no obstacle.
    """
    for condition in conditions:
        refused_for = now - (condition.last_transition_time or datetime.min.replace(tzinfo=now.tzinfo))
        if condition.type == "ReplicaFailure" and condition.status == "True" and refused_for > _A_MOMENT:
            # KubeRay repeats the reason at the start of its message.
            detail = one_line(condition.message).removeprefix(condition.reason).strip()
            message = f"KubeRay cannot create the pods of RayJob {name}: {condition.reason}: {detail}"
            return Obstacle(reason="PodRefused", message=message, since=condition.last_transition_time)
    return None


def of_multikueue(who: str, managed_by: str) -> Obstacle | None:
    """Return why a child that Kueue dispatches to another cluster does not start.

    Kueue copies the job alone, without the supporting objects that it needs.
    """
    if managed_by != names.MULTIKUEUE:
        return None
    return Obstacle(
        reason="MultiKueue",
        message=f"{who} is in a MultiKueue queue. Kueue would run it in another cluster, which has neither its ServiceAccount nor its ConfigMap. "
        "Set spec.queueName to a LocalQueue without MultiKueue, or create the dataset in a cluster where an operator runs.",
    )


def age(metadata: ObjectMeta, now: datetime) -> timedelta:
    """Return the time since an object was created."""
    return now - (metadata.creation_timestamp or now)


def one_line(text: str) -> str:
    """Return the text without line breaks, cut to `LONGEST_LINE` characters."""
    return " ".join(text.split())[:LONGEST_LINE]
