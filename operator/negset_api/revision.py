"""Spec → revision: the name of the folder that a spec's bytes go to."""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo

from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest

# Where, how fast and how patiently: these change nothing in the files, so changing them goes on in
# the same revision.
_INDIFFERENT: Final = frozenset(
    {
        "ray",
        "queueName",
        "suspend",
        "deletionPolicy",
        "output.url",
        "output.secretName",
        "output.revisionHistoryLimit",
        "download.maxFailedPercent",
        "download.attempts",
        "download.timeoutSeconds",
        "download.connections",
        "download.connectionsPerHost",
        "download.contact",
        "training.gpusPerWorker",
        "training.gpuResourceName",
        "training.hardNegativeMining.gpusPerWorker",
        "training.checkpointEverySteps",
        "training.maxParallel",
    }
)

_PIPELINE_CONTENT: Final = "content"
"""Beside `training.pipelineConfig.configMap`, and no field of the spec: the digest of what that
ConfigMap holds.
"""


def revision(spec: NegativeDatasetSpec, pipeline: str = "") -> str:
    """12 hexadecimal digits that are the same for two specs if and only if the same files are
    wanted of them.

    A field that holds its default counts like one that is absent, so a later negset with more
    fields gives an old spec its old revision. `pipeline` is as in `chosen`.
    """
    return digest(chosen(spec, but=_INDIFFERENT, pipeline=pipeline))[:12]


def pipeline_digest(content: bytes) -> str:
    """12 hexadecimal digits of the SHA-256 of a pipeline.config."""
    return hashlib.sha256(content).hexdigest()[:12]


def decides_bytes(path: str) -> bool:
    """Whether the field at this path is part of the revision."""
    return not any(path == group or path.startswith(f"{group}.") for group in _INDIFFERENT)


def chosen(spec: NegativeDatasetSpec, *, but: frozenset[str], pipeline: str = "") -> dict[str, Any]:
    """What a spec says beyond the defaults, as plain data, without the fields at these paths.

    `pipeline` is the digest of the pipeline.config in the ConfigMap that the spec names. It counts
    like a field beside the name; it is ignored if the spec names none.
    """
    fields: dict[str, Any] = _chosen(spec, "", but)
    if pipeline and spec.training is not None and spec.training.pipeline_config.config_map:
        fields["training"]["pipelineConfig"][_PIPELINE_CONTENT] = pipeline
    return fields


def _chosen(value: Any, path: str, but: frozenset[str]) -> Any:
    if not isinstance(value, msgspec.Struct):
        return value
    result = {}
    for field in _fields(type(value)):
        where = f"{path}{field.encode_name}"
        if where in but:
            continue
        content = _chosen(getattr(value, field.name), f"{where}.", but)
        if content != _chosen(_default(field), f"{where}.", but):
            result[field.encode_name] = content
    return result


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    """The fields of a type. msgspec evaluates every annotation to tell them, which takes a hundred
    times as long as the rest of this module.
    """
    return msgspec.structs.fields(kind)


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
