"""The table of `negset_api.extras` agrees with what pyproject.toml installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from negset_api.extras import PACKAGES

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
BASE = {re.split(r"[^\w.-]", line)[0] for line in PROJECT["dependencies"]}


@pytest.mark.parametrize("extra", PACKAGES)
def test_an_extra_installs_what_it_is_asked_for(extra):
    installed = {re.split(r"[^\w.-]", line)[0] for line in PROJECT["optional-dependencies"][extra]}
    assert set(PACKAGES[extra].values()) <= installed
    assert not set(PACKAGES[extra].values()) & BASE, "what is always there need not be asked for"


def test_no_package_is_in_two_extras():
    packages = [package for extra in PACKAGES.values() for package in extra.values()]
    assert len(packages) == len(set(packages))
