"""The rooms' READMEs describe the rooms that there are, in the order of the import rules."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = ("operator/README.md", "jobs/README.md")
FOLDERS = ("", "operator", "operator/negset_operator", "jobs/negset_jobs", "charts/negset")
"""What a path in a README may be relative to."""

SECTIONS = {
    "negset_operator": ("operator/README.md", "## The rooms of negset_operator"),
    "negset_api": ("operator/README.md", "## The rooms of negset_api"),
    "negset_jobs": ("jobs/README.md", "## The rooms"),
}


def layers(package: str) -> list[str]:
    """The layers of a package from top to bottom, as import-linter has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return next(each["layers"] for each in contracts if each.get("containers") == [package])


def section(file: str, heading: str) -> str:
    text = (ROOT / file).read_text()
    return text.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("package", SECTIONS)
def test_every_layer_has_its_paragraph_in_the_order_of_the_import_rules(package):
    headings = re.findall(r"^### (.*)$", section(*SECTIONS[package]), re.MULTILINE)
    assert [heading.replace("`", "") for heading in headings] == layers(package)


@pytest.mark.parametrize("file", READMES)
def test_every_path_that_a_readme_names_exists(file):
    text = (ROOT / file).read_text()
    named = re.findall(r"`([\w.-]+(?:/[\w.-]+)*(?:\.(?:py|md|yaml|json)|/))`", text)
    named = [each for each in named if "/" in each]
    missing = [each for each in named if not any((ROOT / folder / each).exists() for folder in FOLDERS)]
    assert named
    # The informers of the official client, which is no part of this repository.
    assert [each for each in missing if each != "kubernetes/informer/"] == []


@pytest.mark.parametrize("file", READMES)
def test_every_link_within_a_readme_leads_somewhere(file):
    text = (ROOT / file).read_text()
    headings = {re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings
        elif "://" not in target:
            assert (ROOT / file).parent.joinpath(target).exists(), target
