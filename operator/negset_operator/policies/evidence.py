"""The record of completed steps in the status: for which object (uid) and where (url).

Children prove that a step is done only while they exist, and users may delete them. The record
stays. It is valid only for this object and this URL: a new output.url has no data yet.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from negset_api import decoding, names, stages
from negset_api.revision import revision as revision_of
from negset_api.spec import NegativeDatasetSpec
from negset_api.status import Completed
from negset_operator import naming
from negset_operator.facts import Child, Facts
from negset_operator.kube.objects import Dataset
from negset_operator.policies import relevance

JOBS_NUMBERS: Final = ("images", "positives", "rounds", "falsePositivesPerImage")


def recorded(facts: Facts) -> frozenset[str]:
    """Return the roles of the steps that are recorded as done for the current revision and URL.

    The data step is not among them if it must run again (`policies.failed_images`).
    """
    record = _stored(facts.dataset)
    steps = frozenset(record.steps) if _is_valid(record, facts) else frozenset()
    return steps - {stages.DATA} if facts.data_again else steps


def answered(facts: Facts) -> str:
    """Return the digest of the last request for failed images that the recorded data answers."""
    record = _stored(facts.dataset)
    return record.retry if _is_valid(record, facts) else ""


def is_unrecorded(child: Child, facts: Facts) -> bool:
    """Return True if the record lacks the step of a finished child.

    After a change of the URL, the record is still that of the previous URL. It contains a child
    that wrote there, even if its step counts here as well. It does not contain a child that wrote
    here.
    """
    record = _stored(facts.dataset)
    return child.role not in record.steps or (not _is_valid(record, facts) and relevance.writes_here(child, facts))


def pipeline(dataset: Dataset) -> str:
    """Return the recorded digest of the pipeline.config that the steps used.

    It is empty if nothing is recorded for this object.
    """
    record = _stored(dataset)
    return record.pipeline if record.uid == dataset.metadata.uid else ""


def complete_without(pipeline: str, dataset: Dataset, spec: NegativeDatasetSpec) -> bool:
    """Return True if every step is recorded for a revision without the content of the ConfigMap.

    Earlier versions left the content of the spec's ConfigMap out of the revision. An upgrade from
    such a version repeats no step. The content of that time is not known, so the content at the
    upgrade, with the digest `pipeline`, is recorded and counts as the same.
    """
    record, meta = _stored(dataset), dataset.metadata
    # Without a ConfigMap, the revision is the same in both versions.
    named = spec.training is not None and bool(spec.training.pipeline_config.config_map)
    if not named or record.uid != meta.uid or record.pipeline not in {"", pipeline}:
        return False
    url = names.revision_root(spec.output.url, meta.namespace, meta.name, revision_of(spec))
    return record.url == url and {step.role for step in stages.steps(spec)} <= set(record.steps)


def revision(dataset: Dataset) -> str:
    """Return the recorded revision; empty if nothing is recorded for this object."""
    record = _stored(dataset)
    return record.revision if record.uid == dataset.metadata.uid else ""


def revision_of_numbers(facts: Facts) -> str:
    """Return the revision that the jobs' numbers in the status belong to.

    While a spec cannot be used, the status has no revision, so the record's is returned.
    """
    stored: str = facts.dataset.status.get("revision") or revision(facts.dataset) or facts.revision
    return stored


def numbers(facts: Facts) -> dict[str, Any]:
    """Return what the jobs measured in this revision.

    The numbers are from the status, or from the record if the status no longer has them. They are
    empty if neither has them.
    """
    stored = facts.dataset.status
    written = {name: stored[name] for name in JOBS_NUMBERS if stored.get(name)}
    if "images" in written and revision_of_numbers(facts) == facts.revision:
        return {"revision": facts.revision, **written}
    kept: dict[str, Any] = (stored.get("completed") or {}).get("numbers") or {}
    same_object = _stored(facts.dataset).uid == facts.dataset.metadata.uid
    return kept if same_object and kept.get("revision") == facts.revision else {}


def record(facts: Facts, roles: tuple[str, ...], measured: dict[str, Any], *, trims: bool = False) -> dict[str, Any] | None:
    """Return the record to write, or None to leave the stored one.

    The stored record may be of another URL. It stays until a step is done for the current one.

    `trims`: a running job removes earlier revisions at its end. A stored record of one of them may
    soon be wrong, so it is replaced now. If the data step must run again, the record without it is
    written before the step starts.
    """
    if not roles and not trims and not facts.data_again:
        return None
    uid, digest = facts.dataset.metadata.uid, facts.pipeline.digest
    # A request that comes while the data is stored is answered by this record.
    retry = (naming.retry(facts.dataset.metadata.annotations.retry) or answered(facts)) if stages.DATA in roles else ""
    done = Completed(uid=uid, revision=facts.revision, url=facts.url, steps=roles, pipeline=digest, retry=retry)
    plain: dict[str, Any] = msgspec.to_builtins(done)
    return plain | {"steps": list(roles)} | ({"numbers": measured} if measured else {})


def _stored(dataset: Dataset) -> Completed:
    try:
        return decoding.convert(dataset.status.get("completed") or {}, Completed)
    except msgspec.ValidationError:  # another version of the operator may have written it
        return Completed()


def _is_valid(record: Completed, facts: Facts) -> bool:
    return record.uid == facts.dataset.metadata.uid and record.url == facts.url
