"""What is not installed is named with the extra that brings it."""

from __future__ import annotations

import sys

import pytest

from negset_api.errors import CannotRunHere
from negset_api.extras import PACKAGES, advice, is_installed, require

EVERYTHING = {module for packages in PACKAGES.values() for module in packages}
TENSORFLOW = set(PACKAGES["training"])
CLUSTER = set(PACKAGES["cluster"])

REFUSED = {
    "one package of the extra": (
        {"jobs"},
        {"jinja2"},
        "negset run needs jinja2, which is not installed: pip install 'negset[jobs]'",
    ),
    "packages by their names on PyPI": (
        {"jobs"},
        {"PIL", "google_crc32c", "google.protobuf"},
        "negset run needs google-crc32c, pillow and protobuf, which are not installed: pip install 'negset[jobs]'",
    ),
    "only training, which includes jobs, if both are needed": (
        {"jobs", "training"},
        {"jinja2", "tensorflow"},
        "negset run needs jinja2 and tensorflow, which are not installed: pip install 'negset[training]'",
    ),
    "training, even if it lacks only what jobs brings": (
        {"training"},
        {"jinja2"},
        "negset run needs jinja2, which is not installed: pip install 'negset[training]'",
    ),
    "two extras in one line": (
        {"training", "cluster"},
        {"tensorflow", "kubernetes"},
        "negset run needs kubernetes and tensorflow, which are not installed: pip install 'negset[training,cluster]'",
    ),
    "of two extras only the one that is missing": (
        {"jobs", "cluster"},
        CLUSTER,
        "negset run needs kubernetes and prometheus-client, which are not installed: pip install 'negset[cluster]'",
    ),
}


@pytest.mark.parametrize(("needed", "missing", "message"), REFUSED.values(), ids=REFUSED)
def test_the_message_names(needed, missing, message):
    with pytest.raises(CannotRunHere) as refused:
        require("negset run", needed, installed=lambda module: module not in missing, platform="linux")
    assert str(refused.value) == message
    assert refused.value.exit_code == 1


ACCEPTED = {
    "everything is installed": ({"jobs", "training", "cluster"}, set()),
    "what is missing belongs to another extra": ({"jobs"}, TENSORFLOW | CLUSTER),
    "Ray is missing, which small runs do not need": ({"jobs"}, {"ray"}),
    "nothing is needed": (set(), EVERYTHING),
}


@pytest.mark.parametrize(("needed", "missing"), ACCEPTED.values(), ids=ACCEPTED)
def test_nothing_is_refused_if(needed, missing):
    for platform in ("linux", "darwin"):
        require("negset run", needed, installed=lambda module: module not in missing, platform=platform)


def test_on_windows_it_says_where_to_run_instead():
    with pytest.raises(CannotRunHere) as refused:
        require("negset run", {"jobs"}, installed=lambda _: True, platform="win32")
    assert str(refused.value) == (
        "negset run does not run on Windows; install negset in the Windows Subsystem for Linux "
        "(https://learn.microsoft.com/windows/wsl/install) and run it there"
    )


ADVICE = {
    "a package of an extra": ("PIL", "this needs pillow, which is not installed: pip install 'negset[jobs]'"),
    "a module of it": ("PIL.Image", "this needs pillow, which is not installed: pip install 'negset[jobs]'"),
    "a package that only some work needs": ("ray", "this needs ray, which is not installed: pip install 'negset[jobs]'"),
    "anything else": (
        "PILLAR",
        "this needs the module PILLAR, which is not installed; list what else is missing with: pip check",
    ),
}


@pytest.mark.parametrize(("module", "text"), ADVICE.values(), ids=ADVICE)
def test_the_advice_after_a_failed_import_of(module, text):
    assert advice(module) == text


def test_a_module_is_looked_for_without_being_imported(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    assert is_installed("wave")
    assert "wave" not in sys.modules
    assert not is_installed("negset_nothing.at_all")
    monkeypatch.setitem(sys.modules, "wave", None)
    assert not is_installed("wave")
