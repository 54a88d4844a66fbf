"""The names and labels of all objects that the operator creates.

They depend only on the dataset and its spec, so creating an object twice is harmless.

A run is one resolved spec. Its digest, the spec hash, is part of the names. So a changed spec gets
its own children while the previous ones are stopped. Several runs may work on one revision: a run
with more Ray workers continues where the previous one stopped.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from negset_api import names
from negset_api.revision import chosen
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest

LONGEST_NAME: Final = 47
"""KubeRay refuses longer names of RayJobs.

It appends to them to name clusters, services and pods, which have at most 63 characters.
"""

LONGEST_LABEL: Final = 63
_NAME_DIGEST: Final = 6

INDIFFERENT: Final = frozenset({"suspend", "deletionPolicy"})
"""Fields of the spec that stop or clean up a run and do not change its work."""


def spec_hash(spec: NegativeDatasetSpec, pipeline: str = "") -> str:
    """Return 8 hexadecimal digits that identify the work of a spec and how it is done.

    Two specs have the same digits if and only if both are the same. `pipeline` is as in
    `revision.chosen`.
    """
    return digest(chosen(spec, but=INDIFFERENT, pipeline=pipeline))[:8]


def place(url: str) -> str:
    """Return the value of the label `place`: 12 hexadecimal digits of the URL of a revision."""
    return digest(url)[:12]


def retry(annotation: str) -> str:
    """Return the value of the label `retry`: 12 hexadecimal digits of the annotation, or ""."""
    return digest(annotation)[:12] if annotation else ""


def child(dataset: str, spec_hash: str, role: str, attempt: int = 1) -> str:
    """Return the name of a RayJob or Job, for example `street-background-3fa9c1d2-train-1`.

    A second attempt has the suffix `-a2`.
    """
    return _fit(dataset, f"-{spec_hash}-{role}" + (f"-a{attempt}" if attempt > 1 else ""))


def attempt_of(child_name: str) -> int:
    """Return the attempt at the end of a child's name; 1 if there is none.

    Only for children of negset 0.1.0: later ones have the label `negset.dev/attempt`.
    """
    _, marker, number = child_name.rpartition("-a")
    return int(number) if marker and number.isdigit() else 1


def config_map(dataset: str, spec_hash: str) -> str:
    """Return the name of the ConfigMap with a run's manifest."""
    return _fit(dataset, f"-{spec_hash}")


def account(dataset: str) -> str:
    """Return the name of the ServiceAccount, Role, RoleBinding and NetworkPolicy of the jobs."""
    return _fit(dataset, "-negset")


def label(dataset: str) -> str:
    """Return the value of the label that names the dataset of an object.

    A label's value has at most 63 characters; a name may be longer.
    """
    return _shorten(dataset, LONGEST_LABEL)


def labels(dataset: str, role: str) -> dict[str, str]:
    """Return the labels of every object that is created for a dataset."""
    return {
        "app.kubernetes.io/name": "negset",
        "app.kubernetes.io/component": role.partition("-")[0],
        "app.kubernetes.io/instance": label(dataset),
        "app.kubernetes.io/managed-by": names.OPERATOR_FIELD_MANAGER,
        names.LABEL_DATASET: label(dataset),
        names.LABEL_ROLE: role,
    }


def _fit(dataset: str, suffix: str) -> str:
    name = dataset if re.match("[a-z]", dataset) else f"n{dataset}"
    room = LONGEST_NAME - len(suffix)
    # A shortened or changed name has a digest, so that it differs from that of another dataset.
    return (dataset if name == dataset and len(name) <= room else _cut(name, dataset, room)) + suffix


def _shorten(name: str, room: int) -> str:
    return name if len(name) <= room else _cut(name, name, room)


def _cut(name: str, original: str, room: int) -> str:
    tail = "-" + hashlib.sha256(original.encode()).hexdigest()[:_NAME_DIGEST]
    return name[: room - len(tail)].rstrip("-") + tail
