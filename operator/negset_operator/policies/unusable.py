"""A spec that cannot be used, or that this operator does not understand: it is said once, and
nothing new is made until that changes.
"""

from __future__ import annotations

from negset_api.version import version
from negset_operator import reasons
from negset_operator.decision import Decision, DesiredStatus, SetSuspend, deletion
from negset_operator.facts import Child, Facts
from negset_operator.policies import relevance, suspension, verdict
from negset_operator.policies.steps import DELETE


def decide(facts: Facts, digests: dict[str, str]) -> Decision:
    """Stops what runs for an earlier spec, if this operator can tell, and what the user suspends.

    The rest is left alone. `digests` are the steps', by role; empty if the spec is not understood.
    """
    told = " ".join(f"{problem}." for problem in facts.problems)
    working = tuple(
        child for child in facts.children if child.ours and not child.work.finished and not child.terminating and child.role != DELETE
    )
    judges = facts.spec is not None and not facts.pipeline.problem
    earlier = tuple(child for child in working if judges and not relevance.wanted(child, digests.get(child.role, ""), facts))
    suspend = facts.dataset.spec.get("suspend") is True
    rest = tuple(child for child in working if child not in earlier)
    return Decision(
        desired_status=_not_understood(told, rest) if facts.spec is None else verdict.stalled(reasons.INVALID_SPEC, told),
        deletions=(
            *(deletion(child, "the spec has changed") for child in earlier),
            *(deletion(child, "the dataset is suspended") for child in suspension.to_delete(rest, suspend=suspend)),
        ),
        suspend_changes=tuple(
            SetSuspend(kind=child.kind, name=child.name, suspend=value) for child, value in suspension.to_switch(rest, suspend=suspend)
        ),
    )


def _not_understood(told: str, running: tuple[Child, ...]) -> DesiredStatus:
    left = f" Left as they are: {', '.join(f'{child.kind} {child.name}' for child in running)}." if running else ""
    message = (
        f"Operator version {version()} does not understand this spec, which the API server admitted: {told}{left} "
        "Nothing new is started. Upgrade the operator to the version of the CRD, or correct the spec."
    )
    return verdict.stalled(reasons.NOT_UNDERSTOOD, message)
