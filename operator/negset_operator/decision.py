"""What must be done: one frozen value that `apply` carries out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from negset_api import stages
from negset_operator.facts import Child, Fault

Manifest = Mapping[str, Any]
"""A Kubernetes object as it is sent. It is never changed after it was built."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition without its last transition time, which depends on the stored condition."""

    type: str
    status: bool
    reason: str
    message: str


class DesiredStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The operator's part of the status.

    Empty strings are absent fields. `completed` None leaves the stored record as it is. `numbers`
    are the jobs' fields that the status must have. `forget_progress` removes the jobs' other
    fields. `makes_progress`: a job makes progress now, so that its estimate is valid; None if that
    is not known. `runs` are the runs whose jobs may write to the status.
    """

    stage: str
    conditions: tuple[Condition, ...]
    revision: str = ""
    url: str = ""
    report_url: str = ""
    completed: Mapping[str, Any] | None = None
    numbers: Mapping[str, Any] = {}
    forget_progress: bool = False
    makes_progress: bool | None = None
    runs: tuple[str, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        return next((condition for condition in self.conditions if condition.type == kind), None)


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """Deletes an object. `at_once` does not wait until the node reports the end of the pod."""

    kind: str
    name: str
    uid: str
    why: str
    at_once: bool = False


def deletion(child: Child, why: str) -> Deletion:
    """Return the deletion of a child."""
    return Deletion(kind=child.kind, name=child.name, uid=child.metadata.uid, why=why)


class SetSuspend(msgspec.Struct, frozen=True, kw_only=True):
    """Sets `spec.suspend` of a child."""

    kind: str
    name: str
    suspend: bool


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """Sets a deadline in the past on a child.

    Its controller ends the child as failed, so that it counts as an attempt.
    """

    kind: str
    name: str
    uid: str
    why: str


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """Sets labels on a child that continues after an edit or an upgrade of the operator."""

    kind: str
    name: str
    uid: str
    labels: dict[str, str]


class Creation(msgspec.Struct, frozen=True, kw_only=True):
    """An object to create.

    `update`: it exists and is ours, so it is applied. Otherwise it is created, and an existing
    object of that name is not changed. `deferrable`: the next reconcile may create it instead.
    """

    manifest: Manifest
    update: bool = False
    deferrable: bool = False


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """A failed attempt at a step that the metrics have not counted yet.

    `version` is the child's resource version.
    """

    kind: str
    name: str
    uid: str
    version: str
    step: stages.Kind
    fault: Fault


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """A step that is done and that the status does not record yet, with its duration."""

    step: stages.Kind
    seconds: float


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What must be done.

    The order is: `failed` is counted, then finalizers, deletions, adoptions, suspend_changes,
    limits, creations, and last the status. `finished` is counted with the status.

    `wake_after` is in seconds; None waits for the next change. `final_event` is the message of an
    event that is recorded before the finalizer is removed: there is no status afterwards.
    """

    desired_status: DesiredStatus | None
    finalizers: tuple[str, ...] | None = None
    deletions: tuple[Deletion, ...] = ()
    adoptions: tuple[Adoption, ...] = ()
    suspend_changes: tuple[SetSuspend, ...] = ()
    limits: tuple[Limit, ...] = ()
    creations: tuple[Creation, ...] = ()
    wake_after: float | None = None
    final_event: str = ""
    failed: tuple[Failed, ...] = ()
    finished: tuple[Finished, ...] = ()


def without_deferrable(decision: Decision) -> Decision:
    """Return the decision without the creations that can wait for the next reconcile."""
    return msgspec.structs.replace(decision, creations=tuple(each for each in decision.creations if not each.deferrable))
