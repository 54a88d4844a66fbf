"""A real S3 server (SeaweedFS) on the loopback, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

from tests.servers import free_ports, wait_for

ACCESS_KEY, SECRET_KEY = "negset-tests", "negset-tests-secret"
_PORTS = ("master", "volume", "filer")
_STARTS = 4


@dataclass(frozen=True)
class S3Server:
    """A running server with an existing bucket.

    `environment` has the variables that a process needs to connect. This process has them already.
    """

    endpoint: str
    bucket: str
    environment: dict[str, str]
    pid: int


@contextlib.contextmanager
def s3_server(bucket: str = "tests") -> Iterator[S3Server]:
    """Start the server, with data in a temporary folder, and remove everything at the end.

    AWS_* and FSSPEC_S3_ENDPOINT_URL are set in this process.
    """
    folder = tempfile.mkdtemp(prefix="negset-s3-")
    try:
        process, endpoint = _started(folder, bucket)
        try:
            environment = _environment(endpoint)
            with mock.patch.dict(os.environ, environment), _fsspec_configured(endpoint):
                yield S3Server(endpoint, bucket, environment, process.pid)
        finally:
            process.kill()  # its data are deleted anyway, and an orderly shutdown takes ten seconds
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(endpoint: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "FSSPEC_S3_ENDPOINT_URL": endpoint,
    }


def _started(folder: str, bucket: str) -> tuple[subprocess.Popen[bytes], str]:
    """Return the running server and its endpoint.

    A port that was free may be taken by a connection before the server listens on it. Then the
    server ends, and gets other ports.
    """
    for left in reversed(range(_STARTS)):
        ports = _free_ports()
        endpoint = f"http://127.0.0.1:{ports['s3.port']}"
        # Quoted flags: no other interface than S3, no identity service, small files on disk.
        command = [
            _weed(), "mini", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-bucket={bucket}", "-webdav=false",
            "-admin.ui=false", "-s3.port.iceberg=0", "-s3.port.lance=0", *(f"-{name}={port}" for name, port in ports.items()),
        ]  # fmt: skip
        with open(f"{folder}/log", "wb") as log:
            process = subprocess.Popen(
                command, env={**os.environ, **_environment(endpoint)}, stdout=log, stderr=subprocess.STDOUT, cwd=folder
            )
        try:
            # The bucket exists when it refuses anonymous requests.
            wait_for(process, f"{endpoint}/{bucket}", pathlib.Path(folder, "log"), accepted=(403,))
        except BaseException as error:
            process.kill()
            process.wait()
            if not left or not isinstance(error, RuntimeError):
                raise
        else:
            return process, endpoint
    raise AssertionError


@contextlib.contextmanager
def _fsspec_configured(endpoint: str) -> Iterator[None]:
    """Make fsspec read its environment variables again, and forget its file systems.

    It reads them when it is imported, which may have been earlier.
    """
    import fsspec

    from negset_jobs.adapters.clouds import S3

    S3.clear_instance_cache()
    with mock.patch.dict(fsspec.config.conf, {"s3": {"endpoint_url": endpoint}}):
        yield
    S3.clear_instance_cache()


def _weed() -> str:
    return str(pathlib.Path(sys.executable).parent / "weed")


def _free_ports() -> dict[str, int]:
    """Return ports that are free now.

    Each server's gRPC port is chosen too, since its default may be taken.
    """
    names = [
        *(f"{name}.port{suffix}" for name in _PORTS for suffix in ("", ".grpc")),
        "s3.port",
        "s3.port.grpc",
        "admin.port",
        "admin.port.grpc",
    ]
    return dict(zip(names, free_ports(len(names)), strict=True))
