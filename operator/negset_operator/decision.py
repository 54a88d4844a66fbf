"""What is to be done: one frozen value that `apply` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from negset_api import stages
from negset_operator.facts import Child, Fault

Manifest = Mapping[str, Any]
"""A Kubernetes object as it goes over the wire. Nobody changes one after it was built."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition as decided: the time of its last transition is found when it is compared with
    what is stored.
    """

    type: str
    status: bool
    reason: str
    message: str


class DesiredStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's part of the status.

    Empty strings are absent fields. `completed` None leaves the record of what was done as it is.

    `numbers` are the jobs' fields that the status must have. `moving`: whether a job makes progress
    now, so that its estimate holds; None if that is not known. `runs` are those whose jobs may
    report.
    """

    stage: str
    conditions: tuple[Condition, ...]
    revision: str = ""
    url: str = ""
    report_url: str = ""
    completed: Mapping[str, Any] | None = None
    numbers: Mapping[str, Any] = {}
    forget_progress: bool = False
    moving: bool | None = None
    runs: tuple[str, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """`at_once` does not wait for the node to say that the pod has ended."""

    kind: str
    name: str
    uid: str
    why: str
    at_once: bool = False


def deletion(child: Child, why: str) -> Deletion:
    """The deletion of a child."""
    return Deletion(kind=child.kind, name=child.name, uid=child.metadata.uid, why=why)


class SetSuspend(msgspec.Struct, frozen=True, kw_only=True):
    """Sets `spec.suspend` of a child."""

    kind: str
    name: str
    suspend: bool


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Gives a child a deadline that has passed: its controller ends it as failed, so that it counts
    as an attempt.
    """

    kind: str
    name: str
    uid: str
    why: str


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """Sets labels of a child that goes on after an edit, or that an earlier version of the operator
    made.
    """

    kind: str
    name: str
    uid: str
    labels: dict[str, str]


class Creation(msgspec.Struct, frozen=True, kw_only=True):
    """An object to be made.

    `update` says that it exists, is ours, and is brought up to date; else it is created, and an
    object of that name that is there already is left alone.
    """

    manifest: Manifest
    update: bool = False


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt at a step that failed and that the metrics do not have yet.

    `version` is the child's resource version.
    """

    kind: str
    name: str
    uid: str
    version: str
    step: stages.Kind
    fault: Fault


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A step that the status does not record as done yet, and how long it took."""

    step: stages.Kind
    seconds: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, in this order: finalizers, deletions, adoptions, suspend_changes, limits,
    creations, and last the status.

    `failed` is counted before anything else, and `finished` with the status.

    `wake_after` is in seconds; None waits for news. `farewell` is told as an event before the
    object is let go: there is no status afterwards.
    """

    desired_status: DesiredStatus | None
    finalizers: tuple[str, ...] | None = None
    deletions: tuple[Deletion, ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    suspend_changes: tuple[SetSuspend, ...] = ()
    limits: tuple[Limit, ...] = ()
    creations: tuple[Creation, ...] = ()
    wake_after: float | None = None
    farewell: str = ""
    failed: tuple[Failed, ...] = ()
    finished: tuple[Finished, ...] = ()
