"""`negset run` with its images, its annotations and its output on each kind of store.

On S3 the server also fails: it refuses requests, loses the responses of markers, and freezes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow.parquet
import pytest
import yaml
from aiohttp import web
from tests.azure_server import azure_server
from tests.faulty_front import faulty_front
from tests.google_server import google_server
from tests.image_server import image_server, jpeg
from tests.s3_server import S3Server, s3_server

from negset_jobs.adapters.store import Store

IMAGES = 24


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def _clouds() -> Iterator[None]:
    with azure_server(), google_server():
        yield


def filled(url: str) -> Store:
    """A folder with images and their annotations. Every fourth image shows a person."""
    store = Store(url)
    for index in range(IMAGES):
        store.write(f"images/{index}.jpg", jpeg(index))
    document = {
        "images": [{"id": index, "file_name": f"{index}.jpg", "width": 64, "height": 48} for index in range(IMAGES)],
        "annotations": [
            {"id": index, "image_id": index, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 0} for index in range(0, IMAGES, 4)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cat"}],
    }
    store.write("annotations.json", json.dumps(document).encode())
    return store


def run(store: Store, folder: pathlib.Path, environment: dict[str, str] | None = None, **fields: Any) -> subprocess.Popen[str]:
    """Start `negset run` with everything in the store's folder; `fields` replace the spec's."""
    manifest = {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "stores"},
        "spec": {
            "source": {"coco": {"annotations": f"{store.url}/annotations.json", "imageUrl": f"{store.url}/images/{{file_name}}"}},
            "excludeClasses": ["person"],
            "selection": {"count": IMAGES * 3 // 4},
            "output": {"url": f"{store.url}/out", "formats": ["TFRecord", "YOLO", "COCO", "VOC"]},
            "ray": {"workers": 2},
            **fields,
        },
    }
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(manifest))
    command = [sys.executable, "-m", "negset_jobs", "run", str(path)]
    variables = {**os.environ, **(environment or {})}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=variables)


def check(process: subprocess.Popen[str], store: Store) -> str:
    """Check that the run ended with every image stored once. Returns its standard error."""
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    page = out.strip()
    assert page.endswith("/report/index.html")
    revision = Store(page.removesuffix("/report/index.html"))
    rows = pyarrow.parquet.read_table(io.BytesIO(revision.read("manifest.parquet"))).to_pylist()
    assert sorted(row["image_id"] for row in rows) == [index for index in range(IMAGES) if index % 4]
    assert {row["outcome"] for row in rows} == {"stored"}
    keys = revision.keys()
    assert sum(key.startswith("labels/yolo/") and key.endswith(".txt") for key in keys) >= IMAGES * 3 // 4
    assert len([key for key in keys if key.startswith("records/") and key.endswith(".tfrecord")]) >= 1
    return error


@pytest.mark.parametrize("kind", ["local folder", "S3", "Azure", "Google"])
def test_a_run_is_whole_on(kind: str, s3: S3Server, tmp_path: pathlib.Path) -> None:
    name = os.urandom(4).hex()
    url = {
        "local folder": f"{tmp_path}/{name}",
        "S3": f"s3://{s3.bucket}/{name}",
        "Azure": f"abfs://tests/{name}",
        "Google": f"gs://tests/{name}",
    }
    store = filled(url[kind])
    check(run(store, tmp_path), store)
    check(run(store, tmp_path), store)


def test_a_run_on_a_store_without_conditional_writes_is_whole_and_names_it_once(s3: S3Server, tmp_path: pathlib.Path) -> None:
    store = filled(f"s3://{s3.bucket}/{os.urandom(4).hex()}")
    with faulty_front(s3.endpoint, lambda request: "501 NotImplemented" if "If-None-Match" in request.headers else "") as (url, _):
        error = check(run(store, tmp_path, {"AWS_ENDPOINT_URL_S3": url, "FSSPEC_S3_ENDPOINT_URL": url}), store)
    assert error.count("cannot create objects exclusively") == 1


def test_a_public_bucket_is_read_beside_a_private_output(s3: S3Server, tmp_path: pathlib.Path) -> None:
    store, signed = filled(f"s3://{s3.bucket}/{os.urandom(4).hex()}"), []

    async def public(request: web.Request) -> web.StreamResponse:
        signed.append("Authorization" in request.headers)
        return web.FileResponse(tmp_path / request.path.rpartition("/")[2])

    with image_server() as server:
        for index in range(IMAGES):
            (tmp_path / f"{index}.jpg").write_bytes(jpeg(index))
            server.answer(f"/public/{index}.jpg", public)
        source = {"coco": {"annotations": f"{store.url}/annotations.json", "imageUrl": "s3://public/{file_name}"}}
        rule = {"prefix": "s3://public", "anonymous": True, "endpointUrl": server.url, "region": "us-east-1"}
        check(run(store, tmp_path, source=source, stores=[rule]), store)
    assert len(signed) >= IMAGES * 3 // 4
    assert not any(signed)


@contextlib.contextmanager
def frozen(server: S3Server, after: float, seconds: float) -> Iterator[None]:
    """Stop the server's process for some time, while the block runs."""

    def freeze() -> None:
        time.sleep(after)
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(server.pid, signal.SIGCONT)

    thread = threading.Thread(target=freeze)
    thread.start()
    yield
    thread.join()


def test_a_run_outlives_a_store_that_refuses_loses_and_freezes(s3: S3Server, tmp_path: pathlib.Path) -> None:
    store = filled(f"s3://{s3.bucket}/{os.urandom(4).hex()}")
    draw, lost = random.Random(17), set[str]()

    def fault(request: Any) -> str:
        if "If-None-Match" in request.headers and request.path not in lost:
            lost.add(request.path)
            return "lost"
        return draw.choice(["", "503 SlowDown"])

    with faulty_front(s3.endpoint, fault) as (url, seen), frozen(s3, after=10, seconds=20):
        check(run(store, tmp_path, {"AWS_ENDPOINT_URL_S3": url, "FSSPEC_S3_ENDPOINT_URL": url}), store)
    assert lost
    assert sum(line.endswith("SlowDown") for line in seen) > len(seen) / 4
    assert fsspec.config.conf["s3"]["endpoint_url"] == s3.endpoint
