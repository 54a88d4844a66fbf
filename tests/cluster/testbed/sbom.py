"""The software bill of materials of an image, in CycloneDX's JSON format (https://cyclonedx.org).

It lists the Debian packages and the Python distributions that are in the image, not those that were
meant to be. So what a library has vendored is listed too.
"""

from __future__ import annotations

import email
import re
import urllib.parse
import uuid
from collections.abc import Iterable, Mapping
from email.message import Message
from typing import Any

from testbed import oci

Component = dict[str, Any]

_METADATA = re.compile(r"\.dist-info/METADATA$|/object_detection_api/licences/[^/]+/METADATA$")
_DEBIAN = re.compile(r"^var/lib/dpkg/(status$|status\.d/[^/]+$)")
_RELEASE = "usr/lib/os-release"
_LONGEST_LICENCE_NAME = 100  # characters; some distributions have the whole text in this field


def write(image: str) -> dict[str, Any]:
    """Return the bill of an image in the layout."""
    described = oci.get(image)
    files = oci.read(described, lambda path: path == _RELEASE or bool(_DEBIAN.search(path) or _METADATA.search(path)))
    return bill(image, described["digest"], files)


def bill(image: str, digest: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the bill of an image with these files: path without a leading slash → content.

    It has no time and no random number, so an image has one bill.
    """
    name, _, tag = image.rpartition(":")
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    components = [
        *debian_packages((text for path, text in texts.items() if _DEBIAN.search(path)), release(texts.get(_RELEASE, ""))),
        *(python_distribution(text) for path, text in texts.items() if _METADATA.search(path)),
    ]
    unique = {component["bom-ref"]: component for component in components}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": digest,
                "name": name,
                "version": tag,
                "hashes": [{"alg": "SHA-256", "content": digest.removeprefix("sha256:")}],
            }
        },
        "components": [unique[reference] for reference in sorted(unique)],
    }


def release(text: str) -> str:
    """Return the distribution of an os-release file as purls name it, such as `debian-13`."""
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return f"{fields.get('ID', 'debian')}-{fields.get('VERSION_ID', '')}".replace('"', "").rstrip("-")


def debian_packages(statuses: Iterable[str], distribution: str) -> Iterable[Component]:
    """Return the installed packages of dpkg's status files."""
    for paragraph in "\n\n".join(statuses).split("\n\n"):
        fields = email.message_from_string(paragraph.strip())
        if fields["Package"] and fields["Status"] == "install ok installed":
            where = urllib.parse.urlencode({"arch": fields["Architecture"], "distro": distribution})
            yield _component("deb/debian", fields, "Package", f"?{where}")


def python_distribution(metadata: str) -> Component:
    """Return the distribution that a METADATA file describes, with its licence."""
    fields = email.message_from_string(metadata)
    component = _component("pypi", fields, "Name")
    if licence := _licence(fields):
        component["licenses"] = [licence]
    return component


def normalized(name: str) -> str:
    """Return a distribution's name as purls and locks spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(kind: str, fields: Message, key: str, qualifiers: str = "") -> Component:
    name = normalized(fields[key]) if kind == "pypi" else fields[key]
    purl = f"pkg:{kind}/{urllib.parse.quote(name)}@{urllib.parse.quote(fields['Version'])}{qualifiers}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": fields["Version"], "purl": purl}


def _licence(fields: Message) -> dict[str, Any] | None:
    if expression := fields["License-Expression"]:
        return {"expression": expression}
    named = (fields["License"] or "").strip()
    classifiers = [line.rpartition(" :: ")[2] for line in fields.get_all("Classifier", []) if line.startswith("License ::")]
    if not named or "\n" in named or len(named) > _LONGEST_LICENCE_NAME:
        named = ", ".join(classifiers)
    return {"license": {"name": named}} if named else None
