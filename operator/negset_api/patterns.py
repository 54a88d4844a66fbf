"""Patterns of names: Kubernetes', for the API server (RE2) and for `negset validate` (Python), and
our own.

Each of Kubernetes' begins with `^` and ends with `$`. `search` reads `$` as the API server does: as
the end of the text, and not also before a last line break.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

LABEL: Final = f"^{_LABEL}$"
"""A DNS label: a namespace, and the name of a NegativeDataset."""

SUBDOMAIN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
"""A DNS subdomain: what a Secret, a ConfigMap or a LocalQueue may be called."""

EXTENDED_RESOURCE: Final = rf"^{_LABEL}(\.{_LABEL})*/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
"""A resource that a device plugin offers: a domain, a slash and a name of at most 63 characters."""

REVISION: Final = re.compile(r"[0-9a-f]{12}")
"""What `negset_api.revision` calls a revision, and how it digests a pipeline.config."""


def search(pattern: str, text: str) -> bool:
    """Whether the text matches, as the API server would say."""
    return re.search(rf"{pattern.removesuffix('$')}\Z" if pattern.endswith("$") else pattern, text) is not None
