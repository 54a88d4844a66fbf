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
    fields = ((field, f"{path}{field.encode_name}", getattr(value, field.name)) for field in msgspec.structs.fields(value))
    return {
        field.encode_name: _decisive(content, f"{where}.")
        for field, where, content in fields
        if where not in _INDIFFERENT and content != _default(field)
    }


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
