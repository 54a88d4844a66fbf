"""Which children are still wanted after an edit, or after an upgrade of the operator.

A child that works continues in two cases. In the first, the spec was not edited since the child was
created: the generation is the same, and no digest is compared. In the second, the edit changed
nothing that its step reads: the digest is the same.

The names of children and their label `run` are those of negset 0.1.0, which compared whole specs.
So children survive an upgrade from 0.1.0 and a rollback to it.

An edit of the ConfigMap with the pipeline.config does not change the object's generation. So a
child has the label `pipeline`, the digest of the content that it was created with.

The operator that sees an edit writes the new generation on the children that continue. So an
operator that computes digests differently lets them continue as well.
"""

from __future__ import annotations

from negset_api import names
from negset_operator import naming
from negset_operator.decision import Adoption
from negset_operator.facts import Child, Facts


def wanted(child: Child, digest: str, facts: Facts) -> bool:
    """Return True if a child that works is wanted by the current spec.

    `digest` is the digest of its step; empty if the spec has no such step.
    """
    if child.obsolete:
        return False
    if child.spec_hash == facts.spec_hash or _unedited(child, facts):
        return True
    return bool(digest) and child.digest == digest


def _unedited(child: Child, facts: Facts) -> bool:
    """Return True if the spec and its ConfigMap are unchanged since a child was created.

    A child of an earlier version does not record the content of the ConfigMap.
    """
    same = not child.pipeline or child.pipeline == facts.pipeline.digest
    return child.generation == facts.dataset.metadata.generation and same


def writes_here(child: Child, facts: Facts) -> bool:
    """Return True if a child writes to the revision and output.url of the current spec."""
    if child.place:
        return child.place == naming.place(facts.url)
    # A child of negset 0.1.0 has no label for its output.url; the status of that time has the URL.
    same_url = facts.dataset.status.get("url") == facts.url
    return child.revision == facts.revision and (child.spec_hash == facts.spec_hash or same_url)


def reporting_runs(facts: Facts, digests: dict[str, str]) -> tuple[str, ...]:
    """Return the runs whose jobs may write to the status.

    These are the current run and the runs of children that continue. `digests` are the steps', by
    role. If the operator cannot read the spec, or the ConfigMap that it names, all children
    continue.
    """
    working = (child for child in facts.children if child.ours and not child.work.finished)
    keep_all = facts.spec is None or bool(facts.pipeline.problem)
    kept = {child.spec_hash for child in working if keep_all or wanted(child, digests.get(child.role, ""), facts)}
    return tuple(sorted(spec_hash for spec_hash in kept | {facts.spec_hash} if spec_hash))


def adoptions(facts: Facts, digests: dict[str, str]) -> tuple[Adoption, ...]:
    """Return the labels to set on children that the current spec wants and that lack them.

    `digests` are the steps', by role.
    """
    candidates = (
        child for child in facts.children if child.ours and not child.terminating and wanted(child, digests.get(child.role, ""), facts)
    )
    return tuple(
        Adoption(kind=child.kind, name=child.name, uid=child.metadata.uid, labels=labels)
        for child in candidates
        if (labels := _missing(child, digests.get(child.role, ""), facts))
    )


def _missing(child: Child, digest: str, facts: Facts) -> dict[str, str]:
    labels = {}
    if child.generation != facts.dataset.metadata.generation and not child.work.finished:
        labels[names.LABEL_GENERATION] = str(facts.dataset.metadata.generation)
    if facts.pipeline.digest and child.pipeline != facts.pipeline.digest and not child.work.finished:
        labels[names.LABEL_PIPELINE] = facts.pipeline.digest
    if child.spec_hash == facts.spec_hash and not child.place:
        labels[names.LABEL_PLACE] = naming.place(facts.url)
        if child.suspended_by_us:
            labels[names.LABEL_SUSPENDED] = "true"
    if child.spec_hash == facts.spec_hash and not child.digest and digest:
        labels[names.LABEL_DIGEST] = digest
    return labels
