import asyncio
import io
import os
import threading
import time

import pytest
from fsspec import AbstractFileSystem
from tests.s3_server import s3_server

from negset_jobs.adapters import backends
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.input_files import InputFiles
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.urls import parse


def read_all(urls: list[str], limit: int = 1000) -> list[bytes | type[BaseException]]:
    async def read() -> list:
        files = InputFiles(Access())
        try:
            return await asyncio.gather(*(files.read(parse(url), limit, 20) for url in urls), return_exceptions=True)
        finally:
            await files.close()

    return [type(ended) if isinstance(ended, BaseException) else ended for ended in asyncio.run(read())]


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


def test_files_on_s3_are_read_in_the_loop(s3):
    store = Store(f"s3://{s3.bucket}/{os.urandom(4).hex()}")
    for index in range(40):
        store.write(f"{index}", bytes((index,)) * index)
    urls = [store.location(str(index)) for index in range(41)]
    assert read_all(urls, limit=20) == [bytes((index,)) * min(index, 21) for index in range(40)] + [FileNotFoundError]


def test_a_bucket_that_is_closed_is_forbidden(s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    (ended,) = read_all([f"s3://{s3.bucket}/x"])
    assert issubclass(ended, PermissionError)


def test_local_files_are_read_in_threads(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_all([f"{tmp_path}/a", f"file://{tmp_path}/a", f"{tmp_path}/b"], limit=3) == [b"1234", b"1234", FileNotFoundError]


def test_archives_are_opened_once(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for index in range(20):
            archive.writestr(f"{index}", str(index) * 10)
    urls = [f"zip://{index}::{tmp_path}/a.zip" for index in range(21)]
    assert read_all(urls) == [(str(index) * 10).encode() for index in range(20)] + [FileNotFoundError]


class OneConnection(AbstractFileSystem):
    """Stands in for fsspec's sftp, whose package and server are not here.

    paramiko never returns if two threads wait for responses of one connection. This raises.
    """

    cachable = False
    connection = threading.Lock()

    def _open(self, path, *_, **__):
        if not self.connection.acquire(blocking=False):
            raise AssertionError("two requests at once")
        try:
            time.sleep(0.01)
            return io.BytesIO(path.encode())
        finally:
            self.connection.release()


def test_a_connection_that_takes_one_request_at_a_time_gets_one(monkeypatch):
    monkeypatch.setattr(backends, "file_system_class", lambda _: OneConnection)
    assert read_all([f"sftp://host/{index}" for index in range(20)]) == [f"sftp://host/{index}".encode() for index in range(20)]
