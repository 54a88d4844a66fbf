"""Builders of facts: a dataset, its children and its supporting objects."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec

from negset_api import names, reads, validation
from negset_api.revision import revision
from negset_operator import naming
from negset_operator.config import Config
from negset_operator.decide import decide
from negset_operator.decision import Decision
from negset_operator.facts import Child, Facts, Failure, Fault, Pipeline, SupportingObject, Work
from negset_operator.kube.objects import Annotations, Dataset, ObjectMeta, OwnerReference
from negset_operator.observe import read_spec
from negset_operator.policies.steps import plan

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = "11111111-1111-1111-1111-111111111111"

DATA_ONLY: dict[str, Any] = {
    "source": {"coco": {"annotations": "s3://datasets/instances.json"}},
    "excludeClasses": ["person"],
    "selection": {"count": 100},
    "output": {"url": "s3://team-a/negatives"},
}
TRAINING: dict[str, Any] = {
    **DATA_ONLY,
    "positives": {"tfrecords": ["s3://team-a/positives/*.tfrecord"]},
    "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-320"}, "steps": 100, "hardNegativeMining": {"rounds": 2}},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a deep copy of `base` with the fields of `changes`."""
    result = copy.deepcopy(base)
    for name, value in changes.items():
        result[name] = merged(result.get(name, {}), value) if isinstance(value, dict) else value
    return result


def manifest(spec: dict[str, Any], name: str = "street", namespace: str = "team-a") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}


class DatasetState:
    """A NegativeDataset named street in team-a, with everything that exists for it."""

    def __init__(self, spec: dict[str, Any], name: str = "street") -> None:
        self.name = name
        # The API server fills in the defaults.
        self.raw = _without_none(msgspec.to_builtins(validation.parse(manifest(spec)).spec))
        self.status: dict[str, Any] = {}
        self.labels: dict[str, str] = {}
        self.retry = ""
        self.finalizers: tuple[str, ...] = ()
        self.deleted_at: datetime | None = None
        self.children: list[Child] = []
        self.supporting_objects: list[SupportingObject] = []
        self.config = Config()
        self.now = NOW
        self.progress_seen_at: datetime | None = None
        self.pipeline = Pipeline()
        self.generation = 3

    def but(self, **fields: Any) -> Self:
        for name, value in fields.items():
            setattr(self, name, value)
        return self

    def with_raw(self, **fields: Any) -> Self:
        self.raw = merged(self.raw, fields)
        return self

    def configured(self, **fields: Any) -> Self:
        self.config = msgspec.structs.replace(self.config, **fields)
        return self

    def being_deleted(self) -> Self:
        self.deleted_at = NOW
        self.finalizers = (names.FINALIZER,)
        return self

    @property
    def spec_hash(self) -> str:
        spec, _ = read_spec(self._dataset())
        return naming.spec_hash(spec, self.pipeline.counts) if spec else ""

    @property
    def revision(self) -> str:
        spec, _ = read_spec(self._dataset())
        return revision(spec, self.pipeline.counts) if spec else ""

    @property
    def digests(self) -> dict[str, str]:
        spec, _ = read_spec(self._dataset())
        return reads.digests(spec, self.pipeline.counts) if spec else {}

    def url(self, folder: str | None = None) -> str:
        """Return the URL of this or another revision."""
        spec, _ = read_spec(self._dataset())
        return names.revision_root(spec.output.url, "team-a", self.name, folder or self.revision) if spec else ""

    def child(self, role: str, attempt: int = 1) -> str:
        return naming.child(self.name, self.spec_hash, role, attempt)

    def with_child(
        self,
        role: str,
        work: Work,
        *,
        attempt: int = 1,
        spec_hash: str = "",
        revision_label: str = "",
        ended: timedelta = timedelta(),
        started: timedelta | None = None,
        fault: Fault = Fault.WORK,
        message: str = "",
        silent: bool = False,
        retry: str = "",
        ours: bool = True,
        terminating: bool = False,
        **fields: Any,
    ) -> Self:
        """Add a child of this role.

        `ended` and `started` are how long ago. By default, the child was created for the current
        spec. A child with another `spec_hash` was created for an earlier spec, which differs in
        fields that its step reads. `fields` are further fields of the child.
        """
        name = naming.child(self.name, spec_hash or self.spec_hash, role, attempt)
        suspended = fields.get("suspended", False) or work is Work.SUSPENDED
        queue = fields.get("queue", self.raw.get("queueName", ""))
        defaults = {
            "digest": "1-0ther" if spec_hash else self.digests.get(role, ""),
            "generation": 2 if spec_hash else 3,
            "place": naming.place(self.url(revision_label)),
            "queue": queue,
            "suspended_by_us": suspended and not queue,
            "pipeline": self.pipeline.digest,
            "ended": self.now - ended if work.finished else None,
            "started": None if started is None else self.now - started,
        }
        if work is Work.FAILED:
            defaults["failure"] = Failure(fault=fault, message=message or f"{name} failed.", silent=silent)
        child = Child(
            kind="RayJob" if role.startswith(("data", "mine")) else "Job",
            metadata=_child_metadata(name, ours=ours, terminating=terminating),
            work=work,
            role=role,
            attempt=attempt,
            ours=ours,
            spec_hash=spec_hash or self.spec_hash,
            revision=revision_label or self.revision,
            retry=naming.retry(retry),
            **{**defaults, **fields, "suspended": suspended},
        )
        self.children.append(child)
        return self

    def with_succeeded(self, *roles: str, ended: timedelta = timedelta()) -> Self:
        for role in roles:
            self.with_child(role, Work.SUCCEEDED, ended=ended)
        return self

    def facts(self) -> Facts:
        dataset = self._dataset()
        spec, problems = read_spec(dataset)
        return Facts(
            dataset=dataset,
            spec=spec,
            problems=problems,
            revision=self.revision,
            spec_hash=self.spec_hash,
            url=self.url(),
            children=tuple(self.children),
            supporting_objects=tuple(self.supporting_objects),
            now=self.now,
            pipeline=self.pipeline,
        )

    def decide(self) -> Decision:
        return decide(self.facts(), self.config)

    def roles(self) -> tuple[str, ...]:
        spec = self.facts().spec
        assert spec is not None
        return tuple(step.role for step in plan(spec, self.digests))

    def _dataset(self) -> Dataset:
        meta = ObjectMeta(
            name=self.name,
            namespace="team-a",
            uid=UID,
            resource_version="7",
            generation=self.generation,
            labels=self.labels,
            annotations=Annotations(retry=self.retry),
            finalizers=self.finalizers,
            deletion_timestamp=self.deleted_at,
        )
        return Dataset(metadata=meta, spec=self.raw, status=self.status, progress_seen_at=self.progress_seen_at)


def _child_metadata(name: str, *, ours: bool, terminating: bool) -> ObjectMeta:
    return ObjectMeta(
        name=name,
        namespace="team-a",
        uid=f"uid-of-{name}",
        creation_timestamp=NOW - timedelta(hours=1),
        deletion_timestamp=NOW if terminating else None,
        owner_references=(OwnerReference(uid=UID if ours else "somebody-else"),),
    )


def created(decision: Decision, *kinds: str) -> list[str]:
    """Return the names of the objects to create, of these kinds if some are given."""
    return [creation.manifest["metadata"]["name"] for creation in decision.creations if not kinds or creation.manifest["kind"] in kinds]


def jobs(decision: Decision) -> list[str]:
    return created(decision, "RayJob", "Job")


def manifests(decision: Decision) -> dict[str, dict[str, Any]]:
    """Return the objects to create by kind, the last one of each kind."""
    return {creation.manifest["kind"]: dict(creation.manifest) for creation in decision.creations}


def condition_of(decision: Decision, kind: str) -> tuple[bool, str, str] | None:
    """Return status, reason and message of a condition."""
    assert decision.desired_status is not None
    condition = decision.desired_status.condition(kind)
    return condition and (condition.status, condition.reason, condition.message)


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
