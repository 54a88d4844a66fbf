"""Decision → API server. The only place that writes. Everything here may be done twice without harm."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from negset_operator import reasons
from negset_operator.decision import Decision, Deletion, Making, Manifest, Switch
from negset_operator.facts import Facts
from negset_operator.kube.client import CONFLICT, DATASET, FORBIDDEN, KINDS, NOT_FOUND, RAY_JOB, UNPROCESSABLE, ApiError, Client, Kind
from negset_operator.kube.objects import Dataset, Job, RayJob, Support
from negset_operator.observe import World

log = logging.getLogger(__name__)

_TYPES: Final[dict[str, Any]] = {"RayJob": RayJob, "Job": Job}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was decided and could not be done. `for_good`: it stays so until somebody acts."""

    reason: str
    message: str
    for_good: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, in words for the log, and the first refusal, after which nothing more was tried."""

    actions: tuple[str, ...]
    refusal: Refusal | None = None


class Writer:
    """Carries decisions out. What the API server answers goes into the caches at once, so that the next decision already sees it."""

    def __init__(self, client: Client, world: World) -> None:
        self._client, self._world = client, world

    def carry_out(self, facts: Facts, decision: Decision) -> Done:
        """Does what was decided, except the status. Raises `Unreachable`, and `ApiError` for what says nothing about the data set (throttling, a server
        that is starting, rights taken from the operator).
        """
        actions: list[str] = []
        namespace = facts.dataset.metadata.namespace
        if decision.finalizers is not None:
            self._set_finalizers(facts.dataset, decision.finalizers)
            actions.append("set finalizers")
        for deletion in decision.deletions:
            self._delete(namespace, deletion)
            actions.append(f"deleted {deletion.kind} {deletion.name}: {deletion.why}")
        for switch in decision.switches:
            self._switch(namespace, switch)
            actions.append(f"{'suspended' if switch.suspend else 'resumed'} {switch.kind} {switch.name}")
        for making in decision.makings:
            refusal = self._make(facts, making)
            if refusal is not None:
                return Done(actions=tuple(actions), refusal=refusal)
            actions.append(f"{'updated' if making.update else 'made'} {making.manifest['kind']} {making.manifest['metadata']['name']}")
        return Done(actions=tuple(actions))

    def write_status(self, dataset: Dataset, patch: dict[str, Any]) -> None:
        """Writes the operator's fields of the status, and only them."""
        meta = dataset.metadata
        # The uid makes the API server refuse to write one object's status onto another that has taken its name since.
        body = {"metadata": {"uid": meta.uid}, "status": patch}
        self._world.caches[DATASET].put(self._client.merge(DATASET, meta.namespace, meta.name, body, as_type=Dataset, subresource="status"))

    def _set_finalizers(self, dataset: Dataset, finalizers: tuple[str, ...]) -> None:
        meta = dataset.metadata
        # With the resource version: a finalizer that somebody else has added in the meantime must not be lost.
        body = {"metadata": {"finalizers": list(finalizers), "resourceVersion": meta.resource_version}}
        try:
            changed = self._client.merge(DATASET, meta.namespace, meta.name, body, as_type=Dataset)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return
            raise
        self._world.caches[DATASET].put(changed)

    def _delete(self, namespace: str, deletion: Deletion) -> None:
        try:
            self._client.delete(KINDS[deletion.kind], namespace, deletion.name, deletion.uid)
        except ApiError as error:
            if error.status not in {NOT_FOUND, CONFLICT}:  # gone already, or another object has its name now
                raise

    def _switch(self, namespace: str, switch: Switch) -> None:
        kind = KINDS[switch.kind]
        body = {"spec": {"suspend": switch.suspend}}
        try:
            self._remember(kind, self._client.merge(kind, namespace, switch.name, body, as_type=_TYPES[switch.kind]))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    def _make(self, facts: Facts, making: Making) -> Refusal | None:
        manifest = making.manifest
        kind, as_type = KINDS[manifest["kind"]], _TYPES.get(manifest["kind"], Support)
        try:
            if making.update:
                self._remember(kind, self._client.apply(kind, manifest, as_type))
            else:
                self._remember(kind, self._client.create(kind, manifest, as_type))
        except ApiError as error:
            return self._why_not(facts, making, error)
        return None

    def _why_not(self, facts: Facts, making: Making, error: ApiError) -> Refusal | None:
        """What an error says about the data set; raises it where it says nothing. None: the object is there and is ours, only the watch is late."""
        manifest = making.manifest
        kind, name = KINDS[manifest["kind"]], manifest["metadata"]["name"]
        if error.status == CONFLICT and error.reason == "AlreadyExists":
            return self._existing(facts, kind, manifest)
        if kind == RAY_JOB and error.status == NOT_FOUND and not error.message.startswith("namespaces "):
            message = (
                "KubeRay is not installed: this cluster serves no ray.io/v1 RayJob. See https://docs.ray.io/en/latest/cluster/kubernetes/."
            )
            return Refusal(reason=reasons.KUBERAY_MISSING, message=message)
        if error.status == UNPROCESSABLE or (error.status == FORBIDDEN and _by_policy(error.message)):
            return Refusal(reason=reasons.CHILD_REFUSED, message=f"{kind.kind} {name} was refused: {error.message}")
        raise error

    def _existing(self, facts: Facts, kind: Kind, manifest: Manifest) -> Refusal | None:
        meta = manifest["metadata"]
        try:
            found = self._client.get(kind, meta["namespace"], meta["name"], _TYPES.get(kind.kind, Support))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None  # gone again: the next reconcile makes it
            raise
        if found.metadata.owned_by(facts.dataset.metadata.uid):
            self._remember(kind, found)
            if found.metadata.deletion_timestamp is not None:
                message = f"Waiting for the {kind.kind} {meta['name']} of before to be gone."
                return Refusal(reason=reasons.REPLACING, message=message)
            return None
        message = (
            f"{kind.kind} {meta['name']} exists already and was not made for this object, so it is left alone. "
            f"Delete or rename it, or give this {facts.dataset.metadata.namespace}/{facts.dataset.metadata.name} another name."
        )
        return Refusal(reason=reasons.FOREIGN_CHILD, message=message, for_good=True)

    def _remember(self, kind: Kind, item: Any) -> None:
        self._world.caches[kind].put(item)


def _by_policy(message: str) -> bool:
    """Whether a 403 comes from quota or admission, not from the operator's own missing rights (those read: User "…" cannot create resource …)."""
    return "cannot" not in message or "exceeded quota" in message or "admission" in message or "violates" in message
