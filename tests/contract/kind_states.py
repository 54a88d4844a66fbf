"""Statuses that people see, as the operator decides them for datasets in some states."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from negset_api import names, stages
from negset_api.revision import revision
from negset_operator import classify, naming, reasons, status
from negset_operator.config import Config
from negset_operator.decide import decide
from negset_operator.facts import Child, Facts, Failure, Work
from negset_operator.kube.objects import Dataset, ObjectMeta, OwnerReference
from negset_operator.observe import read_spec

WIDTH = 100
"""Columns of the page."""

_UID = "11111111-1111-1111-1111-111111111111"
_SUMMARY = {reasons.READY, reasons.RECONCILING, reasons.STALLED}
_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
_GENERATION = 1
_LINE = "negset: spec.excludeClasses: …"
"""The last line of a job, shortened."""


def states(manifest: dict[str, Any]) -> dict[str, str]:
    """The status of the dataset of a manifest in three states, as YAML, by the state's name."""
    dataset = Dataset(metadata=ObjectMeta(**manifest["metadata"], uid=_UID, generation=_GENERATION), spec=manifest["spec"])
    roles = [step.role for step in stages.steps(_spec(dataset))]
    done = tuple(_child(dataset, role, Work.SUCCEEDED) for role in roles)
    data = roles.index(stages.DATA)
    return {
        "running": _status(dataset, (*done[:data], _child(dataset, stages.DATA, Work.RUNNING))),
        "stalled": _status(dataset, (*done[:data], _child(dataset, stages.DATA, Work.FAILED))),
        "ready": _status(_measured(dataset), done),
    }


def _measured(dataset: Dataset) -> Dataset:
    """The dataset with the numbers that its jobs write."""
    spec = _spec(dataset)
    rounds = [{"round": step.round} for step in stages.training_steps(spec)]
    return msgspec.structs.replace(dataset, status={"revision": revision(spec), "images": {"planned": 1}, "rounds": rounds})


def _status(dataset: Dataset, children: tuple[Child, ...]) -> str:
    desired = decide(_facts(dataset, children), Config()).desired_status
    assert desired is not None
    change = status.change(desired, {}, _GENERATION, _NOW)
    assert change is not None
    conditions = (each for each in change.fields["conditions"] if each["type"] in _SUMMARY)
    return f"status:\n  stage: {change.fields['stage']}\n  conditions:\n{''.join(map(_condition, conditions))}"


def _condition(condition: dict[str, Any]) -> str:
    """A condition as YAML, with its message on as many lines as it takes."""
    message = textwrap.fill(condition["message"], WIDTH - 8, break_long_words=False, break_on_hyphens=False)
    return (
        f"  - type: {condition['type']}\n"
        f'    status: "{condition["status"]}"\n'
        f"    reason: {condition['reason']}\n"
        f"    message: >-\n{textwrap.indent(message, ' ' * 6)}\n"
    )


def _facts(dataset: Dataset, children: tuple[Child, ...]) -> Facts:
    spec, meta = _spec(dataset), dataset.metadata
    return Facts(
        dataset=dataset,
        spec=spec,
        problems=(),
        revision=revision(spec),
        url=names.revision_root(spec.output.url, meta.namespace, meta.name, revision(spec)),
        spec_hash=naming.spec_hash(spec),
        children=children,
        supporting_objects=(),
        now=_NOW,
    )


def _child(dataset: Dataset, role: str, work: Work) -> Child:
    facts = _facts(dataset, ())
    kind = "RayJob" if stages.kind_of(role) in {"data", "mine"} else "Job"
    name = naming.child(dataset.metadata.name, facts.spec_hash, role)
    made = ObjectMeta(
        name=name,
        namespace=dataset.metadata.namespace,
        owner_references=(OwnerReference(uid=_UID),),
        creation_timestamp=_NOW - timedelta(hours=1),
    )
    return Child(
        kind=kind,
        metadata=made,
        work=work,
        role=role,
        failure=_failure(f"{kind} {name}") if work is Work.FAILED else None,
        revision=facts.revision,
        spec_hash=facts.spec_hash,
        place=naming.place(facts.url),
        generation=_GENERATION,
    )


def _failure(who: str) -> Failure:
    return classify._exit_failure(who, 2, _LINE)


def _spec(dataset: Dataset) -> Any:
    spec, problems = read_spec(dataset)
    assert spec is not None
    assert not problems
    return spec
