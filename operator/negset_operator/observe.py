"""Caches → facts.

It reads the caches. It requests only a few objects from the API server: events, if a Job has no
pods or a pod does not start, Workloads, if Kueue does not admit a child, and the ConfigMap with the
user's pipeline.config.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import field

from negset_api import decoding, names, validation
from negset_api.errors import InvalidSpec, Problem
from negset_api.revision import revision
from negset_api.spec import NegativeDatasetSpec
from negset_operator import classify, naming, obstacles, pipelines
from negset_operator.config import Config
from negset_operator.facts import Child, Facts, Pipeline, SupportingObject, Work
from negset_operator.kube.client import (
    EVENT,
    JOB,
    NOT_FOUND,
    POD,
    RAY_JOB,
    WORKLOADS,
    ApiError,
    Client,
    Kind,
    Unreachable,
)
from negset_operator.kube.objects import AppliedObject, Condition, Dataset, Job, Object, ObjectMeta, Pod
from negset_operator.world import SUPPORTING_KINDS, World, key_of_dataset

_PODLESS_AFTER: Final = timedelta(seconds=5)
"""A Job's pods are created within two seconds. After that, an event has the cause."""
_STUCK_AFTER: Final = timedelta(seconds=20)
"""A container starts within seconds once its pod is scheduled and its image is on the node.

After that, an event may have the cause.
"""


def observe(
    world: World,
    dataset: Dataset,
    config: Config,
    now: datetime,
    *,
    warning_of: Callable[[ObjectMeta], str],
    queue_message: Callable[[ObjectMeta], str],
    pipeline_in: Callable[[str, str], Pipeline],
) -> Facts:
    """Return everything that is known about one dataset.

    `warning_of` returns the newest warning about an object. `queue_message` returns why Kueue does
    not admit it. `pipeline_in` returns the pipeline.config in a ConfigMap of a namespace and a
    name.
    """
    spec, problems = read_spec(dataset)
    meta = dataset.metadata
    key, uid = key_of_dataset(dataset), dataset.metadata.uid
    pods: dict[str, list[Pod]] = defaultdict(list)
    for pod in world.of(POD, key):
        pods[pod.metadata.labels.get(names.LABEL_CHILD, "")].append(pod)
    not_picked_up_after = timedelta(seconds=config.patience.unseen_seconds)
    ray_jobs = (classify.ray_job(each, pods[each.metadata.name], uid, now, not_picked_up_after) for each in world.of(RAY_JOB, key))
    jobs = (_job(each, pods[each.metadata.name], uid, now, warning_of) for each in world.of(JOB, key))
    with_obstacles = (_with_stuck_pod(child, pods[child.name], now, warning_of) for child in (*ray_jobs, *jobs))
    children = tuple(_with_queue(child, queue_message) for child in with_obstacles)
    pipeline = pipelines.of(dataset, spec, children, pipeline_in)
    folder = revision(spec, pipeline.counts) if spec else ""
    return Facts(
        dataset=dataset,
        spec=spec,
        problems=problems,
        revision=folder,
        spec_hash=naming.spec_hash(spec, pipeline.counts) if spec else "",
        url=names.revision_root(spec.output.url, meta.namespace, meta.name, folder) if spec else "",
        children=children,
        supporting_objects=tuple(_supporting_object(kind, each, uid) for kind in SUPPORTING_KINDS for each in world.of(kind, key)),
        now=now,
        pipeline=pipeline,
    )


def read_spec(dataset: Dataset) -> tuple[NegativeDatasetSpec | None, tuple[Problem, ...]]:
    """Return the spec and every reason why it cannot be used.

    If this operator cannot read the spec, return None and the reasons.

    The API server has checked the schema and filled in the defaults, so a conversion is enough.
    Unknown fields are skipped. If the conversion fails, the CRD in the cluster is of another
    version than this operator. Then the slow, complete check finds the differences.
    """
    from negset_operator.policies.local_paths import local_paths

    try:
        spec = decoding.convert(dataset.spec, NegativeDatasetSpec)
    except msgspec.ValidationError:
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": dataset.metadata.name, "namespace": dataset.metadata.namespace},
            "spec": dataset.spec,
        }
        try:
            spec = validation.parse_admitted(manifest).spec
        except InvalidSpec as invalid:
            return None, invalid.problems
    return spec, local_paths(spec)


def _job(job: Job, pods: list[Pod], uid: str, now: datetime, warning_of: Callable[[ObjectMeta], str]) -> Child:
    podless = not pods and not job.spec.suspend and not job.status.conditions
    return classify.job(job, pods, uid, warning_of(job.metadata) if podless and obstacles.age(job.metadata, now) > _PODLESS_AFTER else "")


def _with_stuck_pod(child: Child, pods: list[Pod], now: datetime, warning_of: Callable[[ObjectMeta], str]) -> Child:
    if child.work not in {Work.NOT_PICKED_UP, Work.STARTING} or child.obstacle is not None:
        return child
    pod = obstacles.stuck_pod(pods, now, _STUCK_AFTER)
    warning = warning_of(pod.metadata) if pod is not None else ""
    return msgspec.structs.replace(child, obstacle=obstacles.not_starting(pod, warning)) if pod is not None and warning else child


def _with_queue(child: Child, queue_message: Callable[[ObjectMeta], str]) -> Child:
    queued = child.queue and child.suspended and child.work is Work.SUSPENDED
    return msgspec.structs.replace(child, queue_message=queue_message(child.metadata)) if queued else child


def _supporting_object(kind: Kind, item: AppliedObject, uid: str) -> SupportingObject:
    return SupportingObject(
        kind=kind.kind,
        name=item.metadata.name,
        uid=item.metadata.uid,
        applied=item.applied,
        ours=item.metadata.owned_by(uid),
        edited=item.edited,
        spec_hash=item.metadata.labels.get(names.LABEL_SPEC_HASH, ""),
        terminating=item.metadata.deletion_timestamp is not None,
    )


class _WorkloadStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class _Workload(Object, frozen=True, kw_only=True):
    status: _WorkloadStatus = field(default_factory=_WorkloadStatus)


def why_queued(client: Client, metadata: ObjectMeta) -> str:
    """Return Kueue's message why it does not admit a child, or nothing if there is none."""
    query = {"labelSelector": f"{names.LABEL_WORKLOAD_OF}={metadata.uid}", "limit": "10"}
    for kind in WORKLOADS:
        try:
            workloads = client.list_page(kind, metadata.namespace, _Workload, query=query)
        except ApiError as error:
            if error.status == NOT_FOUND:  # Kueue does not serve this version
                continue
            return ""
        except Unreachable:
            return ""
        reserved = (condition for each in workloads for condition in each.status.conditions if condition.type == "QuotaReserved")
        return next((obstacles.one_line(condition.message) for condition in reserved if condition.status == "False"), "")
    return ""


class _Event(Object, frozen=True, kw_only=True):
    type: str = ""
    message: str = ""
    last_timestamp: datetime | None = None
    event_time: datetime | None = None


def newest_warning(client: Client, metadata: ObjectMeta) -> str:
    """Return the message of the newest warning event about an object.

    It is empty if there is none, or if the request fails.
    """
    query = {"fieldSelector": f"involvedObject.uid={metadata.uid},type=Warning", "limit": "50"}
    try:
        events = client.list_page(EVENT, metadata.namespace, _Event, query=query)
    except (ApiError, Unreachable):
        return ""
    oldest = metadata.creation_timestamp
    newest = max(events, key=lambda event: str(event.last_timestamp or event.event_time or oldest), default=None)
    return newest.message if newest else ""
