"""Images as files: an OCI image layout in the cache, and loading from it into a node.

The format is https://github.com/opencontainers/image-spec/blob/main/image-layout.md. Images share
stored layers, and only the layers that a node lacks are loaded. So a change of code takes seconds.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import posixpath
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

from testbed import machine
from testbed.binaries import Unavailable, cache_folder, locked

_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_NAME = "org.opencontainers.image.ref.name"
_WHITEOUT = ".wh."  # a file that begins so removes the file of the rest of its name
_OPAQUE = ".wh..wh..opq"  # removes what earlier layers have in the folder
_CONTAINERD_NAME = "io.containerd.image.name"

Descriptor = dict[str, Any]


def layout_folder() -> str:
    """Return the folder of the layout. Create the two files that every layout has."""
    folder = cache_folder("images")
    os.makedirs(os.path.join(folder, "blobs", "sha256"), exist_ok=True)
    for name, content in (("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("index.json", {"schemaVersion": 2, "manifests": []})):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            with open(path, "w", encoding="utf-8") as stream:
                json.dump(content, stream)
    return folder


def find(image: str) -> Descriptor | None:
    """Return the descriptor of an image's manifest, or None if the layout has no such image."""
    return next((entry for entry in _index()["manifests"] if entry.get("annotations", {}).get(_NAME) == image), None)


def get(image: str) -> Descriptor:
    """Return the descriptor of an image's manifest. Raise Unavailable if there is no such image."""
    described = find(image)
    if described is None:
        raise Unavailable(f"There is no image {image} in {layout_folder()}. Build it first, with `make images`.")
    return described


def size(image: Descriptor) -> int:
    """Return the bytes of an image's layers. They are not compressed, unlike in a registry."""
    return sum(layer["size"] for layer in _manifest(image)["layers"])


def read(image: Descriptor, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """Return the files of an image's root whose paths, without a leading slash, are wanted."""
    files: dict[str, bytes] = {}
    for layer in _manifest(image)["layers"]:
        with tarfile.open(_blob_path(layer["digest"])) as archive:
            for entry in archive:
                path = posixpath.normpath(entry.name).lstrip("/")
                folder, name = posixpath.split(path)
                if name.startswith(_WHITEOUT):
                    removed = posixpath.join(folder, "" if name == _OPAQUE else name.removeprefix(_WHITEOUT))
                    files = {path: content for path, content in files.items() if not f"{path}/".startswith(f"{removed.rstrip('/')}/")}
                elif entry.isfile() and wanted(path):
                    stream = archive.extractfile(entry)
                    assert stream is not None
                    files[path] = stream.read()
    return files


def write_program(image: str, program: str, entrypoint: str) -> None:
    """Write an image with one statically linked program at the path `entrypoint`.

    The image runs the program as a user without privileges.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = archive.gettarinfo(program, arcname=entrypoint.lstrip("/"))
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755
        with open(program, "rb") as stream:
            archive.addfile(entry, stream)
    stored = _write_blob(layer.getvalue(), _LAYER)
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Entrypoint": [entrypoint], "User": "65532:65532"},
        "rootfs": {"type": "layers", "diff_ids": [stored["digest"]]},
    }
    manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _write_blob(_json(config), _CONFIG), "layers": [stored]}
    described = {**_write_blob(_json(manifest), _MANIFEST), "annotations": {_NAME: image}}
    with locked("images"):
        others = [entry for entry in _index()["manifests"] if entry.get("annotations", {}).get(_NAME) != image]
        _replace("index.json", _json({"schemaVersion": 2, "manifests": [*others, described]}))


def load(image: str, socket: str) -> int:
    """Load an image into the containerd that listens on `socket`. Return the bytes that it lacked.

    Do nothing if it has an image of this name and digest.
    """
    described = get(image)
    ctr = ("ctr", "--address", socket, "--namespace", "k8s.io")
    listed = [line.split() for line in machine.run(*ctr, "images", "list").splitlines()[1:]]
    if any((columns[0], columns[2]) == (image, described["digest"]) for columns in listed):
        return 0
    present = set(machine.run(*ctr, "content", "list", "--quiet").split())
    missing = [blob for blob in _blobs(described) if blob["digest"] not in present]
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [{**described, "annotations": {_CONTAINERD_NAME: image}}]}
    with subprocess.Popen(
        [*ctr, "images", "import", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as importer:
        assert importer.stdin is not None
        assert importer.stderr is not None
        try:
            with importer.stdin, tarfile.open(fileobj=importer.stdin, mode="w|") as archive:
                _add(archive, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
                for blob in missing:
                    archive.add(_blob_path(blob["digest"]), arcname=f"blobs/sha256/{blob['digest'].removeprefix('sha256:')}")
                _add(archive, "index.json", _json(index))
        except BrokenPipeError:
            pass  # standard error says why
        problem = importer.stderr.read().decode()
    if importer.returncode:
        raise Unavailable(f"containerd at {socket} failed to import {image}: {problem.strip()}")
    return sum(int(blob["size"]) for blob in missing)


def _blobs(described: Descriptor) -> Iterator[Descriptor]:
    """Return the descriptors of an image's layers, configuration and manifest."""
    manifest = _manifest(described)
    yield from manifest["layers"]
    yield manifest["config"]
    yield described


def _manifest(described: Descriptor) -> Any:
    with open(_blob_path(described["digest"]), "rb") as stream:
        return json.load(stream)


def _index() -> Any:
    with open(os.path.join(layout_folder(), "index.json"), encoding="utf-8") as stream:
        return json.load(stream)


def _write_blob(content: bytes, media_type: str) -> Descriptor:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if not os.path.exists(_blob_path(digest)):
        _replace(f"blobs/sha256/{digest.removeprefix('sha256:')}", content)
    return {"mediaType": media_type, "digest": digest, "size": len(content)}


def _blob_path(digest: str) -> str:
    return os.path.join(layout_folder(), "blobs", "sha256", digest.removeprefix("sha256:"))


def _replace(name: str, content: bytes) -> None:
    path = os.path.join(layout_folder(), name)
    unfinished = f"{path}.{os.getpid()}"
    with open(unfinished, "wb") as stream:
        stream.write(content)
    os.rename(unfinished, path)


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
