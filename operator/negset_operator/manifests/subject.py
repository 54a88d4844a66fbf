"""What every builder needs to know, and the metadata that every object has."""

from __future__ import annotations

from typing import Any

import msgspec

from negset_api import names
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest
from negset_operator import naming
from negset_operator.config import Config

Object = dict[str, Any]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """The data set that an object is made for, what is wanted of it, and the administrator's configuration. `manifest` is the spec as it is stored."""

    namespace: str
    name: str
    uid: str
    spec: NegativeDatasetSpec
    manifest: dict[str, Any]
    revision: str
    run: str
    config: Config


def metadata(subject: Subject, name: str, role: str, *, per_run: bool = False) -> Object:
    """Name, labels and owner. An owner that does not block: deleting the data set in the foreground must not take the job that deletes its data."""
    labels = naming.labels(subject.name, role)
    if per_run:
        labels |= {names.LABEL_RUN: subject.run, names.LABEL_REVISION: subject.revision}
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


def stamped(manifest: Object) -> Object:
    """The object with the digest of itself as an annotation, by which a later reconcile sees whether it is up to date."""
    stamp = {names.ANNOTATION_APPLIED: digest(manifest)}
    return {**manifest, "metadata": {**manifest["metadata"], "annotations": stamp}}


def stamp_of(manifest: Object) -> str:
    stamp: str = manifest["metadata"]["annotations"][names.ANNOTATION_APPLIED]
    return stamp
