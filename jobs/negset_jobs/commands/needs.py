"""What each command needs besides the base packages: extras of the distribution, and back ends."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from negset_api import stages
from negset_api.errors import InvalidInput
from negset_api.extras import Extra
from negset_api.spec import NegativeDatasetSpec
from negset_api.spec.urls import urls_of
from negset_jobs.adapters import backends
from negset_jobs.adapters.access import Access

Stage: TypeAlias = "stages.Kind | Literal['delete']"

_OF_STEP: Final[Mapping[Stage, frozenset[Extra]]] = {
    "check": frozenset({"training"}),
    "data": frozenset({"jobs"}),
    "train": frozenset({"training"}),
    "mine": frozenset({"training"}),
    "delete": frozenset(),
}
_REPORT: Final[frozenset[Extra]] = frozenset({"jobs"})
_STATUS: Final[frozenset[Extra]] = frozenset({"cluster"})
_WITHOUT_STATUS: Final = frozenset({"check", "delete"})

DEMO: Final[frozenset[Extra]] = frozenset({"training"})


def of_run(spec: NegativeDatasetSpec) -> frozenset[Extra]:
    """Return what every step of a spec needs, and the report."""
    return _REPORT.union(*(_OF_STEP[step.kind] for step in stages.steps(spec)))


def of_job(stage: Stage, *, cluster: bool) -> frozenset[Extra]:
    """Return what one step needs. On a cluster, most steps write the status of their object."""
    return _OF_STEP[stage] | _STATUS if cluster and stage not in _WITHOUT_STATUS else _OF_STEP[stage]


def check_back_ends(spec: NegativeDatasetSpec, access: Access) -> None:
    """Raise `CannotRunHere` if the back end of a URL of the spec is not installed.

    URLs that are wrong or not allowed are reported where they are opened, with their field.
    """
    for field, url in urls_of(spec):
        with contextlib.suppress(InvalidInput, ValueError):
            for link in access.check_url(url, field).links:
                backends.file_system_class(link)
