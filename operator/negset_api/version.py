"""The version of negset."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def version() -> str:
    """Return the version of the installed distribution, for messages.

    It is `unknown` if negset runs from a source tree without an installation.
    """
    try:
        return importlib.metadata.version("negset")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
