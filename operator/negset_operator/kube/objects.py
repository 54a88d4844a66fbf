"""The objects that the operator watches, as frozen types with only the fields that it reads.

Other fields are not kept in memory. Field names are those of the API. Of `metadata.annotations`,
only negset's are kept: `kubectl apply` stores the whole manifest in another one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import field

from negset_api import names


class Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the types: immutable, camelCase, and decoding skips unknown fields."""


class OwnerReference(Object, frozen=True, kw_only=True):
    uid: str
    kind: str = ""
    name: str = ""


class Annotations(Object, frozen=True, kw_only=True):
    """The annotations of negset.

    `applied` is the digest of what the operator applied last. A user writes a new value into
    `retry` to retry failed steps.
    """

    applied: str = field(default="", name=names.ANNOTATION_APPLIED)
    retry: str = field(default="", name=names.ANNOTATION_RETRY)


class ObjectMeta(Object, frozen=True, kw_only=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: Annotations = field(default_factory=Annotations)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()

    def owned_by(self, uid: str) -> bool:
        return any(owner.uid == uid for owner in self.owner_references)


class Dataset(Object, frozen=True, kw_only=True):
    """A NegativeDataset as it is stored. `spec` and `status` are not checked yet.

    `progress_seen_at` is not stored. It is when this process saw that the jobs' progress had
    changed, by its own clock.
    """

    metadata: ObjectMeta
    spec: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    progress_seen_at: datetime | None = None


class Condition(Object, frozen=True, kw_only=True):
    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class RayClusterStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()


class ChildSpec(Object, frozen=True, kw_only=True):
    suspend: bool = False
    managed_by: str = ""
    active_deadline_seconds: int | None = None


class RayJobStatus(Object, frozen=True, kw_only=True):
    job_status: str = ""
    job_deployment_status: str = ""
    reason: str = ""
    message: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    ray_cluster_status: RayClusterStatus = field(default_factory=RayClusterStatus)


class RayJob(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: ChildSpec = field(default_factory=ChildSpec)
    status: RayJobStatus = field(default_factory=RayJobStatus)


class JobStatus(Object, frozen=True, kw_only=True):
    conditions: tuple[Condition, ...] = ()
    active: int = 0
    ready: int = 0
    succeeded: int = 0
    failed: int = 0
    terminating: int = 0
    start_time: datetime | None = None
    completion_time: datetime | None = None


class JobSpec(ChildSpec, frozen=True, kw_only=True):
    parallelism: int = 1


class Job(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: JobSpec = field(default_factory=JobSpec)
    status: JobStatus = field(default_factory=JobStatus)


class Waiting(Object, frozen=True, kw_only=True):
    reason: str = ""
    message: str = ""


class Running(Object, frozen=True, kw_only=True):
    started_at: datetime | None = None


class Terminated(Object, frozen=True, kw_only=True):
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    finished_at: datetime | None = None


class ContainerState(Object, frozen=True, kw_only=True):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Object, frozen=True, kw_only=True):
    name: str
    state: ContainerState = field(default_factory=ContainerState)


class PodStatus(Object, frozen=True, kw_only=True):
    phase: str = ""
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()


class PodSpec(Object, frozen=True, kw_only=True):
    node_name: str = ""


class Pod(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: PodSpec = field(default_factory=PodSpec)
    status: PodStatus = field(default_factory=PodStatus)


class AppliedObject(Object, frozen=True, kw_only=True):
    """The metadata of a ConfigMap, ServiceAccount, Role, RoleBinding, Service or NetworkPolicy.

    The operator does not read the content. It compares the digest of what it applied last.
    `edited`: another client changed the object while this process watched it.
    """

    metadata: ObjectMeta
    edited: bool = False

    @property
    def applied(self) -> str:
        return self.metadata.annotations.applied
