"""The operator's image has the packages that it names, and those that they depend on."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).parents[3] / "images" / "copy_packages.py"
    spec = importlib.util.spec_from_file_location("copy_packages", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


copy_packages = _load()

LISTING = """\
python3\tpython3.13 (>= 3.13.5-1~), libpython3-stdlib (= 3.13.5-1), python3-minimal (= 3.13.5-1)
python3.13\tmime-support | media-types, tzdata, libc6 (>= 2.38)
libpython3-stdlib\tlibc6, python3:any
python3-minimal\tdpkg (>= 1.13.20), libc6
media-types\t,
tzdata\tdebconf (>= 0.5) | debconf-2.0
libc6\t,
dpkg\ttar
tar\t,
debconf\t,
"""
PACKAGES = copy_packages.parse(LISTING)


@pytest.mark.parametrize(
    ("wanted", "without", "found"),
    [
        pytest.param(["libc6"], [], {"libc6"}, id="a package without dependencies"),
        pytest.param(["python3-minimal"], [], {"python3-minimal", "dpkg", "tar", "libc6"}, id="dependencies of dependencies"),
        pytest.param(["python3-minimal"], ["dpkg"], {"python3-minimal", "libc6"}, id="what is left out does not bring its own"),
        pytest.param(["tzdata"], ["debconf"], {"tzdata"}, id="a choice with something left out is met"),
        pytest.param(["libpython3-stdlib"], ["dpkg", "debconf"], set(PACKAGES) - {"dpkg", "tar", "debconf"}, id="a circle of dependencies"),
    ],
)
def test_closure(wanted: list[str], without: list[str], found: set[str]) -> None:
    assert copy_packages.closure(wanted, PACKAGES, without) == found


def test_the_installed_package_of_a_choice_is_taken() -> None:
    assert "media-types" in copy_packages.closure(["python3.13"], PACKAGES)


def test_a_dependency_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"^a depends on b or c, and none is installed$"):
        copy_packages.closure(["a"], {"a": [["b", "c"]]})


def test_files_links_and_modes_are_copied_and_missing_documentation_is_not(tmp_path: Path) -> None:
    here, root = tmp_path / "here", str(tmp_path / "root")
    (here / "usr" / "lib").mkdir(parents=True)
    (here / "lib").symlink_to("usr/lib")
    (here / "usr" / "lib" / "a.py").write_text("x = 1")
    (here / "usr" / "lib" / "b.py").symlink_to("a.py")
    (here / "usr" / "lib" / "a.py").chmod(0o640)
    bytecode = Path(importlib.util.cache_from_source(str(here / "usr" / "lib" / "a.py")))
    bytecode.parent.mkdir()
    bytecode.write_bytes(b"code")
    for path in ("lib", "lib/a.py", "lib/b.py", "share/doc/changelog.gz"):
        copy_packages.copy(str(here / path), root)
    copied = Path(f"{root}{here}")
    assert os.readlink(copied / "lib") == "usr/lib"
    assert os.readlink(copied / "usr" / "lib" / "b.py") == "a.py"
    assert (copied / "usr" / "lib" / "a.py").stat().st_mode & 0o777 == 0o640
    assert (copied / "lib" / "__pycache__" / f"a.{sys.implementation.cache_tag}.pyc").read_bytes() == b"code"
    assert not (copied / "share").exists()
