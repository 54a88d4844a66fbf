"""An image's files are those of its last layers, less what they remove."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "cluster"))

from testbed import oci

BASE = {"etc/a": b"1", "etc/b": b"1", "usr/etc/c": b"1"}


def layer(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(f"./{path}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("second", "files"),
    [
        pytest.param({}, BASE, id="a layer without files changes nothing"),
        pytest.param({"etc/a": b"2"}, BASE | {"etc/a": b"2"}, id="a later file replaces an earlier one"),
        pytest.param({"etc/.wh.a": b""}, {"etc/b": b"1", "usr/etc/c": b"1"}, id="a whiteout removes a file"),
        pytest.param({".wh.etc": b""}, {"usr/etc/c": b"1"}, id="a whiteout removes a folder"),
        pytest.param(
            {"etc/.wh..wh..opq": b"", "etc/d": b"2"}, {"etc/d": b"2", "usr/etc/c": b"1"}, id="an opaque folder has only what follows"
        ),
    ],
)
def test_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: dict[str, bytes], files: dict[str, bytes]) -> None:
    monkeypatch.setenv("NEGSET_CACHE", str(tmp_path))
    blobs = Path(oci.layout_folder(), "blobs", "sha256")

    def stored(content: bytes) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"digest": f"sha256:{digest}", "size": len(content)}

    layers = [layer(BASE), layer(second)]
    image = stored(json.dumps({"layers": [stored(content) for content in layers]}).encode())
    assert oci.read(image, lambda path: path.endswith(("a", "b", "c", "d"))) == files
    assert oci.size(image) == sum(len(content) for content in layers)
