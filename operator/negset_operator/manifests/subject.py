"""The input of every builder, and the metadata of every object."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import field

from negset_api import names
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest
from negset_operator import naming
from negset_operator.config import Config
from negset_operator.facts import Pipeline

Object = dict[str, Any]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset with its spec, and the administrator's configuration.

    `manifest` is the spec as it is stored, with fields that this operator does not know.
    `place` is the value of the label that identifies where a child writes.
    `digests` are the digests of the steps, by role.
    `priority` is the name of a Kueue WorkloadPriorityClass, or empty.
    `retry` is the value of the label for the user's last request for a retry, or empty.
    `pipeline` is the pipeline.config in the ConfigMap that the spec names.
    """

    namespace: str
    name: str
    uid: str
    spec: NegativeDatasetSpec
    manifest: dict[str, Any]
    revision: str
    spec_hash: str
    config: Config
    generation: int = 0
    place: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    priority: str = ""
    retry: str = ""
    pipeline: Pipeline = Pipeline()


def metadata(subject: Subject, name: str, role: str, *, per_run: bool = False) -> Object:
    """Return the metadata of an object: name, labels and owner.

    `blockOwnerDeletion` is false: a foreground deletion of the dataset must not delete the job that
    deletes its data.
    """
    labels = naming.labels(subject.name, role)
    if per_run:
        labels |= {names.LABEL_SPEC_HASH: subject.spec_hash, names.LABEL_REVISION: subject.revision}
    return {
        "name": name,
        "namespace": subject.namespace,
        "labels": labels,
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.KIND,
                "name": subject.name,
                "uid": subject.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def child_metadata(subject: Subject, name: str, role: str, *, queued: bool = True) -> Object:
    """Return the metadata of a RayJob or Job.

    Its labels name the step and the spec that it is created for, and where it writes.
    """
    meta, digest_of_step = metadata(subject, name, role, per_run=True), subject.digests.get(role)
    labels = {
        **meta["labels"],
        names.LABEL_GENERATION: str(subject.generation),
        names.LABEL_PLACE: subject.place,
        **({names.LABEL_RETRY: subject.retry} if subject.retry else {}),
        **({names.LABEL_PIPELINE: subject.pipeline.digest} if subject.pipeline.digest else {}),
        **({names.LABEL_DIGEST: digest_of_step} if digest_of_step else {}),
        **({names.LABEL_QUEUE: subject.spec.queue_name} if subject.spec.queue_name and queued else {}),
        **({names.LABEL_PRIORITY: subject.priority} if subject.priority and queued else {}),
    }
    return {**meta, "labels": labels}


def with_child_labels(child: Object, attempt: int) -> Object:
    """Return a RayJob or Job with its attempt and the digest of its spec as labels.

    A later reconcile compares the digest to see whether it would build the child differently.
    """
    meta = child["metadata"]
    labels = {names.LABEL_ATTEMPT: str(attempt), names.LABEL_BUILT: digest(child["spec"])[:12]}
    return {**child, "metadata": {**meta, "labels": {**meta["labels"], **labels}}}


def built_digest(child: Object) -> str:
    seal: str = child["metadata"]["labels"][names.LABEL_BUILT]
    return seal


def with_applied_annotation(manifest: Object) -> Object:
    """Return the object with its own digest as an annotation.

    A later reconcile compares the digest to see whether the object is up to date.
    """
    stamp = {names.ANNOTATION_APPLIED: digest(manifest)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": stamp}}


def applied_digest(manifest: Object) -> str:
    stamp: str = manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]
    return stamp
