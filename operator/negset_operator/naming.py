"""The names and labels of everything the operator makes.

They are functions of the dataset and what is wanted of it, so making a thing twice is harmless.

A run is one resolved spec: its digest is part of the names, so that a changed spec gets children of
its own while the ones before are stopped. Several runs may work on one revision (a run with more
Ray workers goes on where the one before stopped).
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
"""KubeRay refuses longer RayJob names, since it appends to them to name clusters, services and pods
within 63 characters.
"""

LONGEST_LABEL: Final = 63
_NAME_DIGEST: Final = 6

INDIFFERENT: Final = frozenset({"suspend", "deletionPolicy"})
"""Fields of the spec that stop or clean up what runs, and change nothing in what it does."""


def spec_hash(spec: NegativeDatasetSpec, pipeline: str = "") -> str:
    """8 hexadecimal digits that are the same for two specs if and only if they ask for the same
    work, done in the same way.

    `pipeline` is as in `revision.chosen`.
    """
    return digest(chosen(spec, but=INDIFFERENT, pipeline=pipeline))[:8]


def place(url: str) -> str:
    """The value of the label that says where a child writes: 12 hexadecimal digits for the URL of a
    revision.
    """
    return digest(url)[:12]


def retry(wish: str) -> str:
    """The value of the label that says which wish for a retry a child was made under: 12
    hexadecimal digits, or nothing for none.
    """
    return digest(wish)[:12] if wish else ""


def child(dataset: str, spec_hash: str, role: str, attempt: int = 1) -> str:
    """The name of a RayJob or Job: `street-background-3fa9c1d2-train-1`, and `…-a2` for the second
    attempt.
    """
    return _fit(dataset, f"-{spec_hash}-{role}" + (f"-a{attempt}" if attempt > 1 else ""))


def attempt_of(child_name: str) -> int:
    """Return the attempt that the name of a child ends with, 1 if there is none.

    Only for children of negset 0.1.0: later ones have the label `negset.dev/attempt`.
    """
    _, marker, number = child_name.rpartition("-a")
    return int(number) if marker and number.isdigit() else 1


def config_map(dataset: str, spec_hash: str) -> str:
    """The name of the ConfigMap with a run's manifest."""
    return _fit(dataset, f"-{spec_hash}")


def account(dataset: str) -> str:
    """The name of the ServiceAccount, the Role, its binding and the NetworkPolicy of a dataset's
    jobs.
    """
    return _fit(dataset, "-negset")


def label(dataset: str) -> str:
    """The value of the label that says whose a thing is.

    A label's value is at most 63 characters long, a name may be longer.
    """
    return _shorten(dataset, LONGEST_LABEL)


def labels(dataset: str, role: str) -> dict[str, str]:
    """The labels on everything that is made for a dataset."""
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
    # A name that had to be changed carries its digest, so that it cannot meet another dataset's.
    return (dataset if name == dataset and len(name) <= room else _cut(name, dataset, room)) + suffix


def _shorten(name: str, room: int) -> str:
    return name if len(name) <= room else _cut(name, name, room)


def _cut(name: str, original: str, room: int) -> str:
    tail = "-" + hashlib.sha256(original.encode()).hexdigest()[:_NAME_DIGEST]
    return name[: room - len(tail)].rstrip("-") + tail
