"""Decision → API server.

The only place that writes. Everything here may be done twice without harm.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from negset_api import names
from negset_operator import reasons, status
from negset_operator.decision import Adoption, Creation, Decision, Deletion, Failed, Limit, Manifest, SetSuspend
from negset_operator.facts import OVERDUE, Facts
from negset_operator.kube import answers
from negset_operator.kube.client import CONFLICT, DATASET, FORBIDDEN, KINDS, NOT_FOUND, RAY_JOB, UNPROCESSABLE, ApiError, Client, Kind
from negset_operator.kube.objects import AppliedObject, Dataset, Job, RayJob
from negset_operator.news import told_at
from negset_operator.world import World

log = logging.getLogger(__name__)

_TYPES: Final[dict[str, Any]] = {"RayJob": RayJob, "Job": Job}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was decided and could not be done.

    `for_good`: it stays so until somebody acts.
    """

    reason: str
    message: str
    for_good: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, in words for the log; the kinds of the children that were made; and the first
    refusal, after which nothing more was tried.
    """

    actions: tuple[str, ...]
    children: tuple[str, ...] = ()
    refusal: Refusal | None = None


class _Refused(Exception):
    def __init__(self, reason: str, message: str, *, for_good: bool = False) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason=reason, message=message, for_good=for_good)


class Writer:
    """Carries decisions out.

    What the API server answers goes into the caches at once, so that the next decision already sees
    it.
    """

    def __init__(self, client: Client, world: World) -> None:
        self._client, self._world = client, world

    def carry_out(self, facts: Facts, decision: Decision) -> Done:
        """Does what was decided, except the status.

        Raises `Unreachable`, and `ApiError` for what says nothing about the dataset (throttling, a
        server that is starting, rights taken from the operator).
        """
        actions: list[str] = []
        namespace = facts.dataset.metadata.namespace
        if decision.finalizers is not None:
            self._set_finalizers(facts.dataset, decision.finalizers)
            actions.append("set finalizers")
        for deletion in decision.deletions:
            self._delete(namespace, deletion)
            actions.append(f"deleted {deletion.kind} {deletion.name}: {deletion.why}")
        adopted = [each for each in decision.adoptions if self._adopt(namespace, each)]
        actions += [f"adopted {each.kind} {each.name}" for each in adopted]
        for switch in decision.suspend_changes:
            self._switch(namespace, switch)
            actions.append(f"{'suspended' if switch.suspend else 'resumed'} {switch.kind} {switch.name}")
        for limit in decision.limits:
            if self._limit(facts.dataset, limit):
                actions.append(f"stopped {limit.kind} {limit.name}: {limit.why}")
        children: list[str] = []
        for creation in decision.creations:
            kind = creation.manifest["kind"]
            try:
                verb = self._make(facts, creation)
            except _Refused as refused:
                return Done(actions=tuple(actions), children=tuple(children), refusal=refused.refusal)
            actions.append(f"{verb} {kind} {creation.manifest['metadata']['name']}")
            if verb == "made" and kind in _TYPES:
                children.append(kind)
        return Done(actions=tuple(actions), children=tuple(children))

    def mark(self, namespace: str, failed: Failed) -> bool:
        """Marks a failed child as counted.

        Return True if this replica did it: its resource version lets only one succeed.

        A metric must not hold up the work: if the API server refuses, for example since an
        admission webhook is away, the rest goes on.
        """
        labels = {names.LABEL_COUNTED: "true"}
        try:
            return self._label(
                namespace, failed.kind, failed.name, {"uid": failed.uid, "resourceVersion": failed.version, "labels": labels}
            )
        except ApiError as error:
            log.info("%s %s/%s was not marked as counted: %s", failed.kind, namespace, failed.name, error)
            return False

    def write_status(self, dataset: Dataset, change: status.Change) -> Dataset:
        """Writes the operator's fields of the status by server-side apply.

        Return the stored object.

        Fields and conditions of others stay. Each write names the resource version that it was
        decided on. If a job has written since, or another object has the name, it is a conflict.
        `metadata.uid` does not protect: the API server ignores it in a write to the status of a
        custom resource.
        """
        if change.clear is not None:
            dataset = self._merge_status(dataset, change.clear)
        meta = dataset.metadata
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"namespace": meta.namespace, "name": meta.name, "resourceVersion": meta.resource_version},
            "status": change.fields,
        }
        try:
            written = self._client.apply(DATASET, body, Dataset, subresource="status")
        except ApiError as error:
            if not answers.needs_merge_patch(error):
                raise
            return self._merge_status(dataset, status.as_merge_patch(dataset.status, change.fields))
        self._world.caches[DATASET].put(written)
        return written

    def remove_leftovers(self, written: Dataset, change: status.Change) -> None:
        """Removes what an apply leaves: fields and conditions of the operator that others own as
        well.
        """
        if status.leftover(written.status, change.fields):
            self._merge_status(written, status.as_merge_patch(written.status, change.fields))

    def _merge_status(self, dataset: Dataset, patch: dict[str, Any]) -> Dataset:
        meta = dataset.metadata
        body = {"metadata": {"resourceVersion": meta.resource_version}, "status": patch}
        written = self._client.merge(DATASET, meta.namespace, meta.name, body, as_type=Dataset, subresource="status")
        self._world.caches[DATASET].put(written)
        return written

    def _set_finalizers(self, dataset: Dataset, finalizers: tuple[str, ...]) -> None:
        meta = dataset.metadata
        # With the resource version: a finalizer that somebody else has added in the meantime must
        # not be lost.
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
            self._client.delete(KINDS[deletion.kind], namespace, deletion.name, deletion.uid, at_once=deletion.at_once)
        except ApiError as error:
            if not answers.gone(error):
                raise

    def _adopt(self, namespace: str, adoption: Adoption) -> bool:
        """Sets a child's labels.

        Return whether it was done: that an admission policy refuses it must not hold up the rest.
        """
        return self._label(namespace, adoption.kind, adoption.name, {"uid": adoption.uid, "labels": adoption.labels})

    def _label(self, namespace: str, kind: str, name: str, metadata: dict[str, Any]) -> bool:
        try:
            self._remember(KINDS[kind], self._client.merge(KINDS[kind], namespace, name, {"metadata": metadata}, as_type=_TYPES[kind]))
        except ApiError as error:
            if error.status not in {NOT_FOUND, CONFLICT, FORBIDDEN, UNPROCESSABLE}:
                raise
            log.info("labels of %s %s/%s were not set: %s", kind, namespace, name, error)
            return False
        return True

    def _switch(self, namespace: str, switch: SetSuspend) -> None:
        kind = KINDS[switch.kind]
        # The mark says that the operator suspended the child, and so may resume it.
        body = {"metadata": {"labels": {names.LABEL_SUSPENDED: "true" if switch.suspend else None}}, "spec": {"suspend": switch.suspend}}
        try:
            self._remember(kind, self._client.merge(kind, namespace, switch.name, body, as_type=_TYPES[switch.kind]))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    def _limit(self, dataset: Dataset, limit: Limit) -> bool:
        """Ends a child that makes no progress.

        Return False if it does after all, and only the watch is late.
        """
        kind, namespace = KINDS[limit.kind], dataset.metadata.namespace
        body = {"metadata": {"uid": limit.uid}, "spec": {"activeDeadlineSeconds": OVERDUE}}
        try:
            found = self._client.get(DATASET, namespace, dataset.metadata.name, Dataset)
            if told_at(found.status) != told_at(dataset.status):
                self._world.caches[DATASET].put(found)
                return False
            self._remember(kind, self._client.merge(kind, namespace, limit.name, body, as_type=_TYPES[limit.kind]))
        except ApiError as error:
            if not answers.gone(error):
                raise
            return False
        return True

    def _make(self, facts: Facts, creation: Creation) -> str:
        """Makes or updates one object. Returns what it did, as a verb."""
        manifest = creation.manifest
        kind, as_type = KINDS[manifest["kind"]], _TYPES.get(manifest["kind"], AppliedObject)
        try:
            if creation.update:
                self._remember(kind, self._client.apply(kind, manifest, as_type))
            else:
                self._remember(kind, self._client.create(kind, manifest, as_type))
        except ApiError as error:
            self._why_not(facts, creation, error)
            return "found"
        return "updated" if creation.update else "made"

    def _why_not(self, facts: Facts, creation: Creation, error: ApiError) -> None:
        """Raises what an error says about the dataset, or the error where it says nothing.

        Nothing is wrong where the object is there and is ours, and only the watch is late.
        """
        manifest = creation.manifest
        kind, name = KINDS[manifest["kind"]], manifest["metadata"]["name"]
        if error.status == CONFLICT and error.reason == "AlreadyExists":
            self._existing(facts, kind, manifest)
            return
        if kind == RAY_JOB and error.status == NOT_FOUND and not error.message.startswith("namespaces "):
            message = (
                "KubeRay is not installed: this cluster serves no ray.io/v1 RayJob. See https://docs.ray.io/en/latest/cluster/kubernetes/."
            )
            raise _Refused(reasons.KUBERAY_MISSING, message) from error
        if answers.namespace_ends(error):
            message = f"{kind.kind} {name} cannot be made: the namespace {manifest['metadata']['namespace']} is being deleted."
            raise _Refused(reasons.NAMESPACE_ENDING, message) from error
        if error.status == UNPROCESSABLE or answers.by_policy(error):
            # Quota and admission may think otherwise tomorrow; an invalid object stays invalid
            # until somebody changes what it is made of.
            invalid = error.status == UNPROCESSABLE
            raise _Refused(reasons.CHILD_REFUSED, f"{kind.kind} {name} was refused: {error.message}", for_good=invalid) from error
        raise error

    def _existing(self, facts: Facts, kind: Kind, manifest: Manifest) -> None:
        """Raises where the object of that name is not ours, or is on its way out."""
        meta = manifest["metadata"]
        try:
            found = self._client.get(kind, meta["namespace"], meta["name"], _TYPES.get(kind.kind, AppliedObject))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return  # gone again: the next reconcile makes it
            raise
        if found.metadata.owned_by(facts.dataset.metadata.uid):
            self._remember(kind, found)
            if found.metadata.deletion_timestamp is not None:
                raise _Refused(reasons.REPLACING, f"Waiting for the {kind.kind} {meta['name']} of before to be gone.")
            return
        message = (
            f"{kind.kind} {meta['name']} exists already and was not made for this object, so it is left alone. "
            f"Delete or rename it, or give this {facts.dataset.metadata.namespace}/{facts.dataset.metadata.name} another name."
        )
        raise _Refused(reasons.FOREIGN_CHILD, message, for_good=True)

    def _remember(self, kind: Kind, item: Any) -> None:
        self._world.caches[kind].put(item, ours=True)
