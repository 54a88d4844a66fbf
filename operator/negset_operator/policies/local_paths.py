"""A rule that the CRD's schema cannot state: on a cluster, every input and output is a URL."""

from __future__ import annotations

from typing import Final

from negset_api import names
from negset_api.errors import Problem
from negset_api.spec import NegativeDatasetSpec
from negset_api.spec.urls import urls_of

_ARCHIVES: Final = ("zip", "tar")


def local_paths(spec: NegativeDatasetSpec) -> tuple[Problem, ...]:
    """Return a problem for each field that names a local file."""
    return tuple(
        Problem(field, "local paths work on a laptop only; on a cluster this must be an http(s) or object storage URL", f'"{url}"')
        for field, url in urls_of(spec)
        if _is_local(url)
    )


def _is_local(url: str) -> bool:
    """Return True if a URL is a local path. Of a chained URL, the last part decides.

    A part without a scheme belongs to a name if a URL comes before it, as in s3://a/b::c.
    """
    first, *rest = url.split("::")
    last = rest[-1] if rest and ("://" in rest[-1] or _wraps(first)) else first
    scheme, separator, _ = last.partition("://")
    return (scheme.lower() if separator else "") in names.LOCAL_SCHEMES


def _wraps(link: str) -> bool:
    """Return True if the link stands for a member of an archive, or for a cache."""
    scheme, separator, _ = link.partition("://")
    return not separator or scheme.lower() in _ARCHIVES
