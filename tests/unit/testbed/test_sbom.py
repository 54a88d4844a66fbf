"""The bill of an image lists what its files say, once each."""

from __future__ import annotations

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "cluster"))

from testbed import sbom

SITE = "opt/negset/lib/python3.13/site-packages"
OS_RELEASE = {"usr/lib/os-release": b'PRETTY_NAME="Debian GNU/Linux 13"\nID=debian\nVERSION_ID="13"\n'}
LIBC = b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41-12\n"
REMOVED = b"Package: apt\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 3.0\n"
METADATA = b"Metadata-Version: 2.4\nName: Ray\nVersion: 2.60.0\n\nRay is a framework\n\nName: other\n"


def listed(files: dict[str, bytes]) -> list[str]:
    return [part["purl"] for part in sbom.bill("docker.io/a/jobs:1", "sha256:0f", OS_RELEASE | files)["components"]]


@pytest.mark.parametrize(
    ("files", "purls"),
    [
        pytest.param(
            {"var/lib/dpkg/status": LIBC + b"\n" + REMOVED},
            ["pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13"],
            id="an installed Debian package, and not a removed one",
        ),
        pytest.param(
            {"var/lib/dpkg/status.d/libc6": LIBC, "var/lib/dpkg/status.d/zlib1g": LIBC.replace(b"libc6", b"zlib1g")},
            [f"pkg:deb/debian/{name}@2.41-12?arch=amd64&distro=debian-13" for name in ("libc6", "zlib1g")],
            id="packages of an image without a package manager",
        ),
        pytest.param({f"{SITE}/ray-2.60.0.dist-info/METADATA": METADATA}, ["pkg:pypi/ray@2.60.0"], id="a Python distribution"),
        pytest.param(
            {f"{SITE}/ray-2.60.0.dist-info/METADATA": METADATA, f"{SITE}/pip/_vendor/ray-2.60.0.dist-info/METADATA": METADATA},
            ["pkg:pypi/ray@2.60.0"],
            id="a distribution that is there twice, once",
        ),
        pytest.param(
            {f"{SITE}/negset_jobs/training/object_detection_api/licences/a-1/METADATA": b"Name: tf_models.official\nVersion: 1+x\n"},
            ["pkg:pypi/tf-models-official@1%2Bx"],
            id="the bundled Object Detection API",
        ),
        pytest.param({f"{SITE}/ray/METADATA": METADATA}, [], id="no other file of that name"),
    ],
)
def test_components(files: dict[str, bytes], purls: list[str]) -> None:
    assert listed(files) == purls


@pytest.mark.parametrize(
    ("lines", "licences"),
    [
        pytest.param("License-Expression: MIT OR Apache-2.0\nLicense: x\n", [{"expression": "MIT OR Apache-2.0"}], id="an expression"),
        pytest.param("License: BSD\n", [{"license": {"name": "BSD"}}], id="a name"),
        pytest.param(
            "License: Redistribution and\n use\nClassifier: License :: OSI Approved :: BSD License\nClassifier: Topic :: A\n",
            [{"license": {"name": "BSD License"}}],
            id="a whole text, for which the classifiers stand",
        ),
        pytest.param("", None, id="none"),
    ],
)
def test_licences(lines: str, licences: list[dict[str, object]] | None) -> None:
    assert sbom.python_distribution(f"Name: a\nVersion: 1\n{lines}").get("licenses") == licences


def test_an_image_has_one_bill_and_another_image_has_another() -> None:
    first, again, other = (sbom.bill("docker.io/a/jobs:1", digest, OS_RELEASE) for digest in ("sha256:0f", "sha256:0f", "sha256:1f"))
    assert first == again
    assert first["serialNumber"] != other["serialNumber"]
    assert first["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "0f"}]
