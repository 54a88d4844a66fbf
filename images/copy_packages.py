"""Copy Debian packages, with all that they depend on, from this system into an empty folder.

    python3 copy_packages.py --without dpkg debconf --into /system -- python3 tzdata

The folder is the root of an image without a shell and without a package manager. The status of each
package is in `var/lib/dpkg/status.d`, where scanners also find the packages of distroless images
(https://github.com/GoogleContainerTools/distroless).
"""

from __future__ import annotations

import argparse
import glob
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence

# What no package lists: links of the merged /usr, and what installation scripts have written.
UNLISTED = ("/bin", "/lib", "/lib64", "/sbin", "/etc/group", "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/ssl/certs/*")
STATUS = "var/lib/dpkg/status.d"

Requirements = Mapping[str, Sequence[Sequence[str]]]
"""Name of an installed package → what it depends on: a choice of names for each dependency."""


def closure(wanted: Iterable[str], packages: Requirements, without: Iterable[str] = ()) -> set[str]:
    """Return the wanted packages and everything that they depend on, except `without`.

    Of a choice, the first installed package counts. Raise LookupError if none is installed.
    """
    found: set[str] = set()
    left, without = list(wanted), set(without)
    while left:
        package = left.pop()
        if package in found:
            continue
        found.add(package)
        for choice in packages[package]:
            if not without.isdisjoint(choice):
                continue
            installed = [name for name in choice if name in packages]
            if not installed:
                raise LookupError(f"{package} depends on {' or '.join(choice)}, and none is installed")
            left.append(installed[0])
    return found


def parse(listing: str) -> dict[str, list[list[str]]]:
    """Return the packages and dependencies of lines of `package<TAB>Depends, Pre-Depends`."""
    packages: dict[str, list[list[str]]] = {}
    for line in listing.splitlines():
        package, _, depends = line.partition("\t")
        choices = [choice.split("|") for choice in depends.split(",") if choice.strip()]
        packages[package] = [[re.split(r"[ :(]", name.strip())[0] for name in choice] for choice in choices]
    return packages


def copy(path: str, root: str) -> None:
    """Copy a file, a link or a folder (without its content) to the same path below `root`.

    Links on the way, such as /lib, are followed. The bytecode of a Python module goes with it.
    A file that does not exist is left out: slim images have no documentation.
    """
    source = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    target = root + source
    if not os.path.lexists(source) or os.path.lexists(target):
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source) and not os.path.islink(source):
        os.mkdir(target)
        shutil.copystat(source, target)
        return
    shutil.copy2(source, target, follow_symlinks=False)
    if source.endswith(".py"):
        copy(importlib.util.cache_from_source(source), root)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", nargs="*", default=[], help="packages that are needed only to install others")
    parser.add_argument("--into", required=True, help="the folder")
    parser.add_argument("packages", nargs="+")
    options = parser.parse_args()
    packages = parse(_query("--show", "--showformat", "${Package}\t${Depends}, ${Pre-Depends}\n"))
    os.makedirs(os.path.join(options.into, STATUS))
    for package in sorted(closure(options.packages, packages, options.without)):
        for path in _query("--listfiles", package).splitlines():
            copy(path, options.into)
        with open(os.path.join(options.into, STATUS, package), "w", encoding="utf-8") as stream:
            stream.write(_query("--status", package))
    for pattern in UNLISTED:
        for path in glob.glob(pattern):
            copy(path, options.into)


def _query(*arguments: str) -> str:
    return subprocess.run(["dpkg-query", *arguments], capture_output=True, text=True, check=True).stdout  # noqa: S603, S607


if __name__ == "__main__":
    main()
