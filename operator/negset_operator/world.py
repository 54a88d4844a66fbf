"""The objects that the operator watches, by the dataset that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from negset_api import names
from negset_operator import naming
from negset_operator.kube.cache import Cache, Key
from negset_operator.kube.client import (
    CONFIG_MAP,
    DATASET,
    JOB,
    NETWORK_POLICY,
    POD,
    RAY_JOB,
    ROLE,
    ROLE_BINDING,
    SERVICE,
    SERVICE_ACCOUNT,
    Kind,
)
from negset_operator.kube.objects import AppliedObject, Dataset
from negset_operator.last_report import reported_at

SUPPORTING_KINDS: Final = (CONFIG_MAP, SERVICE_ACCOUNT, ROLE, ROLE_BINDING, NETWORK_POLICY, SERVICE)


class World:
    """One cache for each kind that the operator watches."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`clock` gives the time at which a new report of a job was seen."""
        self.caches: Mapping[Kind, Cache[Any]] = {
            DATASET: Cache(key_of_dataset, keep=lambda before, now: _with_progress_seen_at(before, now, clock)),
            **{kind: Cache(_labelled) for kind in (RAY_JOB, JOB, POD)},
            **{kind: Cache(_labelled, keep=_edited) for kind in SUPPORTING_KINDS},
        }

    def dataset(self, key: Key) -> Dataset | None:
        found: tuple[Dataset, ...] = self.caches[DATASET].group(key)
        return found[0] if found else None

    def of(self, kind: Kind, key: Key) -> tuple[Any, ...]:
        return self.caches[kind].group(key)


def key_of_dataset(dataset: Dataset) -> Key:
    return dataset.metadata.namespace, naming.label(dataset.metadata.name)


def _labelled(item: Any) -> Key:
    return item.metadata.namespace, item.metadata.labels.get(names.LABEL_DATASET, "")


def _edited(before: AppliedObject | None, now: AppliedObject) -> AppliedObject:
    # The operator's own writes enter the cache through their answers, not through the watch.
    return msgspec.structs.replace(now, edited=before is not None and before.metadata.uid == now.metadata.uid)


def _with_progress_seen_at(before: Dataset | None, now: Dataset, clock: Callable[[], datetime]) -> Dataset:
    reported = reported_at(now.status)
    if before is not None and before.metadata.uid == now.metadata.uid and reported_at(before.status) == reported:
        return msgspec.structs.replace(now, progress_seen_at=before.progress_seen_at)
    return msgspec.structs.replace(now, progress_seen_at=clock() if reported is not None else None)
