"""A spec that is invalid, or that this operator cannot read.

The dataset stalls with a message, and no new job starts until the spec or the operator changes.
"""

from __future__ import annotations

from negset_api.version import version
from negset_operator import reasons
from negset_operator.decision import Decision, DesiredStatus, SetSuspend, deletion
from negset_operator.facts import Child, Facts
from negset_operator.policies import relevance, suspension, verdict
from negset_operator.policies.steps import DELETE


def decide(facts: Facts, digests: dict[str, str]) -> Decision:
    """Stop children of an earlier spec, if they can be identified, and suspended children.

    Other children continue. `digests` are the steps', by role; empty if the spec cannot be read.
    """
    problems = " ".join(f"{problem}." for problem in facts.problems)
    working = tuple(
        child for child in facts.children if child.ours and not child.work.finished and not child.terminating and child.role != DELETE
    )
    comparable = facts.spec is not None and not facts.pipeline.problem
    earlier = tuple(child for child in working if comparable and not relevance.wanted(child, digests.get(child.role, ""), facts))
    suspend = facts.dataset.spec.get("suspend") is True
    rest = tuple(child for child in working if child not in earlier)
    return Decision(
        desired_status=_not_understood(problems, rest) if facts.spec is None else verdict.stalled(reasons.INVALID_SPEC, problems),
        deletions=(
            *(deletion(child, "the spec changed") for child in earlier),
            *(deletion(child, "the dataset is suspended") for child in suspension.to_delete(rest, suspend=suspend)),
        ),
        suspend_changes=tuple(
            SetSuspend(kind=child.kind, name=child.name, suspend=value) for child, value in suspension.to_switch(rest, suspend=suspend)
        ),
    )


def _not_understood(problems: str, running: tuple[Child, ...]) -> DesiredStatus:
    left = f" Not stopped: {', '.join(f'{child.kind} {child.name}' for child in running)}." if running else ""
    message = (
        f"Operator version {version()} cannot read this spec, which the API server accepted: {problems}{left} "
        "No new job is started. Upgrade the operator to the version of the CRD, or correct the spec."
    )
    return verdict.stalled(reasons.NOT_UNDERSTOOD, message)
