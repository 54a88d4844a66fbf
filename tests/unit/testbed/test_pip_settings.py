"""The machine's pip settings reach the build of an image, from files and from variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "cluster"))

from testbed.pip_settings import mounts, read_settings


@pytest.mark.parametrize(
    ("file", "environment", "settings"),
    [
        pytest.param("", {}, {}, id="a machine without settings has none"),
        pytest.param("[global]\nindex-url = https://a/\n", {}, {"index-url": "https://a/"}, id="a file's index is taken"),
        pytest.param(
            "[install]\nindex_url = https://a/\n", {}, {"index-url": "https://a/"}, id="underscores and the install section mean the same"
        ),
        pytest.param(
            "[global]\nindex-url = https://a/\n",
            {"PIP_INDEX_URL": "https://b/"},
            {"index-url": "https://b/"},
            id="a variable wins over a file",
        ),
        pytest.param("[global]\ntarget = /elsewhere\n", {"PIP_USER": "1"}, {}, id="where packages go is not the machine's to say"),
        pytest.param(
            "[global]\nindex-url = https://u:p%%40@a/\n", {}, {"index-url": "https://u:p%%40@a/"}, id="a percent sign means itself"
        ),
    ],
)
def test_settings(tmp_path: Path, file: str, environment: dict[str, str], settings: dict[str, str]) -> None:
    path = tmp_path / "pip.conf"
    path.write_text(file)
    assert read_settings(environment, files=[str(path)]) == settings


def test_files_and_folders_that_a_setting_names_come_along(tmp_path: Path) -> None:
    certificate, wheels = tmp_path / "ca.crt", tmp_path / "wheels"
    certificate.touch()
    wheels.mkdir()
    settings = {"cert": str(certificate), "find-links": f"{wheels} https://a/wheels", "index-url": "https://a/"}
    pairs = dict(mounts(settings, str(tmp_path / "out")))
    configuration = next(here for here, there in pairs.items() if there == "/etc/pip.conf")
    assert Path(configuration).read_text().splitlines() == [
        "[global]",
        f"cert = {pairs[str(certificate)]}",
        f"find-links = {pairs[str(wheels)]} https://a/wheels",
        "index-url = https://a/",
    ]
    assert all(there.startswith(("/run/", "/etc/pip.conf")) for there in pairs.values())
