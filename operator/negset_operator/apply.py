"""Decision → writes to the API server.

Together with events and the Lease, these are the operator's only writes. Each may be repeated
without harm.
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
from negset_operator.last_report import reported_at
from negset_operator.world import World

log = logging.getLogger(__name__)

_TYPES: Final[dict[str, Any]] = {"RayJob": RayJob, "Job": Job}


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why a decision could not be carried out.

    `permanent`: a retry does not help until a person acts.
    """

    reason: str
    message: str
    permanent: bool = False


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    `actions` are sentences for the log. `children` are the kinds of the children that were created.
    `refusal` is the first one; nothing was tried after it.
    """

    actions: tuple[str, ...]
    children: tuple[str, ...] = ()
    refusal: Refusal | None = None


class _Refused(Exception):
    def __init__(self, reason: str, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.refusal = Refusal(reason=reason, message=message, permanent=permanent)


class Writer:
    """Carries out decisions.

    The API server's answers go into the caches at once, so that the next decision is based on them.
    """

    def __init__(self, client: Client, world: World) -> None:
        self._client, self._world = client, world

    def carry_out(self, facts: Facts, decision: Decision) -> Done:
        """Carry out a decision, except the status.

        Raise `Unreachable`, or `ApiError` for an error that is not caused by the dataset. Examples
        are throttling, a server that is starting, and missing rights of the operator.
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
        for change in decision.suspend_changes:
            self._set_suspend(namespace, change)
            actions.append(f"{'suspended' if change.suspend else 'resumed'} {change.kind} {change.name}")
        for limit in decision.limits:
            if self._limit(facts.dataset, limit):
                actions.append(f"stopped {limit.kind} {limit.name}: {limit.why}")
        children: list[str] = []
        for creation in decision.creations:
            kind = creation.manifest["kind"]
            try:
                verb = self._create_or_apply(facts, creation)
            except _Refused as refused:
                return Done(actions=tuple(actions), children=tuple(children), refusal=refused.refusal)
            actions.append(f"{verb} {kind} {creation.manifest['metadata']['name']}")
            if verb == "created" and kind in _TYPES:
                children.append(kind)
        return Done(actions=tuple(actions), children=tuple(children))

    def mark_counted(self, namespace: str, failed: Failed) -> bool:
        """Label a failed child as counted, and return True if this replica did it.

        The child's resource version lets only one replica succeed. A metric must not delay the
        work. So the reconcile continues if the API server refuses, for example because an admission
        webhook does not answer.
        """
        labels = {names.LABEL_COUNTED: "true"}
        try:
            return self._label(
                namespace, failed.kind, failed.name, {"uid": failed.uid, "resourceVersion": failed.version, "labels": labels}
            )
        except ApiError as error:
            log.info("failed to label %s %s/%s as counted: %s", failed.kind, namespace, failed.name, error)
            return False

    def write_status(self, dataset: Dataset, change: status.Change) -> Dataset:
        """Write the operator's fields of the status by server-side apply; return the stored object.

        Fields and conditions of others stay. Each write names the resource version that the
        decision is based on. If a job has written since, or another object has the name, the API
        server answers with a conflict. `metadata.uid` does not protect: the API server ignores it
        in a write to the status of a custom resource.
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
        """Remove the operator's fields and conditions that an apply leaves, as others own them."""
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
        # The resource version protects a finalizer that another client has added in the meantime.
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
        """Set a child's labels, and return True if it was done.

        An admission policy that refuses it must not stop the reconcile.
        """
        return self._label(namespace, adoption.kind, adoption.name, {"uid": adoption.uid, "labels": adoption.labels})

    def _label(self, namespace: str, kind: str, name: str, metadata: dict[str, Any]) -> bool:
        try:
            self._remember(KINDS[kind], self._client.merge(KINDS[kind], namespace, name, {"metadata": metadata}, as_type=_TYPES[kind]))
        except ApiError as error:
            if error.status not in {NOT_FOUND, CONFLICT, FORBIDDEN, UNPROCESSABLE}:
                raise
            log.info("failed to set labels of %s %s/%s: %s", kind, namespace, name, error)
            return False
        return True

    def _set_suspend(self, namespace: str, change: SetSuspend) -> None:
        kind = KINDS[change.kind]
        # The label marks a child that the operator suspended, and so may resume.
        body = {"metadata": {"labels": {names.LABEL_SUSPENDED: "true" if change.suspend else None}}, "spec": {"suspend": change.suspend}}
        try:
            self._remember(kind, self._client.merge(kind, namespace, change.name, body, as_type=_TYPES[change.kind]))
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    def _limit(self, dataset: Dataset, limit: Limit) -> bool:
        """End a child that makes no progress, and return True if it was done.

        The status is read again first: the watch may be late, and the child may have reported
        progress.
        """
        kind, namespace = KINDS[limit.kind], dataset.metadata.namespace
        body = {"metadata": {"uid": limit.uid}, "spec": {"activeDeadlineSeconds": OVERDUE}}
        try:
            found = self._client.get(DATASET, namespace, dataset.metadata.name, Dataset)
            if reported_at(found.status) != reported_at(dataset.status):
                self._world.caches[DATASET].put(found)
                return False
            self._remember(kind, self._client.merge(kind, namespace, limit.name, body, as_type=_TYPES[limit.kind]))
        except ApiError as error:
            if not answers.gone(error):
                raise
            return False
        return True

    def _create_or_apply(self, facts: Facts, creation: Creation) -> str:
        """Create or update one object. Return what was done: "created", "updated" or "found"."""
        manifest = creation.manifest
        kind, as_type = KINDS[manifest["kind"]], _TYPES.get(manifest["kind"], AppliedObject)
        try:
            if creation.update:
                self._remember(kind, self._client.apply(kind, manifest, as_type))
            else:
                self._remember(kind, self._client.create(kind, manifest, as_type))
        except ApiError as error:
            self._raise_refusal(facts, creation, error)
            return "found"
        return "updated" if creation.update else "created"

    def _raise_refusal(self, facts: Facts, creation: Creation, error: ApiError) -> None:
        """Raise `_Refused` if an error is about the dataset, otherwise the error itself.

        If the object exists and is ours, nothing is raised: the watch is late.
        """
        manifest = creation.manifest
        kind, name = KINDS[manifest["kind"]], manifest["metadata"]["name"]
        if error.status == CONFLICT and error.reason == "AlreadyExists":
            self._check_existing(facts, kind, manifest)
            return
        if kind == RAY_JOB and error.status == NOT_FOUND and not error.message.startswith("namespaces "):
            message = "KubeRay is not installed: this cluster serves no ray.io/v1 RayJob. Ask the administrator to install it: https://docs.ray.io/en/latest/cluster/kubernetes/."
            raise _Refused(reasons.KUBERAY_MISSING, message) from error
        if answers.namespace_terminating(error):
            message = f"{kind.kind} {name} cannot be created: namespace {manifest['metadata']['namespace']} is being deleted."
            raise _Refused(reasons.NAMESPACE_ENDING, message) from error
        if error.status == UNPROCESSABLE or answers.by_policy(error):
            # Quota and admission may accept the object later. An invalid object stays invalid until
            # the spec or the configuration changes.
            invalid = error.status == UNPROCESSABLE
            raise _Refused(
                reasons.CHILD_REFUSED, f"The API server refused {kind.kind} {name}: {error.message}", permanent=invalid
            ) from error
        raise error

    def _check_existing(self, facts: Facts, kind: Kind, manifest: Manifest) -> None:
        """Raise `_Refused` if the existing object of that name is not ours or is terminating."""
        meta = manifest["metadata"]
        try:
            found = self._client.get(kind, meta["namespace"], meta["name"], _TYPES.get(kind.kind, AppliedObject))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return  # deleted meanwhile: the next reconcile creates it
            raise
        if found.metadata.owned_by(facts.dataset.metadata.uid):
            self._remember(kind, found)
            if found.metadata.deletion_timestamp is not None:
                raise _Refused(reasons.REPLACING, f"Waiting for previous {kind.kind} {meta['name']} to be deleted.")
            return
        message = (
            f"{kind.kind} {meta['name']} already exists and does not belong to this dataset, so the operator does not change it. "
            f"Delete it, or create the dataset {facts.dataset.metadata.namespace}/{facts.dataset.metadata.name} under another name."
        )
        raise _Refused(reasons.FOREIGN_CHILD, message, permanent=True)

    def _remember(self, kind: Kind, item: Any) -> None:
        self._world.caches[kind].put(item, ours=True)
