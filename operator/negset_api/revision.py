"""Spec → revision: the name of the folder that a spec's bytes go to."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo

from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest

# Where, how fast and how patiently: these change nothing in the files, so changing them goes on in the same revision.
_INDIFFERENT: Final = frozenset(
    {
        "ray",
        "queueName",
        "suspend",
        "deletionPolicy",
        "output.url",
        "output.secretName",
        "download.maxFailedPercent",
        "download.attempts",
        "download.timeoutSeconds",
        "download.connections",
        "download.connectionsPerHost",
        "download.contact",
        "training.gpusPerWorker",
        "training.checkpointEverySteps",
    }
)


def revision(spec: NegativeDatasetSpec) -> str:
    """12 hexadecimal digits that are the same for two specs if and only if the same files are wanted of them.

    A field that holds its default counts like one that is absent, so a later negset with more fields gives an old spec its old revision.
    """
    return digest(_decisive(spec, ""))[:12]


def _decisive(value: Any, path: str) -> Any:
    if not isinstance(value, msgspec.Struct):
        return value
    chosen = {}
    for field in msgspec.structs.fields(value):
        where = f"{path}{field.encode_name}"
        content = _decisive(getattr(value, field.name), f"{where}.")
        if where not in _INDIFFERENT and content != _decisive(_default(field), f"{where}."):
            chosen[field.encode_name] = content
    return chosen


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
