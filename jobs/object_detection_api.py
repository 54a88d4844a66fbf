"""Build hook: bundle the TensorFlow Object Detection API, which cannot be a dependency.

Its distribution on PyPI (a repack; there is no official one) requires packages that have no wheel
for today's Python, and pins `pyparsing` to a version that no current Matplotlib accepts. So its two
distributions are installed without their dependencies into a folder of the build, by the hashes in
`object_detection_api.lock`, and the wheel carries that folder. What they import is in the extra
`training`. The licences of both (Apache-2.0) stay beside them.

An editable install has the same folder on its path (`dev-mode-dirs` in pyproject.toml).
"""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

LOCK = "jobs/object_detection_api.lock"
FOLDER = "jobs/.object_detection_api"
BUNDLED = "negset_jobs/training/object_detection_api"
KEPT = (
    "object_detection",
    # EfficientDet's backbone, and the moving averages of the optimizers.
    "official/__init__.py",
    "official/legacy/__init__.py",
    "official/legacy/image_classification",
    "official/modeling",
)


class Bundle(BuildHookInterface):
    """Hatch's `custom` build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the folder if it is missing or made from another lock; add it to a wheel."""
        folder, lock = (os.path.join(self.root, path) for path in (FOLDER, LOCK))
        if not _is_made_from(folder, lock):
            _make(folder, lock)
        if version == "standard":
            build_data["force_include"][folder] = BUNDLED


def _is_made_from(folder: str, lock: str) -> bool:
    try:
        with open(os.path.join(folder, os.path.basename(lock)), "rb") as made, open(lock, "rb") as asked:
            return made.read() == asked.read()
    except FileNotFoundError:
        return False


def _make(folder: str, lock: str) -> None:
    with tempfile.TemporaryDirectory() as installed:
        # Without isolation: setuptools is one of this build's own requirements.
        command = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--require-hashes"]
        subprocess.run([sys.executable, "-m", "pip", *command, "--target", installed, "--requirement", lock], check=True)
        shutil.rmtree(folder, ignore_errors=True)
        for part in KEPT:
            _copy(os.path.join(installed, part), os.path.join(folder, part))
        for text in glob.glob("*.dist-info/METADATA", root_dir=installed) + glob.glob("*.dist-info/licenses/*", root_dir=installed):
            # Not as `.dist-info`: the folder would be taken for an environment with two packages.
            _copy(os.path.join(installed, text), os.path.join(folder, "licences", text.replace(".dist-info/", "/")))
    shutil.copy(lock, folder)  # last: it says that the folder is whole


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*_test.py", "*_test_lib.py", "*_testbase.py", "test_*", "__pycache__"))
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
