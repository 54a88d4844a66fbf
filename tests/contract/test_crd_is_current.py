"""The CRD in the chart is generated from the current types."""

from __future__ import annotations

from pathlib import Path

import yaml

from negset_api.schema import custom_resource_definition

FILE = Path(__file__).parents[2] / "charts" / "negset" / "files" / "crd.yaml"


def test_the_charts_crd_is_current():
    """If it is not: make crd."""
    assert yaml.safe_load(FILE.read_text()) == custom_resource_definition()


def test_the_charts_crd_is_what_the_command_prints(capsys):
    from negset_jobs.cli import main

    assert main(["crd"]) == 0
    assert capsys.readouterr().out == FILE.read_text()
