"""Pass the machine's pip settings into the build of an image.

images/Dockerfile names no package index. The machine may have an index, a mirror, a proxy's
certificate or a folder of wheels in pip's configuration, as files or as variables
(https://pip.pypa.io/en/stable/topics/configuration/). A build does not see them by itself.
"""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Mapping, Sequence

_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")
_INSIDE = "/run/negset-build"
# Settings that have no meaning in a build, or break it.
_LEFT_OUT = {"config-file", "require-virtualenv", "target", "user", "prefix", "root", "cache-dir", "no-cache-dir", "log"}


def read_settings(environment: Mapping[str, str], files: Sequence[str] = _FILES) -> dict[str, str]:
    """Return pip's global settings by their long option names.

    Variables override files, and later files override earlier ones.
    """
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([os.path.expanduser(path) for path in (*files, environment.get("PIP_CONFIG_FILE", ""))])
    found = {
        key.replace("_", "-"): value
        for section in ("global", "install")
        if parser.has_section(section)
        for key, value in parser[section].items()
    }
    for name, value in environment.items():
        if name.startswith("PIP_") and value:
            found[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    return {name: value for name, value in found.items() if name not in _LEFT_OUT}


def mounts(settings: Mapping[str, str], folder: str) -> list[tuple[str, str]]:
    """Write a pip.conf into `folder`, and return what to mount read-only into a build.

    Each pair is a path on the machine and its path in the build. Files and folders that a setting
    names (a certificate, folders of wheels) are mounted under their own paths.
    """
    pairs: list[tuple[str, str]] = []

    def moved(word: str) -> str:
        path = word.removeprefix("file://")
        if not os.path.isabs(path) or not os.path.exists(path):
            return word
        inside = f"{_INSIDE}/{len(pairs)}"
        pairs.append((path, inside))
        return inside

    lines = ["[global]"]
    for name, value in sorted(settings.items()):
        lines.append(f"{name} = {' '.join(moved(word) for word in value.split())}")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    configuration = os.path.join(folder, "pip.conf")
    with open(os.open(configuration, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")
    return [*pairs, (configuration, "/etc/pip.conf")]
