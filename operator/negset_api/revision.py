"""Spec → revision: the name of the folder with a spec's files."""

from __future__ import annotations

import functools
import hashlib
from typing import Any, Final

import msgspec
from msgspec.structs import FieldInfo

from negset_api.spec import NegativeDatasetSpec
from negset_api.values import digest

# These fields decide where the files are, how fast they are written and with how many retries. They
# do not change the files, so an edit of them continues the same revision.
_INDIFFERENT: Final = frozenset(
    {
        "ray",
        "queueName",
        "stores",
        "suspend",
        "deletionPolicy",
        "output.url",
        "output.secretName",
        "output.revisionHistoryLimit",
        "download.maxFailedPercent",
        "download.attempts",
        "download.maxOutageSeconds",
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
"""The key of the digest of the ConfigMap's content, beside `training.pipelineConfig.configMap`.

It is no field of the spec.
"""


def revision(spec: NegativeDatasetSpec, pipeline: str = "") -> str:
    """Return 12 hexadecimal digits that identify the files of a spec.

    Two specs have the same digits if and only if their files are the same. A field with its default
    value counts as absent. So a later negset with more fields gives an old spec the same revision.
    `pipeline` is as in `chosen`.
    """
    return digest(chosen(spec, but=_INDIFFERENT, pipeline=pipeline))[:12]


def pipeline_digest(content: bytes) -> str:
    """Return the first 12 hexadecimal digits of the SHA-256 of a pipeline.config."""
    return hashlib.sha256(content).hexdigest()[:12]


def decides_bytes(path: str) -> bool:
    """Return True if the field at this path is part of the revision."""
    return not any(path == group or path.startswith(f"{group}.") for group in _INDIFFERENT)


def chosen(spec: NegativeDatasetSpec, *, but: frozenset[str], pipeline: str = "") -> dict[str, Any]:
    """Return the fields of a spec that differ from their defaults, as plain data.

    Fields at the paths in `but` are left out. `pipeline` is the digest of the pipeline.config in
    the ConfigMap that the spec names. It counts like a field beside the name. It is ignored if the
    spec names no ConfigMap.
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
        field_path = f"{path}{field.encode_name}"
        if field_path in but:
            continue
        content = _chosen(getattr(value, field.name), f"{field_path}.", but)
        if content != _chosen(_default(field), f"{field_path}.", but):
            result[field.encode_name] = content
    return result


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    """Return the fields of a type.

    It is cached, because msgspec evaluates every annotation for it. That takes a hundred times as
    long as the rest of this module.
    """
    return msgspec.structs.fields(kind)


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
