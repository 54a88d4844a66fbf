"""The version is in pyproject.toml. Every other file that names it has the same."""

from __future__ import annotations

import base64
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from negset_api import names
from negset_api.version import version
from negset_operator.config import Images

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "negset"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CHART_YAML = yaml.safe_load((CHART / "Chart.yaml").read_text())


def annotation(name: str):
    return yaml.safe_load(CHART_YAML["annotations"][f"artifacthub.io/{name}"])


def test_the_installed_distribution_has_the_version():
    """If not: make setup."""
    assert version() == VERSION


def test_the_chart_and_the_application_have_the_version():
    """If not: make version V=…"""
    assert (CHART_YAML["version"], CHART_YAML["appVersion"]) == (VERSION, VERSION)


def test_the_operators_default_images_have_the_version():
    assert (Images().jobs, Images().trainer) == (f"negset/jobs:{VERSION}", f"negset/trainer:{VERSION}")


def test_the_chart_lists_its_images_at_the_version():
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    repositories = {name: section["image"]["repository"] for name, section in values.items() if name in {"jobs", "trainer"}}
    repositories["operator"] = values["image"]["repository"]
    listed = {image["name"]: image["image"] for image in annotation("images")}
    assert listed == {name: f"{repository}:{VERSION}" for name, repository in repositories.items()}


def test_the_changelog_has_a_section_for_the_version_and_one_for_what_comes():
    headings = re.findall(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert VERSION in headings


@pytest.mark.parametrize("folder", ["operator", "jobs", "charts"])
def test_nothing_else_spells_an_image_with_a_version(folder):
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in {".py", ".yaml", ".tpl"} and path.name != "Chart.yaml"]
    found = [str(path) for path in files if re.search(r"negset/(operator|jobs|trainer):\d", path.read_text())]
    assert (len(files) > 10, found) == (True, [])


def test_the_charts_icon_is_its_file():
    encoded = CHART_YAML["icon"].removeprefix("data:image/svg+xml;base64,")
    assert base64.b64decode(encoded).decode() == (CHART / "icon.svg").read_text().strip()


def test_the_chart_lists_the_crd_and_one_of_its_examples():
    (crd,) = annotation("crds")
    assert (crd["kind"], crd["version"], crd["name"]) == (names.KIND, names.VERSION, names.CRD_NAME)
    assert annotation("crdsExamples") == [yaml.safe_load((CHART / "examples" / "data-only.yaml").read_text())]
