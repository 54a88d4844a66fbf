"""The user's own pipeline.config: the content of the ConfigMap that the spec names.

It is read at each reconcile. Users' ConfigMaps are not watched: the operator needs very few of
them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import field

from negset_api import names, patterns
from negset_api.revision import pipeline_digest
from negset_api.spec import NegativeDatasetSpec
from negset_operator.facts import Child, Pipeline
from negset_operator.kube.client import CONFIG_MAP, FORBIDDEN, NOT_FOUND, ApiError, Client
from negset_operator.kube.objects import Dataset, Object
from negset_operator.policies import evidence

LONGEST: Final = 256 * 1024
"""The most bytes of a pipeline.config. Those of the Object Detection API have up to 10 KiB.

The copy shares a ConfigMap with the manifest. A ConfigMap holds at most 1 MiB.
"""

_FIELD: Final = "spec.training.pipelineConfig.configMap"


class _ConfigMap(Object, frozen=True, kw_only=True):
    data: dict[str, str] = field(default_factory=dict)
    binary_data: dict[str, str] = field(default_factory=dict)


def read(client: Client, namespace: str, name: str) -> Pipeline:
    """Return the pipeline.config that a ConfigMap holds now, or the problem with it.

    Raise `ApiError` or `Unreachable` if the API server does not answer.
    """
    # An older CRD accepted any text. With `../`, the path would lead to other objects, which the
    # operator may be allowed to read.
    if not patterns.search(patterns.SUBDOMAIN, name):
        return Pipeline(
            problem=f"{_FIELD}: expected the name of a ConfigMap (lower case letters, digits, '-' and '.'), got something else; correct the spec"
        )
    try:
        found = client.get(CONFIG_MAP, namespace, name, _ConfigMap)
    except ApiError as error:
        if error.status == NOT_FOUND:
            how = f"kubectl create configmap {name} --namespace {namespace} --from-file={names.PIPELINE_CONFIG_KEY}"
            return Pipeline(problem=f"{_FIELD}: expected the ConfigMap {name} in the namespace {namespace}, found none; create it: {how}")
        if error.status == FORBIDDEN:
            return Pipeline(
                problem=f"{_FIELD}: the operator may not read the ConfigMap {name}; ask the administrator to let it get ConfigMaps"
            )
        raise
    return _of(found, name)


def _of(found: _ConfigMap, name: str) -> Pipeline:
    key = names.PIPELINE_CONFIG_KEY
    if key not in found.data and key not in found.binary_data:
        return Pipeline(problem=f"{_FIELD}: expected the key {key} in the ConfigMap {name}, found no such key; add it")
    content = found.data[key].encode() if key in found.data else base64.b64decode(found.binary_data[key])
    if not 0 < len(content) <= LONGEST:
        expected = f"expected 1 to {LONGEST} bytes under the key {key} of the ConfigMap {name}"
        return Pipeline(problem=f"{_FIELD}: {expected}, got {len(content)}; put your configuration there")
    return Pipeline(content=content, digest=pipeline_digest(content))


def of(
    dataset: Dataset, spec: NegativeDatasetSpec | None, children: tuple[Child, ...], read_now: Callable[[str, str], Pipeline]
) -> Pipeline:
    """Return the pipeline.config of a dataset.

    For a dataset that is being deleted, it is not read: the last digest is kept.
    """
    found = _found(dataset, spec, children, read_now)
    uncounted = spec is not None and evidence.complete_without(found.digest, dataset, spec)
    return msgspec.structs.replace(found, uncounted=uncounted)


def _found(
    dataset: Dataset, spec: NegativeDatasetSpec | None, children: tuple[Child, ...], read_now: Callable[[str, str], Pipeline]
) -> Pipeline:
    name = spec.training.pipeline_config.config_map if spec is not None and spec.training is not None else None
    if not name:
        return Pipeline()
    if dataset.metadata.deletion_timestamp is not None:
        return Pipeline(digest=_last(dataset, children))
    now = read_now(dataset.metadata.namespace, name)
    return Pipeline(digest=_last(dataset, children), problem=now.problem) if now.problem else now


def _last(dataset: Dataset, children: tuple[Child, ...]) -> str:
    """Return the digest that was used last: by the newest child, or by the recorded steps."""
    ours = [child for child in children if child.ours and child.pipeline]
    newest = max(ours, key=lambda child: child.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC), default=None)
    return newest.pipeline if newest is not None else evidence.pipeline(dataset)
