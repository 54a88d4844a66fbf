"""No message quotes the content of a file or a server.

A URL of a manifest may lead to any file or server that the job can read.
"""

from __future__ import annotations

import asyncio
import copy
import gzip
import io
import json
import pathlib
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
import yaml
from PIL import Image
from tests.local.test_bad_input import COCO, fill

from negset_api.errors import InvalidInput, NegsetError
from negset_api.spec import Download
from negset_jobs.adapters import web_stream
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, list_input, read_input
from negset_jobs.adapters.store import Store
from negset_jobs.cli import main
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher

TOKEN = "abc123"
SECRET = f"SECRET_TOKEN={TOKEN}hunter2\n"


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, SECRET)
    return stream.getvalue()


def tarred(name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


CONTENTS = {
    "an environment": SECRET.encode(),
    "an environment of a process": SECRET.encode().replace(b"\n", b"\0"),
    "a token alone": TOKEN.encode(),
    "a token in quotes": f'"{TOKEN}"'.encode(),
    "JSON": json.dumps({"token": TOKEN, TOKEN: [TOKEN]}).encode(),
    "JSON of another shape": json.dumps({"images": TOKEN, "annotations": [TOKEN], "categories": {TOKEN: TOKEN}}).encode(),
    "JSON with other values": json.dumps({"images": [{"id": [TOKEN], "file_name": 1}], "annotations": [], "categories": []}).encode(),
    "JSON cut short": json.dumps({TOKEN: TOKEN}).encode()[:-4],
    "JSON with an array of its own cut short": b'{"abc123": [{"a": 1}',
    "XML": f"<{TOKEN[:3]}x><token>{TOKEN}</token></{TOKEN[:3]}x>".replace("abcx", f"x{TOKEN}").encode(),
    "XML cut short": f"<annotation><filename>{TOKEN}".encode(),
    "XML with an odd size": f"<annotation><filename>a.jpg</filename><size><width>{TOKEN}</width></size></annotation>".encode(),
    "XML with an entity": f'<!DOCTYPE a [<!ENTITY x "{TOKEN}">]><a>&{TOKEN};</a>'.encode(),
    "XML in an unknown encoding": f'<?xml version="1.0" encoding="{TOKEN}"?><a/>'.encode(),
    "YAML": f"password: {TOKEN}\n- {TOKEN}: [".encode(),
    "a field in text form": f"{TOKEN}: 1".encode(),
    "a text form with a token": f"item {{ {TOKEN} }}".encode(),
    "a text form with a number": f"item {{ id: {TOKEN} }}".encode(),
    "a text form with an open string": f"item {{ name: '{TOKEN}".encode(),
    "a configuration with an odd value": f"model {{ ssd {{ num_classes: {TOKEN} }} }}".encode(),
    "a configuration with an odd name": f"model {{ ssd {{ {TOKEN} {{ }} }} }}".encode(),
    "a configuration with a value of no enumeration": f"train_config {{ optimizer {{ {TOKEN} }} }}".encode(),
    "bytes that are no text": b"\xff\xfe\x00" + TOKEN.encode(),
    "gzip": gzip.compress(SECRET.encode()),
    "gzip cut short": gzip.compress(SECRET.encode() * 9)[:-9],
    "something that begins like gzip": b"\x1f\x8b" + TOKEN.encode(),
    "a zip archive": zipped(TOKEN),
    "a tar archive": tarred(f"{TOKEN}/{TOKEN}"),
    "something that begins like a JPEG": b"\xff\xd8\xff" + TOKEN.encode(),
    "something that begins like a PNG": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x00abc1" + TOKEN.encode(),
    "something that begins like a TIFF": b"II*\0" + TOKEN.encode(),
}  # fmt: skip
BASE: dict[str, Any] = {
    "apiVersion": "negset.dev/v1alpha1",
    "kind": "NegativeDataset",
    "metadata": {"name": "secret"},
    "spec": {
        "source": {"coco": {"annotations": "{folder}/instances.json", "imageUrl": "{folder}/{file_name}"}},
        "excludeClasses": ["person"],
        "selection": {"count": 2},
        "output": {"url": "{folder}/out"},
    },
}
TRAINING = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1}
POSITIVES = {"coco": {"annotations": "{folder}/instances.json", "imageUrl": "{folder}/{file_name}"}}
FIELDS: dict[str, dict[str, Any]] = {
    "the annotations": {"source": {"coco": {"annotations": "{secret}"}}},
    "the annotations in an archive": {"source": {"coco": {"annotations": "zip://a.json::{secret}"}}},
    "the annotations in a tar archive": {"source": {"coco": {"annotations": "tar://a.json::{secret}"}}},
    "the annotations by a cache": {"source": {"coco": {"annotations": "simplecache::file://{secret}"}}},
    "the images not to use": {"selection": {"count": 2, "excludeImagesOf": ["{secret}"]}},
    "the images": {"source": {"coco": {"annotations": "{folder}/instances.json", "imageUrl": "{secret}"}}},
    "a pipeline configuration": {"positives": POSITIVES, "training": {**TRAINING, "pipelineConfig": {"url": "{secret}"}}},
    "a checkpoint's index": {"positives": POSITIVES, "training": {**TRAINING, "fineTuneCheckpoint": "{secret}.index"}},
    "a checkpoint's archive": {"positives": POSITIVES, "training": {**TRAINING, "fineTuneCheckpoint": "{secret}.tar.gz"}},
    "a checkpoint's folder": {"positives": POSITIVES, "training": {**TRAINING, "fineTuneCheckpoint": "{folder}/checkpoints"}},
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_no_field_shows_what_it_reads(content: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "instances.json").write_text(json.dumps(COCO))
    secret = tmp_path / "secret"
    (tmp_path / "checkpoints").mkdir()
    for path in (
        secret,
        tmp_path / "secret.index",
        tmp_path / "secret.tar.gz",
        tmp_path / "checkpoints/checkpoint",
        tmp_path / "checkpoints/a.index",
    ):
        path.write_bytes(content)
    for field, change in FIELDS.items():
        document = copy.deepcopy(BASE)
        document["spec"].update(copy.deepcopy(change))
        text = yaml.safe_dump(fill(document, tmp_path)).replace("{secret}", str(secret))
        path = tmp_path / "manifest.yaml"
        path.write_text(text)
        code = main(["run" if field == "the images" else "job", *([] if field == "the images" else ["check", "--file"]), str(path)])
        if "annotations" in field or "not to use" in field:
            code = main(["plan", str(path)])
        said = capsys.readouterr()
        assert code == 2, f"{field}: {said.err}"
        assert TOKEN not in said.err.lower() + said.out, field
        assert "internal error" not in said.err, field


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_no_reader_of_positives_shows_what_it_reads(content: bytes, tmp_path: pathlib.Path) -> None:
    from negset_jobs.formats.label_map import read_label_map
    from negset_jobs.positives.coco import parse_coco
    from negset_jobs.positives.record_files import Rules, scan_file
    from negset_jobs.positives.voc import InvalidFile, parse_voc
    from negset_jobs.positives.yolo_data import parse_data

    (tmp_path / "secret").write_bytes(content)
    rules = Rules(labels=None, wanted=frozenset({"x"}), download=Download(), access=Access())

    def scan() -> None:
        (failed, *_) = scan_file(str(tmp_path / "secret"), rules).records
        raise InvalidInput(failed.detail)

    readers = [
        lambda: parse_voc(content),
        lambda: parse_data(content, "file"),
        lambda: read_label_map(content, "file"),
        lambda: parse_coco(io.BytesIO(content), "file"),
        scan,
    ]
    shown = []
    for reader in readers:
        try:
            reader()
        except (NegsetError, InvalidFile) as error:
            shown.append(str(error))
    assert TOKEN not in "".join(shown)
    assert "\n" not in "".join(shown)
    assert len(shown) >= len(readers) - 1  # one of them may understand what it reads


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_manifest_is_not_shown(content: bytes, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert main(["validate", str(tmp_path / "secret")]) == 2
    assert TOKEN not in capsys.readouterr().err


# --- Servers --------------------------------------------------------------------------------------

ANSWERS = {
    "something that is not HTTP": SECRET.encode(),
    "a banner": f"220 {TOKEN} ESMTP\r\n".encode(),
    "a status with words of its own": f"HTTP/1.1 500 {TOKEN}\r\nContent-Length: 6\r\n\r\n{TOKEN}".encode(),
    "a refusal with words of its own": f"HTTP/1.1 403 {TOKEN}\r\nContent-Length: 6\r\n\r\n{TOKEN}".encode(),
    "a missing page with words of its own": f"HTTP/1.1 404 {TOKEN}\r\nContent-Length: 6\r\n\r\n{TOKEN}".encode(),
    "an odd header": f"HTTP/1.1 200 OK\r\n{TOKEN} {TOKEN}\r\n\r\n".encode(),
    "an odd length": f"HTTP/1.1 200 OK\r\nContent-Length: {TOKEN}\r\n\r\n".encode(),
    "an odd chunk": f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{TOKEN}x\r\n".encode(),
    "a redirect": f"HTTP/1.1 302 Found\r\nLocation: ftp://{TOKEN}/{TOKEN}\r\nContent-Length: 0\r\n\r\n".encode(),
    "a redirect to nowhere": f"HTTP/1.1 302 Found\r\nLocation: http://[{TOKEN}\r\nContent-Length: 0\r\n\r\n".encode(),
    "an answer cut short": f"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{TOKEN}".encode(),
    "an encoding": f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 6\r\n\r\n{TOKEN}".encode(),
    "a robots tag": f"HTTP/1.1 200 OK\r\nX-Robots-Tag: noai, {TOKEN}\r\nContent-Length: 6\r\n\r\n{TOKEN}".encode(),
    "an XML error of S3": f"HTTP/1.1 403 {TOKEN}\r\nContent-Length: 82\r\n\r\n<Error><Code>AccessDenied</Code><Message>{TOKEN} {TOKEN} {TOKEN}</Message></Error>".encode(),
    "an XML error with an odd code": f"HTTP/1.1 400 {TOKEN}\r\nContent-Length: 60\r\n\r\n<Error><Code>{TOKEN} 1</Code><Message>{TOKEN}</Message></Error>".encode(),
    "an error in JSON": f'HTTP/1.1 403 F\r\nContent-Length: 71\r\n\r\n{{"RemoteException": {{"exception": "X", "message": "{TOKEN} hunter2hunter2"}}}}'.encode(),
}  # fmt: skip


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a server that gives the same response to every request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    connection.recv(65536)
                    connection.sendall(request.param)
                    connection.shutdown(socket.SHUT_WR)
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.mark.parametrize("server", ANSWERS.values(), ids=ANSWERS.keys(), indirect=True)
def test_no_message_shows_what_a_server_says(server: int, monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(allowed_networks=("127.0.0.0/8",))
    monkeypatch.setitem(fsspec.config.conf, "s3", {})
    monkeypatch.setattr(web_stream, "_STARTING_PAUSES", ())
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server}", "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{server}", "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    fsspec.get_filesystem_class("webhdfs").clear_instance_cache()
    told: list[str] = []

    async def image(url: str) -> None:
        async with Fetcher(Download(attempts=1, timeout_seconds=20), access) as fetcher:
            await fetcher.image(url)

    for url in (
        f"http://127.0.0.1:{server}/x",
        "s3://bucket/x",
        f"webhdfs://127.0.0.1:{server}/x",
        f"zip://a::http://127.0.0.1:{server}/x",
    ):
        acts = [
            lambda url=url: read_input(url, access, "spec.x"),
            lambda url=url: list_input(url, access, "spec.x"),
            lambda url=url: expand(f"{url.partition('::')[0]}*{url.partition('::')[1]}{url.partition('::')[2]}", access, "spec.x"),
            lambda url=url: asyncio.run(image(url)),
        ]
        if "::" not in url:
            store = Store(url)
            acts += [lambda store=store: store.write("y", b"1"), lambda store=store: store.read("y"), store.folders]
        for act in acts:
            try:
                act()
            except (NegsetError, Failed) as error:
                told.append(str(error))
    assert told
    assert not [text for text in told if TOKEN in text.lower() or "hunter2" in text]
    assert not [text for text in told if "\n" in text]


def test_images_of_odd_kinds_are_not_shown() -> None:
    from negset_jobs.download import verify

    for fmt in ("BMP", "GIF", "TIFF", "WEBP", "PNG", "JPEG"):
        stream = io.BytesIO()
        Image.new("RGB", (9, 9)).save(stream, fmt)
        for at in range(0, min(len(stream.getvalue()), 60), 3):
            data = bytearray(stream.getvalue())
            data[at : at + 6] = TOKEN.encode()
            told = ""
            try:
                verify.decode(verify.inspect(bytes(data), 10**9))
            except Failed as failed:
                told = failed.detail
            assert TOKEN not in told
