"""Fresh environments with the built wheel and one of its extras, as a user installs them."""

from __future__ import annotations

import os
import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Final, Literal

from tests.conftest import ROOT

Installer = Literal["pip", "uv"]

PYTHON: Final = os.environ.get("NEGSET_TEST_PYTHON") or sys.executable
NEWEST: Final = bool(os.environ.get("NEGSET_TEST_NEWEST"))
"""Install the newest versions that the metadata allows, instead of those of the lock."""

_LOCKED: Final = re.compile(r"^([\w.-]+==[^\s\\]+(?: *;[^\\]*)?)", re.MULTILINE)


def installers() -> tuple[Installer, ...]:
    """Return pip, and uv if there is one. Only the quicker one, if the lock's versions do."""
    uv: tuple[Installer, ...] = ("uv",) if shutil.which("uv") else ()
    return ("pip", *uv) if NEWEST else (uv or ("pip",))


def build_wheel(folder: pathlib.Path) -> pathlib.Path:
    """Build the wheel of this checkout."""
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("negset-*.whl")
    return wheel


def constraints(folder: pathlib.Path) -> pathlib.Path:
    """Write the versions of requirements.lock. With its hashes, pip would want one of the wheel."""
    path = folder / "constraints.txt"
    path.write_text("" if NEWEST else "\n".join(_LOCKED.findall((ROOT / "requirements.lock").read_text())))
    return path


@dataclass(frozen=True)
class Environment:
    """A virtual environment. It sees nothing of the one that runs the tests."""

    folder: pathlib.Path
    installer: Installer

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    def install(self, requirement: str, constrained_by: pathlib.Path) -> None:
        """Create the environment with one requirement in it."""
        options = ("--constraint", str(constrained_by), requirement)
        if self.installer == "uv":
            run("uv", "venv", "--quiet", "--no-config", "--python", PYTHON, str(self.folder))
            run("uv", "pip", "install", "--quiet", "--no-config", "--python", self.python, *options)
        else:
            run(PYTHON, "-m", "venv", str(self.folder))
            run(self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options)

    def check(self) -> None:
        """Raise an error if the requirements of an installed package are not met."""
        check = ("uv", "pip", "check", "--no-config", "--python", self.python)
        run(*(check if self.installer == "uv" else (self.python, "-m", "pip", "check")))

    def call(self, program: str, *words: str, cwd: pathlib.Path) -> subprocess.CompletedProcess[str]:
        """Run an installed program."""
        command = [str(self.folder / "bin" / program), *words]
        return subprocess.run(command, cwd=cwd, env=_environment(), capture_output=True, text=True, check=False)


def run(*command: str) -> str:
    """Run a command and return what it prints."""
    ended = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def _environment() -> dict[str, str]:
    """Return the variables of this process without those that lead to its own packages."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME"}}
