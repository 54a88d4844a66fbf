"""What was done, as the status records it: the steps, for which object (uid), and where (url).

Children are evidence only while they exist, and anybody may delete them. The record stays. It is
believed for this object and this URL alone: a moved output has nothing in it yet.
"""

from __future__ import annotations

from typing import Any

import msgspec

from negset_api import decoding
from negset_api.status import Completed
from negset_operator.facts import Facts
from negset_operator.kube.objects import Dataset


def recorded(facts: Facts) -> frozenset[str]:
    """The roles of the steps that the status says are done where the spec says now."""
    record = completed(facts.dataset)
    return frozenset(record.steps) if record.url == facts.url else frozenset()


def completed(dataset: Dataset) -> Completed:
    """The record, as far as it is of this object."""
    try:
        record = decoding.convert(dataset.status.get("completed") or {}, Completed)
    except msgspec.ValidationError:  # another version of the operator may have written it
        return Completed()
    return record if record.uid == dataset.metadata.uid else Completed()


def record(facts: Facts, roles: tuple[str, ...]) -> dict[str, Any] | None:
    """The record to write; None leaves the one that is there, of another URL perhaps, until something is done here."""
    if not roles:
        return None
    pipeline = facts.pipeline.digest
    done = Completed(uid=facts.dataset.metadata.uid, revision=facts.revision, url=facts.url, steps=roles, pipeline=pipeline)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    # A patch that leaves a field out would not remove it.
    emptied = {"pipeline": ""} if not pipeline and "pipeline" in (facts.dataset.status.get("completed") or {}) else {}
    return plain | {"steps": list(roles)} | emptied
