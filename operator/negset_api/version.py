"""Which negset this is."""

from __future__ import annotations

import functools
import importlib.metadata


@functools.cache
def version() -> str:
    """The version of the installed distribution, for messages; `unknown` where it runs from a
    source tree alone.
    """
    try:
        return importlib.metadata.version("negset")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
