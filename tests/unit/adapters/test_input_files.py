import asyncio
import os

import pytest
from tests.s3_server import s3_server

from negset_jobs.adapters.access import Access
from negset_jobs.adapters.input_files import InputFiles
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.urls import parse


def read_all(urls: list[str], limit: int = 1000) -> list[bytes | type[BaseException]]:
    async def read() -> list:
        files = InputFiles(Access())
        try:
            return await asyncio.gather(*(files.read(parse(url), limit) for url in urls), return_exceptions=True)
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
