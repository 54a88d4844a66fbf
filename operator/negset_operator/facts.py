"""Everything that a decision is based on, in one frozen value.

Decisions read nothing else, except the configuration.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Final

import msgspec

from negset_api.errors import Problem
from negset_api.spec import NegativeDatasetSpec
from negset_operator.kube.objects import Dataset, ObjectMeta

OVERDUE: Final = 1
"""The deadline, in seconds, that the operator sets to end a child as failed.

Every running child is older than that.
"""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the facts."""


class Work(enum.Enum):
    """The state of a child's work, for every kind of child."""

    NOT_PICKED_UP = "not picked up"  # no controller has touched it yet
    SUSPENDED = "suspended"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        return self in {Work.SUCCEEDED, Work.FAILED}


class Fault(enum.Enum):
    """The cause of a failure. It decides whether the step is retried."""

    INPUT = "input"  # The job reports invalid input (exit code 2). The user must act.
    WORK = "work"  # The job failed. It is retried a limited number of times.
    # A store or a server cannot be reached (a transient error). The step is retried for hours, with
    # growing pauses. It does not count as a failed attempt.
    UNAVAILABLE = "unavailable"
    INTERRUPTION = "interruption"  # The job was stopped from outside, and did not fail itself.
    REFUSED = "refused"  # A controller rejects the object. A retry does not help.


class Failure(Fact, frozen=True, kw_only=True):
    """Why a child failed.

    `message` is one line, with the last line that the job wrote to standard error.
    `silent`: the job wrote no line, or its pod was deleted before the line was read.
    """

    fault: Fault
    message: str
    silent: bool = False


class Obstacle(Fact, frozen=True, kw_only=True):
    """Why a child does not start or does not continue.

    `reason` is in CamelCase. `message` is one line for people that names the object. `since` is
    None if it is not known.
    """

    reason: str
    message: str
    since: datetime | None = None


class PodOnLostNode(Fact, frozen=True, kw_only=True):
    """A terminating pod on a node that does not answer.

    `until` is the end of its grace period.
    """

    name: str
    uid: str
    node: str
    until: datetime


class Child(Fact, frozen=True, kw_only=True):
    """A RayJob or Job with our labels.

    From its status and its pods:
    `started` is the start time that its controller reports; a Job resets it after a suspension.
    `ended` is when it finished.
    `began` is when its newest running container started; of a RayJob, only the head counts.
    `deadline` is its limit in seconds, if it has one.
    `last_failure` is one line about a failed pod that is being replaced.
    `termination_message` is the last line that a Job wrote before it succeeded.
    `busy`: a pod of a Job runs, although the Job as a whole has not started.
    `queue_message` is why Kueue does not admit it.

    From its labels:
    `attempt` counts from 1; a child of negset 0.1.0 has it only in its name.
    `generation` is that of the dataset when the child was created.
    `digest` is the digest of its step.
    `place` identifies where it writes. These three are empty or 0 on a child of negset 0.1.0.
    `queue` is Kueue's queue.
    `suspended_by_us`: the operator set `spec.suspend`, and may clear it.
    `built` is the digest of the spec that the child was created with.
    `retry` is the digest of the dataset's annotation at that time.
    `pipeline` is the digest of the pipeline.config at that time, if the spec names a ConfigMap.
    `counted`: it failed, and the metrics have counted it.

    `obsolete`: it must be built again (`policies.retry`).
    """

    kind: str
    metadata: ObjectMeta
    work: Work
    suspended: bool = False
    ended: datetime | None = None
    failure: Failure | None = None
    obstacle: Obstacle | None = None
    last_failure: str = ""
    began: datetime | None = None
    deadline: int | None = None
    termination_message: str = ""
    pods_on_lost_nodes: tuple[PodOnLostNode, ...] = ()
    ours: bool = True
    revision: str = ""
    spec_hash: str = ""
    role: str = ""
    attempt: int = 1
    generation: int = 0
    digest: str = ""
    place: str = ""
    queue: str = ""
    queue_message: str = ""
    suspended_by_us: bool = False
    built: str = ""
    retry: str = ""
    pipeline: str = ""
    obsolete: bool = False
    busy: bool = False
    started: datetime | None = None
    counted: bool = False

    @property
    def overdue(self) -> bool:
        """Whether the operator has set a deadline to end it."""
        return self.deadline == OVERDUE

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def terminating(self) -> bool:
        """Whether it is being deleted."""
        return self.metadata.deletion_timestamp is not None


class Pipeline(Fact, frozen=True, kw_only=True):
    """The pipeline.config in the ConfigMap that the spec names; empty if it names none.

    `problem` is why it cannot be read now. Then `digest` is of the content that was used last, or
    empty. `uncounted`: a version that left the content out of the revision has completed the
    dataset. This version leaves it out as well, until the content changes.
    """

    content: bytes = b""
    digest: str = ""
    problem: str = ""
    uncounted: bool = False

    @property
    def counts(self) -> str:
        """The digest that is part of the revision, the run and the steps' digests, or empty."""
        return "" if self.uncounted else self.digest


class SupportingObject(Fact, frozen=True, kw_only=True):
    """An object that the children need: a ConfigMap, a ServiceAccount, a Role and others.

    `applied` is the digest of what was applied last. `edited`: it was changed since.
    """

    kind: str
    name: str
    uid: str
    applied: str
    ours: bool
    edited: bool = False
    spec_hash: str = ""
    terminating: bool = False


class Facts(Fact, frozen=True, kw_only=True):
    """Everything that is known about one dataset.

    `spec` is None if this operator cannot read it. `problems` are the reasons why it cannot be read
    or used.
    `url` is the folder of the revision.

    `data_again`: the data step has completed and must run again (`policies.failed_images`).
    """

    dataset: Dataset
    spec: NegativeDatasetSpec | None
    problems: tuple[Problem, ...]
    revision: str
    spec_hash: str
    children: tuple[Child, ...]
    supporting_objects: tuple[SupportingObject, ...]
    now: datetime
    url: str = ""
    pipeline: Pipeline = Pipeline()
    data_again: bool = False
