"""`negset init` writes a manifest that is valid as it is, and with every optional field."""

from __future__ import annotations

import re

import pytest
import yaml

from negset_api import validation
from negset_jobs import cli
from negset_jobs.commands import start


def test_the_manifest_is_valid_and_named_for_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "Night drive.yaml"]) == 0
    assert capsys.readouterr().out == "Night drive.yaml\n"
    dataset = validation.parse(yaml.safe_load((tmp_path / "Night drive.yaml").read_text()))
    assert dataset.metadata.name == "night-drive"
    assert dataset.spec.training is None


def test_the_manifest_is_valid_with_every_optional_field():
    text = re.sub(r"^#(?=  )", "", start.manifest("street"), flags=re.MULTILINE)
    spec = validation.parse(yaml.safe_load(text)).spec
    assert spec.training is not None
    assert spec.training.comparisons == ("NoNegatives", "RandomNegatives")
    assert (spec.output.secret_name, spec.selection.strategy) == ("s3-credentials", "Stratified")


def test_the_manifest_goes_to_standard_output_as_well(capsys):
    assert cli.main(["init", "-"]) == 0
    assert validation.parse(yaml.safe_load(capsys.readouterr().out)).metadata.name == "street-background"


@pytest.mark.parametrize("name", ["2026", "1e5", "0x1f", "2026-11-26", "no", "true", "null", "y", "street"])
def test_whatever_the_file_is_called_the_manifest_is_valid(name, tmp_path, capsys):
    path = tmp_path / f"{name}.yaml"
    assert cli.main(["init", str(path)]) == 0
    assert cli.main(["validate", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\ndefault/{name} is valid\n"


@pytest.mark.parametrize("label", ["1e5", "y", "n"])
def test_what_only_kubectl_reads_as_no_text_is_quoted_too(label):
    assert f'  name: "{label}"\n' in start.manifest(label)


def test_the_next_command_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "Night drive.yaml"]) == 0
    assert capsys.readouterr().err.endswith("run: negset plan 'Night drive.yaml'\n")


def test_an_existing_file_is_kept(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    assert cli.main(["init", str(path)]) == 2
    assert capsys.readouterr().err == (
        f"negset: FILE: expected the name of a new file, {str(path)!r} exists; remove it or choose another name\n"
    )
    assert path.read_text() == "mine"


def test_a_folder_that_does_not_exist_is_named(tmp_path, capsys):
    assert cli.main(["init", str(tmp_path / "no" / "mine.yaml")]) == 2
    assert "No such file or directory" in capsys.readouterr().err


NAMES = {
    "street.yaml": "street",
    "/data/Night_Drive 2.yml": "night-drive-2",
    "a" * 100 + ".yaml": "a" * 63,
    "---.yaml": "street-background",
    "\u00e9t\u00e9.yaml": "t",
}


@pytest.mark.parametrize(("path", "name"), NAMES.items())
def test_the_name_is_a_dns_label(path, name):
    assert start.name_for(path) == name
