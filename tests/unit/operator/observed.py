"""RayJobs, Jobs and pods as the operator observes them, and the children made from them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from negset_operator import classify
from negset_operator.kube.objects import Job, Pod, RayJob

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MOMENT = "2026-03-01T11:20:00Z"
OWNER = "owner"
META = {"name": "child", "namespace": "team-a", "ownerReferences": [{"uid": OWNER}], "creationTimestamp": "2026-03-01T11:59:50Z"}
LOGS = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\n{}"


def ray_job(status: dict[str, Any], *, suspend: bool = False, pods: tuple[Pod, ...] = (), now: datetime = NOW, managed_by: str = ""):
    spec = {"suspend": suspend, "managedBy": managed_by}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, RayJob, strict=False)
    return classify.ray_job(item, pods, OWNER, now, timedelta(seconds=30))


def job(status: dict[str, Any], *, suspend: bool = False, pods: tuple[Pod, ...] = (), warning: str = "", managed_by: str = ""):
    spec = {"suspend": suspend, "parallelism": status.get("parallelism", 1), "managedBy": managed_by}
    item = msgspec.convert({"metadata": META, "spec": spec, "status": status}, Job, strict=False)
    return classify.job(item, pods, OWNER, warning)


def pod(**status: Any) -> Pod:
    return msgspec.convert({"metadata": {"name": "pod-1"}, "status": status}, Pod, strict=False)


def waiting(reason: str, message: str = "", container: str = "trainer") -> Pod:
    return pod(phase="Pending", containerStatuses=[{"name": container, "state": {"waiting": {"reason": reason, "message": message}}}])


def terminated(code: int, message: str = "", finished: str = "2026-03-01T11:00:00Z") -> Pod:
    state = {"terminated": {"exitCode": code, "message": message, "finishedAt": finished}}
    return pod(phase="Failed", containerStatuses=[{"name": "trainer", "state": state}])


def condition(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": "2026-03-01T11:30:00Z"}


def of_cluster(node_type: str, name: str = "", **status: Any) -> Pod:
    meta = {"name": name or f"{node_type}-1", "labels": {"ray.io/node-type": node_type}, "creationTimestamp": "2026-03-01T11:00:00Z"}
    return msgspec.convert({"metadata": meta, "status": status}, Pod, strict=False)


def running(node_type: str, started: str = "2026-03-01T11:40:00Z") -> Pod:
    return of_cluster(node_type, phase="Running", containerStatuses=[{"name": "ray", "state": {"running": {"startedAt": started}}}])


def crashing(node_type: str, name: str = "") -> Pod:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}}
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-03-01T11:20:00Z"}
    return of_cluster(node_type, name, phase="Running", conditions=[ready], containerStatuses=[{"name": "ray", "state": state}])


def unschedulable(node_type: str) -> Pod:
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes.", "lastTransitionTime": MOMENT}
    return of_cluster(node_type, phase="Pending", conditions=[said])
