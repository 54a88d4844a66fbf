"""What a decision is made of: one frozen value with everything that was seen.

No decision looks anywhere else.
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
"""The deadline, in seconds, by which the operator ends a child as failed: whatever runs has passed
it.
"""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is seen."""


class Work(enum.Enum):
    """What a child's work has come to, whatever kind of object it is."""

    NOT_PICKED_UP = "unseen"  # no controller has touched it yet
    SUSPENDED = "suspended"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"

    @property
    def finished(self) -> bool:
        return self in {Work.SUCCEEDED, Work.FAILED}


class Fault(enum.Enum):
    """Whose fault a failure is: it decides whether the same work is tried again."""

    INPUT = "input"  # the job says that its input is wrong (exit code 2): the user must act
    WORK = "work"  # the job tried and failed: it may be tried again, a bounded number of times
    # A store or a server was away: it is tried again for hours, with growing pauses, and counts as
    # no attempt.
    UNAVAILABLE = "unavailable"
    INTERRUPTION = "interruption"  # the job was stopped from outside: not a failure at all
    REFUSED = "refused"  # a controller refuses the object: trying again is useless


class Failure(Fact, frozen=True, kw_only=True):
    """Why a child failed.

    `message` is one line: the last one that the job wrote to standard error, where there is one.
    `silent`: there is none, or its pod is gone with it.
    """

    fault: Fault
    message: str
    silent: bool = False


class Obstacle(Fact, frozen=True, kw_only=True):
    """Why a child does not start, or does not go on: a reason in CamelCase, and one line for people
    that names the object. `since` is None if nobody can tell.
    """

    reason: str
    message: str
    since: datetime | None = None


class PodOnLostNode(Fact, frozen=True, kw_only=True):
    """A pod that was told to leave a node that does not answer.

    `until` is when its time to end in peace is, or was, over.
    """

    name: str
    uid: str
    node: str
    until: datetime


class Child(Fact, frozen=True, kw_only=True):
    """A RayJob or Job with our labels.

    `ended` is when it finished. `last_failure` is one line about a pod that failed and is being
    replaced, `said` what a Job that succeeded had to tell. `began` is when the newest of the
    containers that matter began to run, `deadline` its limit in seconds, if it has one.

    From its labels: `generation` is the dataset's when the child was made, `digest` its step's,
    `place` where it writes, `queue` Kueue's. The first three are empty on a child that negset 0.1.0
    made. `suspended_by_us`: the operator set `spec.suspend`, and may clear it. `queue_says` is why
    Kueue does not admit it. `built` is the digest of the spec it was made with, `retry` that of the
    dataset's annotation then, `pipeline` that of the pipeline.config in the ConfigMap that the spec
    named. `obsolete`: it is to be made anew (`policies.retry`).

    `busy`: a pod of a Job runs, although the Job as a whole has not started. `started` is when its
    controller says that it began: a Job again after each suspension. `counted`: it failed, and the
    metrics have it.
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
    said: str = ""
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
    queue_says: str = ""
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
        """Whether the operator has set it a deadline that has passed."""
        return self.deadline == OVERDUE

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def terminating(self) -> bool:
        """Whether it was told to go away and has not gone yet."""
        return self.metadata.deletion_timestamp is not None


class Pipeline(Fact, frozen=True, kw_only=True):
    """The pipeline.config in the ConfigMap that the spec names; empty if it names none.

    `problem` says why it cannot be read now. `digest` is then of the content that was used last, or
    empty. `uncounted`: everything was done by a version that left the content out of the revision.
    So does this one, until the content changes.
    """

    content: bytes = b""
    digest: str = ""
    problem: str = ""
    uncounted: bool = False

    @property
    def counts(self) -> str:
        """The digest as part of the revision, the run and the steps' digests."""
        return "" if self.uncounted else self.digest


class SupportingObject(Fact, frozen=True, kw_only=True):
    """A ConfigMap, ServiceAccount, Role, …: what the children need beside them.

    `applied` is the digest of what was applied last; `edited` says that somebody has changed it
    since.
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
    """Everything that was seen of one dataset.

    `spec` is None if this operator does not understand it; `problems` say why, or why it cannot be
    used.

    `url` is where the dataset goes. `backlog`: others wait for their turn.
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
    backlog: bool = False
    pipeline: Pipeline = Pipeline()
