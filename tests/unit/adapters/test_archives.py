"""Archives as file systems: on any server, compressed or not, read by many at once."""

from __future__ import annotations

import asyncio
import io
import random
import tarfile
import tempfile
import time
import zipfile

import aiohttp
import pytest
from tests.web_server import Server, send, send_part

from negset_api.errors import InvalidInput
from negset_jobs.adapters import archives
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.input_files import InputFiles
from negset_jobs.adapters.inputs import expand, find_input, read_input
from negset_jobs.adapters.urls import parse

DATA = random.Random(1).randbytes(1 << 20)
ALLOWED = Access(allowed_networks=("127.0.0.1/32",))
MODES = {"tar": "w", "tar.gz": "w:gz", "tgz": "w:gz", "tar.bz2": "w:bz2", "txz": "w:xz", "tar.gz?signature=x": "w:gz", "gz": "w"}


def packed(suffix: str, members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    if suffix == "zip":
        with zipfile.ZipFile(stream, "w") as zipped:
            for name, data in members.items():
                zipped.writestr(name, data)
    else:
        with tarfile.open(fileobj=stream, mode=MODES[suffix]) as tarred:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tarred.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def serving(data, answer=send):
    return Server(lambda handler: answer(handler, data), head=lambda handler: send(handler, b"", length=len(data)))


@pytest.mark.parametrize("suffix", ["zip", *MODES])
@pytest.mark.parametrize("answer", [send, send_part], ids=["without ranges", "with ranges"])
def test_a_member_is_read_from_a_server(answer, suffix):
    with serving(packed(suffix, {"a/instances.json": DATA}), answer) as server:
        url = server.url.replace("/file", f"/file.{suffix}")
        assert read_input(f"{'zip' if suffix == 'zip' else 'tar'}://a/instances.json::{url}", ALLOWED, "spec.x") == DATA


@pytest.mark.parametrize(
    ("suffix", "advice"),
    [("zip", "does not support Range requests; extract it there"), ("tgz", "when it is decompressed; extract it")],
)
def test_an_archive_that_is_too_large_to_copy_is_refused_with_a_way_out(suffix, advice, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_COPY", 1 << 19)
    with serving(packed(suffix, {"a": bytes(1 << 20)})) as server, pytest.raises(InvalidInput, match=f"^spec.x: cannot read .*{advice}"):
        read_input(f"{'zip' if suffix == 'zip' else 'tar'}://a::{server.url}", ALLOWED, "spec.x")


@pytest.fixture
def copies(monkeypatch):
    """The temporary files that archives were copied to."""
    made = []
    create = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: made.append(create()) or made[-1])
    return made


@pytest.mark.parametrize("largest", [1 << 10, 1 << 30], ids=["too large", "not an archive"])
@pytest.mark.parametrize("scheme", ["zip", "tar"])
def test_the_copy_of_a_refused_archive_is_closed(scheme, largest, copies, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_COPY", largest)
    with serving(DATA) as server, pytest.raises(InvalidInput):
        read_input(f"{scheme}://a::{server.url}", ALLOWED, "spec.x")
    assert [copy.closed for copy in copies] == [True]


@pytest.mark.parametrize("suffix", ["zip", "tar", "tgz"])
@pytest.mark.parametrize("outer", ["", "zip", "tar"])
def test_members_that_are_read_at_once_have_their_own_bytes(outer, suffix, tmp_path):
    members = {str(index): random.Random(index).randbytes(50_000) for index in range(200)}
    data = packed(suffix, members)
    if outer:
        data = packed(outer, {"inner": data})
    (tmp_path / "file").write_bytes(data)
    chain = f"::{outer}://inner::{tmp_path}/file" if outer else f"::{tmp_path}/file"

    assert read_all([f"{'zip' if suffix == 'zip' else 'tar'}://{name}{chain}" for name in members]) == list(members.values())


@pytest.mark.parametrize("suffix", ["tar.gz", "tar.bz2", "txz"])
def test_a_compressed_archive_is_decompressed_once_for_all_its_images(suffix, copies, tmp_path):
    """Without a copy, each step back would decompress the archive again from its start."""
    members = {str(index): random.Random(index).randbytes(1000) for index in range(50)}
    (tmp_path / "file").write_bytes(packed(suffix, members))

    assert read_all([f"tar://{name}::{tmp_path}/file" for name in reversed(members)]) == list(reversed(members.values()))
    assert len(copies) == 1


def read_all(urls, timeout_seconds=20.0):
    async def read():
        files = InputFiles(ALLOWED)
        return await asyncio.gather(*(files.read(parse(url), 1 << 20, timeout_seconds) for url in urls), return_exceptions=True)

    return asyncio.run(read())


def test_copying_an_archive_may_take_longer_than_reading_an_image():
    members = {str(index): bytes((index,)) for index in range(20)}
    data = packed("zip", members)

    def slowly(handler, data):
        time.sleep(1.5)
        send(handler, data)

    with serving(data, slowly) as server:
        assert read_all([f"zip://{name}::{server.url}" for name in members], 2.0) == list(members.values())
        assert len(server.ranges) <= 3, "the archive was requested once for its images, and once for its end"


def test_a_file_that_is_no_archive_is_requested_once_for_all_its_images():
    with serving(DATA) as server:
        ended = read_all([f"zip://{name}::{server.url}" for name in range(20)])
        assert {type(error) for error in ended} == {zipfile.BadZipFile}
        assert len(server.ranges) <= 3


def test_an_archive_whose_server_was_away_is_opened_later():
    data, away = packed("zip", {"a": b"1"}), [True]

    def answer(handler, data):
        send(handler, data, status=503 if away[0] else 200)

    async def read(url):
        files = InputFiles(ALLOWED)
        with pytest.raises(aiohttp.ClientResponseError):
            await files.read(url, 9, 20)
        away.clear()
        away.append(False)
        return await files.read(url, 9, 20)

    with serving(data, answer) as server:
        assert asyncio.run(read(parse(f"zip://a::{server.url}"))) == b"1"


@pytest.mark.parametrize("cache", ["simplecache", "filecache", "blockcache"])
def test_images_that_are_read_at_once_through_a_cache_are_all_read(cache, tmp_path):
    contents = [bytes((index,)) * 50_000 for index in range(200)]
    for index, content in enumerate(contents):
        (tmp_path / f"{index}.jpg").write_bytes(content)
    assert read_all([f"{cache}::{tmp_path}/{index}.jpg" for index in range(200)]) == contents


@pytest.mark.parametrize(("suffix", "once"), [("zip", 0), ("tar", 1)])
def test_an_image_costs_little_more_than_its_bytes(suffix, once):
    """The headers of a tar archive lie between its members: it is read once as a whole."""
    members = {f"{index}.jpg": random.Random(index).randbytes(100_000) for index in range(300)}
    data = packed(suffix, members)
    sent = []

    def counted(handler, data):
        first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
        sent.append(min(int(last) + 1, len(data)) - int(first))
        send_part(handler, data)

    names = random.Random(0).sample(sorted(members), 30)
    with serving(data, counted) as server:
        assert read_all([f"{suffix}://{name}::{server.url}" for name in names]) == [members[name] for name in names]
    assert sum(sent) < once * 1.5 * len(data) + 5 * 30 * 100_000 + (6 << 20)


WAYS = {
    "an image": ("img/a.jpg", ["img/a.jpg"]),
    "an image, named as it is stored": ("./img/a.jpg", ["img/a.jpg"]),
    "a pattern": ("img/*.jpg", ["img/a.jpg", "img/b.jpg"]),
    "a pattern at the root": ("*.json", ["c.json"]),
}


@pytest.mark.parametrize(("member", "expected"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("suffix", ["zip", "tar", "tgz"])
def test_names_that_begin_with_a_dot_and_a_slash_are_found(suffix, member, expected, tmp_path):
    (tmp_path / "file").write_bytes(packed(suffix, {"./img/a.jpg": b"a", "./img/b.jpg": b"b", "./c.json": b"c"}))
    scheme = "zip" if suffix == "zip" else "tar"
    found = expand(f"{scheme}://{member}::{tmp_path}/file", Access(), "spec.x")
    assert [url.partition("::")[0].removeprefix(f"{scheme}://").removeprefix("./") for url in found] == expected
    assert read_all(found) == [name.partition(".")[0][-1].encode() for name in expected]
    assert find_input(f"{scheme}://img::{tmp_path}/file", Access(), "spec.x") == [
        parse(f"{scheme}://img/{name}.jpg::{tmp_path}/file") for name in "ab"
    ]


@pytest.mark.parametrize(("system", "member"), [(0, "img/a.jpg"), (3, "img\\a.jpg")], ids=["Windows", "Unix"])
def test_a_backslash_in_a_zip_archive_is_a_separator_on(system, member, tmp_path):
    info = zipfile.ZipInfo("img\\a.jpg")
    info.create_system = system
    with zipfile.ZipFile(tmp_path / "file", "w") as zipped:
        zipped.writestr(info, b"a")
    assert read_all([f"zip://{member}::{tmp_path}/file"]) == [b"a"]


UNREADABLE = {
    "is encrypted": (6, 8, 1, "it is encrypted; pack the archive again without a password"),
    "is compressed by Deflate64": (8, 10, 9, "it is compressed in a way that Python cannot read"),
}


@pytest.mark.parametrize(("at", "in_index", "value", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_member_that_python_cannot_read_is_named_with_a_way_out_if_it(at, in_index, value, words, tmp_path):
    """Python writes no such archive, so the fields of its headers are changed."""
    data = bytearray(packed("zip", {"a": b"1"}))
    data[data.index(b"PK\x03\x04") + at] = data[data.index(b"PK\x01\x02") + in_index] = value
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InvalidInput, match=f"^spec.x: cannot read 'zip://a::.*/file': {words}"):
        read_input(f"zip://a::{tmp_path}/file", Access(), "spec.x")
