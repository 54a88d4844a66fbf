"""The built images are small, and their SBOM lists what is in them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from testbed import images, oci, sbom

LOCKS = {"operator": ("operator",), "jobs": ("jobs",), "trainer": ("trainer", "trainer-cpu")}
SYSTEM = {"base-files", "ca-certificates", "libc6", "libssl3t64", "libstdc++6", "python3", "tzdata"}
SHELL = {"apt", "bash", "coreutils", "dpkg", "perl-base"}
# KubeRay starts Ray by a shell. The operator has none.
DEBIAN = {"operator": SYSTEM, "jobs": SYSTEM | SHELL, "trainer": SYSTEM | SHELL}
LARGEST = {"operator": 150e6, "jobs": 1150e6, "trainer": 2550e6}  # bytes, not compressed
PYTHON = {"sys_platform": "linux", "platform_machine": "x86_64", "python_full_version": "3.13.5", "python_version": "3.13"}

pytestmark = pytest.mark.skipif("NEGSET_TEST_KUBECONFIG" in os.environ, reason="NOT TESTED: the images are in a registry of yours")


def components(target: str, kind: str) -> set[tuple[str, str]]:
    """Return name and version of what the image's SBOM lists, of a kind of package URL."""
    bill = sbom.write(images.image_name(target, images.default_tag()))
    return {(part["name"], part["version"]) for part in bill["components"] if part["purl"].startswith(f"pkg:{kind}/")}


def pins(lock: str) -> set[tuple[str, str]]:
    """Return name and version of what a lock installs in the image."""
    text = Path(images.ROOT, "images", f"{lock}.lock").read_text(encoding="utf-8")
    found = [Requirement(line) for line in re.findall(r"^([a-z0-9][^\\\n]*==[^\\\n]*)", text, re.MULTILINE)]
    return {(pin.name, str(pin.specifier).removeprefix("==")) for pin in found if pin.marker is None or pin.marker.evaluate(PYTHON)}


@pytest.mark.parametrize("target", images.TARGETS)
def test_the_bill_lists_each_line_of_the_locks_with_its_version(target):
    locked = set().union(*(pins(lock) for lock in LOCKS[target]))
    assert len(locked) > 30
    assert locked - components(target, "pypi") == set()


def test_the_trainers_bill_lists_the_bundled_object_detection_api():
    assert {name for name, _ in components("trainer", "pypi")} >= {"tf-models-research-object-detection", "tf-models-official"}


@pytest.mark.parametrize("target", images.TARGETS)
def test_the_bill_lists_the_debian_packages(target):
    names = {name for name, _ in components(target, "deb")}
    assert DEBIAN[target] - names == set()


def test_the_operator_has_neither_a_shell_nor_a_package_manager():
    assert {name for name, _ in components("operator", "deb")} & SHELL == set()
    image = oci.get(images.image_name("operator", images.default_tag()))
    assert oci.read(image, re.compile(r"(^|/)(ba|da)?sh$").search) == {}


@pytest.mark.parametrize("target", images.TARGETS)
def test_the_image_is_not_larger_than_promised(target):
    assert oci.size(oci.get(images.image_name(target, images.default_tag()))) < LARGEST[target]
