"""Find the programs that tests of the chart need."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@functools.cache
def find(name: str, untested: str) -> str:
    """Return the path of a program.

    It is the one in the variable with its name (HELM), on the PATH, or in the test cluster's cache.
    If there is none, the test is skipped, and says what is untested. With the variable CI set, the
    program is built instead, which takes minutes once.
    """
    cache = Path(os.environ.get("NEGSET_CACHE") or Path.home() / ".cache" / "negset")
    built = sorted(cache.glob(f"bin/{name}-*/{name}"))
    found = os.environ.get(name.upper()) or shutil.which(name) or (str(built[-1]) if built else None)
    if found is None and os.environ.get("CI"):
        sys.path.append(str(ROOT / "tests" / "cluster"))
        from testbed import binaries

        return binaries.program(name)
    if found is None:
        pytest.skip(
            f"NOT TESTED, because {name} was not found (in {name.upper()}, on the PATH, or in the test cluster's cache): {untested}"
        )
    return found
