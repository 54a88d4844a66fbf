"""Spec → revision: the name of the folder that a spec's bytes go to."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest

# Where, how fast and how patiently: these change nothing in the files, so changing them goes on in the same revision.
_INDIFFERENT: Final[dict[str, tuple[str, ...]]] = {
    "": ("ray", "queueName", "suspend", "deletionPolicy"),
    "output": ("url", "secretName"),
    "download": ("maxFailedPercent", "attempts", "timeoutSeconds", "connections", "connectionsPerHost", "contact"),
    "training": ("gpusPerWorker", "checkpointEverySteps"),
}


def revision(spec: NegativeDatasetSpec) -> str:
    """12 hexadecimal digits that are the same for two specs if and only if the same files are wanted of them."""
    return digest(_decisive(spec))[:12]


def _decisive(spec: NegativeDatasetSpec) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(spec)
    return {
        name: {key: item for key, item in value.items() if key not in _INDIFFERENT.get(name, ())} if isinstance(value, dict) else value
        for name, value in fields.items()
        if name not in _INDIFFERENT[""]
    }
