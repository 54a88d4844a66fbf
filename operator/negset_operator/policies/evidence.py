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


def recorded(facts: Facts) -> frozenset[str]:
    """The roles of the steps that the status says are done where the spec says now."""
    try:
        record = decoding.convert(facts.dataset.status.get("completed") or {}, Completed)
    except msgspec.ValidationError:  # another version of the operator may have written it
        return frozenset()
    believed = record.uid == facts.dataset.metadata.uid and record.url == facts.url
    return frozenset(record.steps) if believed else frozenset()


def record(facts: Facts, roles: tuple[str, ...]) -> dict[str, Any] | None:
    """The record to write; None leaves the one that is there, of another URL perhaps, until something is done here."""
    if not roles:
        return None
    done = Completed(uid=facts.dataset.metadata.uid, revision=facts.revision, url=facts.url, steps=roles)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain | {"steps": list(roles)}
