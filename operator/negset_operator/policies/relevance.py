"""Which children still matter after an edit, or after another version of the operator took over.

A child that works is left alone if nobody edited the spec since it was made (the generation says
so, whatever any digest says), or if the edit changed nothing that its step reads (the digest says
so). The name of a child and its label `run` are those of negset 0.1.0, which compared whole specs:
so children survive an upgrade from 0.1.0 and a rollback to it.

An edit of the ConfigMap with the pipeline.config does not change the object's generation. So a
child has the label `pipeline`, the digest of the content that it was made with.

The operator that sees an edit writes the new generation on the children that it leaves alone. So an
operator whose digests are computed differently leaves them alone as well.
"""

from __future__ import annotations

from negset_api import names
from negset_operator import naming
from negset_operator.decision import Adoption
from negset_operator.facts import Child, Facts


def wanted(child: Child, digest: str, facts: Facts) -> bool:
    """Whether a child that works does so for the spec as it is now.

    `digest` is the digest of its step; empty if the spec has no such step.
    """
    if child.obsolete:
        return False
    if child.spec_hash == facts.spec_hash or _unedited(child, facts):
        return True
    return bool(digest) and child.digest == digest


def _unedited(child: Child, facts: Facts) -> bool:
    """Whether nobody has edited the spec, or the ConfigMap that it names, since a child was made.

    A child of an earlier version does not say what the ConfigMap held.
    """
    same = not child.pipeline or child.pipeline == facts.pipeline.digest
    return child.generation == facts.dataset.metadata.generation and same


def here(child: Child, facts: Facts) -> bool:
    """Whether a child writes where the spec says now."""
    if child.place:
        return child.place == naming.place(facts.url)
    # Made by negset 0.1.0. Its revision does not say under which output.url it lies: the status
    # did.
    told = facts.dataset.status.get("url") == facts.url
    return child.revision == facts.revision and (child.spec_hash == facts.spec_hash or told)


def reporting(facts: Facts, digests: dict[str, str]) -> tuple[str, ...]:
    """The runs whose jobs may write to the status: the present one, and those of children that are
    left alone. `digests` are the steps', by role.

    If this operator does not understand the spec, or cannot read the ConfigMap that it names, it
    leaves every child alone.
    """
    working = (child for child in facts.children if child.ours and not child.work.finished)
    every = facts.spec is None or bool(facts.pipeline.problem)
    kept = {child.spec_hash for child in working if every or wanted(child, digests.get(child.role, ""), facts)}
    return tuple(sorted(spec_hash for spec_hash in kept | {facts.spec_hash} if spec_hash))


def adoptions(facts: Facts, digests: dict[str, str]) -> tuple[Adoption, ...]:
    """The labels that children lack which work for the spec as it is now.

    `digests` are the steps', by role.
    """
    wanting = (
        child for child in facts.children if child.ours and not child.terminating and wanted(child, digests.get(child.role, ""), facts)
    )
    return tuple(
        Adoption(kind=child.kind, name=child.name, uid=child.metadata.uid, labels=labels)
        for child in wanting
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
