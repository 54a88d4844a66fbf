"""The extras of the distribution: which packages each one brings, and who needs which.

`pip install negset` installs what checks and plans. Whoever needs more calls `require` before any
work, so that a missing package is named at once, with the extra that brings it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, Literal

from negset_api.errors import CannotRunHere

Extra = Literal["jobs", "training", "cluster"]

PACKAGES: Final[Mapping[Extra, Mapping[str, str]]] = {
    "jobs": {
        "PIL": "pillow",
        "defusedxml": "defusedxml",
        "google.protobuf": "protobuf",
        "google_crc32c": "google-crc32c",
        "imagehash": "imagehash",
        "jinja2": "jinja2",
        "matplotlib": "matplotlib",
        "pyarrow": "pyarrow",
        "ray": "ray",
        "rich": "rich",
    },
    "training": {
        "pycocotools": "pycocotools",
        "tensorflow": "tensorflow",
        "tf_keras": "tf-keras",
        "tf_slim": "tf-slim",
    },
    "cluster": {
        "kubernetes": "kubernetes",
        "prometheus_client": "prometheus-client",
    },
}
"""The modules that an extra is for, each with the package on PyPI that has it.

TensorFlow has several packages. A test compares this table with pyproject.toml.
"""

_LATER: Final = frozenset({"ray"})
"""Modules that only some work of an extra needs: small runs do not need Ray."""

_INCLUDED: Final[Mapping[Extra, tuple[Extra, ...]]] = {"training": ("jobs",)}
_WSL: Final = "https://learn.microsoft.com/windows/wsl/install"


def is_installed(module: str) -> bool:
    """Return True if the module can be imported. It is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def require(what: str, needed: Iterable[Extra], *, installed: Callable[[str], bool] = is_installed, platform: str = sys.platform) -> None:
    """Raise `CannotRunHere` if `what` cannot run here.

    It needs the packages of these extras, and Linux or macOS: Ray and the training do not run on
    Windows.
    """
    if platform == "win32":
        raise CannotRunHere(f"{what} does not run on Windows; install negset in the Windows Subsystem for Linux ({_WSL}) and run it there")
    missing = {extra: packages for extra in _outermost(needed) if (packages := _missing(extra, installed))}
    if missing:
        packages = sorted({package for found in missing.values() for package in found})
        raise CannotRunHere(f"{what} needs {_listing(packages)}: {_install(missing)}")


def advice(module: str) -> str:
    """Return what is missing and how to install it, if the import of `module` failed."""
    for extra, packages in PACKAGES.items():
        for known, package in packages.items():
            if f"{module}.".startswith(f"{known}."):
                return f"this needs {_listing([package])}: {_install([extra])}"
    return f"this needs the module {module}, which is not installed; list what else is missing with: pip check"


def _outermost(needed: Iterable[Extra]) -> list[Extra]:
    """Return the extras without those that another one includes."""
    wanted = set(needed)
    return [extra for extra in PACKAGES if extra in wanted and not any(extra in _INCLUDED.get(other, ()) for other in wanted)]


def _missing(extra: Extra, installed: Callable[[str], bool]) -> list[str]:
    parts = (*_INCLUDED.get(extra, ()), extra)
    return [package for part in parts for module, package in PACKAGES[part].items() if module not in _LATER and not installed(module)]


def _listing(packages: Collection[str]) -> str:
    *others, last = packages
    named = f"{', '.join(others)} and {last}" if others else last
    return f"{named}, which {'are' if others else 'is'} not installed"


def _install(extras: Iterable[Extra]) -> str:
    return f"pip install 'negset[{','.join(extras)}]'"
