"""What was done, as the status records it: the steps, for which object (uid), and where (url).

Children are evidence only while they exist, and anybody may delete them. The record stays. It is
believed for this object and this URL alone: a moved output has nothing in it yet.
"""

from __future__ import annotations

from typing import Any

import msgspec

from negset_api import decoding
from negset_api.status import Completed
from negset_operator.facts import Child, Facts
from negset_operator.kube.objects import Dataset
from negset_operator.policies import relevance


def recorded(facts: Facts) -> frozenset[str]:
    """The roles of the steps that the status says are done where the spec says now."""
    record = _stored(facts.dataset)
    return frozenset(record.steps) if _believed(record, facts) else frozenset()


def is_news(child: Child, facts: Facts) -> bool:
    """Whether the record lacks the step of a finished child.

    After a change of the URL, the record is still that of the earlier place. A child that worked there
    is in it, even if its step counts here as well. A child that worked here is not.
    """
    record = _stored(facts.dataset)
    return child.role not in record.steps or (not _believed(record, facts) and relevance.here(child, facts))


def pipeline(dataset: Dataset) -> str:
    """The digest of the pipeline.config that the steps were done with; empty if nothing is recorded for this object."""
    record = _stored(dataset)
    return record.pipeline if record.uid == dataset.metadata.uid else ""


def record(facts: Facts, roles: tuple[str, ...]) -> dict[str, Any] | None:
    """The record to write; None leaves the one that is there, of another URL perhaps, until something is done here."""
    if not roles:
        return None
    used = facts.pipeline.digest
    done = Completed(uid=facts.dataset.metadata.uid, revision=facts.revision, url=facts.url, steps=roles, pipeline=used)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    # A patch that leaves a field out would not remove it.
    emptied = {"pipeline": ""} if not used and "pipeline" in (facts.dataset.status.get("completed") or {}) else {}
    return plain | {"steps": list(roles)} | emptied


def _stored(dataset: Dataset) -> Completed:
    try:
        return decoding.convert(dataset.status.get("completed") or {}, Completed)
    except msgspec.ValidationError:  # another version of the operator may have written it
        return Completed()


def _believed(record: Completed, facts: Facts) -> bool:
    return record.uid == facts.dataset.metadata.uid and record.url == facts.url
