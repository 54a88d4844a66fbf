"""Every extra resolves on every platform that the README names, from wheels alone.

Not part of `make test`: it asks the package index for a few hundred packages.
"""

from __future__ import annotations

import shutil
import sys

import pytest
from tests.packages.environments import run

EVERYTHING = "training,cluster"
PYTHONS = ("3.11", "3.13")
# As uv names them.
PLATFORMS = {
    "Linux on x86-64": ("x86_64-manylinux_2_28", EVERYTHING),
    "Linux on arm64": ("aarch64-manylinux_2_28", EVERYTHING),
    "macOS on Apple silicon": ("aarch64-apple-darwin", EVERYTHING),
    "Windows, which validates and plans": ("x86_64-pc-windows-msvc", ""),
}


def requirement(wheel, extras: str) -> str:
    return f"negset{f'[{extras}]' if extras else ''} @ {wheel.as_uri()}"


if shutil.which("uv"):

    @pytest.mark.parametrize("python", PYTHONS)
    @pytest.mark.parametrize(("platform", "extras"), PLATFORMS.values(), ids=PLATFORMS)
    def test_uv_resolves(platform, extras, python, wheel, tmp_path):
        (tmp_path / "wanted.in").write_text(requirement(wheel, extras))
        options = ("--python-platform", platform, "--python-version", python, "--only-binary", ":all:", "--no-config", "--quiet")
        run("uv", "pip", "compile", *options, str(tmp_path / "wanted.in"), "--output-file", str(tmp_path / "found.txt"))
        assert ("tensorflow==2" in (tmp_path / "found.txt").read_text()) is bool(extras)


# pip takes each tag literally, and markers from the Python that runs it.
TAGS = {
    "Linux on arm64": [f"manylinux_2_{minor}_aarch64" for minor in range(17, 32)] + ["manylinux2014_aarch64"],
    "macOS on Apple silicon": ["macosx_12_0_arm64"],
}


@pytest.mark.parametrize("tags", TAGS.values(), ids=TAGS)
def test_pip_resolves(tags, wheel, tmp_path):
    platforms = [option for tag in tags for option in ("--platform", tag)]
    options = ("--dry-run", "--ignore-installed", "--only-binary", ":all:", "--target", str(tmp_path), "--disable-pip-version-check")
    found = run(sys.executable, "-m", "pip", "install", *options, *platforms, requirement(wheel, EVERYTHING))
    assert "tensorflow-2" in found
