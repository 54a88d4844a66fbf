"""Build hook: bundle the TensorFlow Object Detection API, which cannot be a dependency.

Its distribution on PyPI (a repack; there is no official one) requires packages that have no wheel
for today's Python, and pins `pyparsing` to a version that no current Matplotlib accepts. So its two
distributions are installed without their dependencies into a folder of the build, by the hashes in
`object_detection_api.lock`, and the wheel carries that folder. What they import is in the extra
`training`. The licences of both (Apache-2.0) stay beside them.

An editable install has the same folder on its path (`dev-mode-dirs` in pyproject.toml).
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
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
    # EfficientDet's backbone with what it imports.
    "official/__init__.py",
    "official/legacy/__init__.py",
    "official/legacy/image_classification/__init__.py",
    "official/legacy/image_classification/augment.py",
    "official/legacy/image_classification/preprocessing.py",
    "official/legacy/image_classification/efficientnet",
    "official/modeling/__init__.py",
    "official/modeling/tf_utils.py",
    "official/modeling/activations",
    "official/modeling/hyperparams",
)
LEFT_OUT = (
    *("*_test.py", "*_test_lib.py", "*_testbase.py", "test_*", "__pycache__"),
    *("dataset_tools", "datasets", "deployment", "inference", "legacy", "packages", "tpu_exporters"),
)


class Bundle(BuildHookInterface):
    """Hatch's `custom` build hook."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the folder, unless it was made from this module and this lock; add it to a wheel."""
        folder, lock = (os.path.join(self.root, path) for path in (FOLDER, LOCK))
        digest = _digest(__file__, lock)
        if _made_from(folder) != digest:
            _make(folder, lock, digest)
        if version == "standard":
            build_data["force_include"][folder] = BUNDLED


def _made_from(folder: str) -> str:
    try:
        with open(os.path.join(folder, "made-from"), encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _digest(*paths: str) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _make(folder: str, lock: str, digest: str) -> None:
    """Make the folder beside its place, since another build may read what is there."""
    with tempfile.TemporaryDirectory(prefix=f"{os.path.basename(folder)}-", dir=os.path.dirname(folder)) as temporary:
        installed, made, before = (os.path.join(temporary, name) for name in ("installed", "made", "before"))
        # Without isolation: setuptools is one of this build's own requirements.
        command = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-compile", "--require-hashes"]
        # What a user's settings of pip may say of their own packages is not meant for these.
        command += ["--no-user", "--only-binary=:none:"]
        subprocess.run([sys.executable, "-m", "pip", *command, "--target", installed, "--requirement", lock], check=True)  # noqa: S603
        for part in KEPT:
            _copy(os.path.join(installed, part), os.path.join(made, part))
        for text in glob.glob("*.dist-info/METADATA", root_dir=installed) + glob.glob("*.dist-info/licenses/*", root_dir=installed):
            # Not as `.dist-info`: the folder would be taken for an environment with two packages.
            _copy(os.path.join(installed, text), os.path.join(made, "licences", text.replace(".dist-info/", "/")))
        with open(os.path.join(made, "made-from"), "w", encoding="ascii") as file:
            file.write(digest)
        if _made_from(folder) != digest:  # else another build made it meanwhile
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder, before)
            os.rename(made, folder)


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
