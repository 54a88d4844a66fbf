"""A rule that the CRD's schema cannot state: on a cluster, every input and output is a URL."""

from __future__ import annotations

from negset_api import names
from negset_api.errors import Problem
from negset_api.spec import NegativeDatasetSpec
from negset_api.spec.urls import urls_of


def local_paths(spec: NegativeDatasetSpec) -> tuple[Problem, ...]:
    """Return a problem for each field that names a local file."""
    return tuple(
        Problem(field, "local paths work on a laptop only; on a cluster this must be an http(s) or object storage URL", f'"{url}"')
        for field, url in urls_of(spec)
        if _is_local(url)
    )


def _is_local(url: str) -> bool:
    """Return True if a URL is a local path. Of a chained URL, the last part decides."""
    scheme, separator, _ = url.rpartition("::")[2].partition("://")
    return (scheme.lower() if separator else "") in names.LOCAL_SCHEMES
