"""Patterns of names: those of Kubernetes, and negset's own.

The API server (RE2) and `negset validate` (Python) both use the patterns of Kubernetes. Each begins
with `^` and ends with `$`. `search` reads `$` as the API server does: as the end of the text. In
Python, it would also match before a last line break.
"""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"

LABEL: Final = f"^{_LABEL}$"
"""A DNS label: a namespace, and the name of a NegativeDataset."""

SUBDOMAIN: Final = rf"^{_LABEL}(\.{_LABEL})*$"
"""A DNS subdomain: the name of a Secret, a ConfigMap or a LocalQueue."""

EXTENDED_RESOURCE: Final = rf"^{_LABEL}(\.{_LABEL})*/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
"""A resource of a device plugin: a domain, a slash and a name of at most 63 characters."""

STORE_URL: Final = "^(s3|s3a|gs|gcs|abfs|abfss|az)://[^ ]*$"
"""The beginning of the URL of an object store."""

SERVER_URL: Final = "^https?://[^ ]+$"
"""The URL of a server."""

REGION: Final = "^[A-Za-z0-9.-]+$"
"""A region of a cloud."""

REVISION: Final = re.compile(r"[0-9a-f]{12}")
"""A revision, or the digest of a pipeline.config, as `negset_api.revision` computes them."""


def search(pattern: str, text: str) -> bool:
    """Return True if the text matches the pattern by the rules of the API server."""
    return re.search(rf"{pattern.removesuffix('$')}\Z" if pattern.endswith("$") else pattern, text) is not None
