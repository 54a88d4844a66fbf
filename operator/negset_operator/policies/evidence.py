"""What was done, as the status records it: the steps, for which object (uid), and where (url).

Children are evidence only while they exist, and anybody may delete them. The record stays. It is
believed for this object and this URL alone: a moved output has nothing in it yet.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from negset_api import decoding, names, stages
from negset_api.revision import revision as revision_of
from negset_api.spec import NegativeDatasetSpec
from negset_api.status import Completed
from negset_operator.facts import Child, Facts
from negset_operator.kube.objects import Dataset
from negset_operator.policies import relevance

JOBS_NUMBERS: Final = ("images", "rounds", "falsePositivesPerImage")


def recorded(facts: Facts) -> frozenset[str]:
    """The roles of the steps that the status says are done where the spec says now."""
    record = _stored(facts.dataset)
    return frozenset(record.steps) if _believed(record, facts) else frozenset()


def is_news(child: Child, facts: Facts) -> bool:
    """Whether the record lacks the step of a finished child.

    After a change of the URL, the record is still that of the earlier place. A child that worked
    there is in it, even if its step counts here as well. A child that worked here is not.
    """
    record = _stored(facts.dataset)
    return child.role not in record.steps or (not _believed(record, facts) and relevance.here(child, facts))


def pipeline(dataset: Dataset) -> str:
    """The digest of the pipeline.config that the steps were done with; empty if nothing is recorded
    for this object.
    """
    record = _stored(dataset)
    return record.pipeline if record.uid == dataset.metadata.uid else ""


def complete_without(pipeline: str, dataset: Dataset, spec: NegativeDatasetSpec) -> bool:
    """Whether every step is recorded for a revision that does not depend on what the spec's
    ConfigMap holds.

    So an upgrade from such a version does nothing again. Nothing is known of what the ConfigMap
    held then: what it holds at the upgrade, the digest `pipeline`, is recorded and counts as the
    same.
    """
    record, meta = _stored(dataset), dataset.metadata
    # Without a ConfigMap, no record would differ.
    named = spec.training is not None and bool(spec.training.pipeline_config.config_map)
    if not named or record.uid != meta.uid or record.pipeline not in {"", pipeline}:
        return False
    url = names.revision_root(spec.output.url, meta.namespace, meta.name, revision_of(spec))
    return record.url == url and {step.role for step in stages.steps(spec)} <= set(record.steps)


def revision(dataset: Dataset) -> str:
    """The revision that the steps made; empty if nothing is recorded for this object."""
    record = _stored(dataset)
    return record.revision if record.uid == dataset.metadata.uid else ""


def told_revision(facts: Facts) -> str:
    """The revision that the jobs' numbers in the status are of.

    While a spec cannot be used, the status names none, and the record of what was done does.
    """
    stored: str = facts.dataset.status.get("revision") or revision(facts.dataset) or facts.revision
    return stored


def numbers(facts: Facts) -> dict[str, Any]:
    """What the jobs measured in this revision: as they wrote it into the status or, if it is there
    no more, as it is recorded. Empty if neither is known.
    """
    stored = facts.dataset.status
    told = {name: stored[name] for name in JOBS_NUMBERS if stored.get(name)}
    if "images" in told and told_revision(facts) == facts.revision:
        return {"revision": facts.revision, **told}
    kept: dict[str, Any] = (stored.get("completed") or {}).get("numbers") or {}
    mine = _stored(facts.dataset).uid == facts.dataset.metadata.uid
    return kept if mine and kept.get("revision") == facts.revision else {}


def record(facts: Facts, roles: tuple[str, ...], measured: dict[str, Any], *, trims: bool = False) -> dict[str, Any] | None:
    """The record to write; None leaves the one that is there, of another URL perhaps, until
    something is done here.

    `trims`: a job is at work that removes earlier revisions when it is done. Then what the record
    says of one of them may soon be wrong.
    """
    if not roles and not trims:
        return None
    uid, digest = facts.dataset.metadata.uid, facts.pipeline.digest
    done = Completed(uid=uid, revision=facts.revision, url=facts.url, steps=roles, pipeline=digest)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain | {"steps": list(roles)} | ({"numbers": measured} if measured else {})


def _stored(dataset: Dataset) -> Completed:
    try:
        return decoding.convert(dataset.status.get("completed") or {}, Completed)
    except msgspec.ValidationError:  # another version of the operator may have written it
        return Completed()


def _believed(record: Completed, facts: Facts) -> bool:
    return record.uid == facts.dataset.metadata.uid and record.url == facts.url
