"""The contract of a store, on a local folder, in memory, and on servers of S3, Azure and Google."""

import concurrent.futures
import os
import pickle
import time
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from tests.azure_server import azure_server
from tests.google_server import google_server
from tests.image_server import image_server
from tests.s3_server import s3_server

from negset_api.errors import InvalidInput, WorkFailed
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, open_input, read_input
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject


@pytest.fixture(scope="session")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def azure():
    with azure_server() as server:
        yield server


@pytest.fixture(scope="session")
def google():
    with google_server() as server:
        yield server


@pytest.fixture(params=["local folder", "memory", "S3", "Azure", "Google"])
def store(request, tmp_path):
    if request.param == "local folder":
        return Store(f"{tmp_path}/out/a/b")
    if request.param == "memory":
        return Store(f"memory://{tmp_path.name}/{os.urandom(4).hex()}/a/b")
    folder = f"{os.urandom(4).hex()}/a/b"
    if request.param == "Azure":
        return Store(f"abfs://{request.getfixturevalue('azure').container}/{folder}")
    if request.param == "Google":
        return Store(f"gs://{request.getfixturevalue('google').bucket}/{folder}")
    return Store(f"s3://{request.getfixturevalue('s3').bucket}/{folder}")


def test_what_is_written_is_read(store):
    store.write("x/y.json", b"1")
    assert store.read("x/y.json") == b"1"
    assert store.exists("x/y.json")
    store.write("x/y.json", b"two")
    assert store.read("x/y.json") == b"two"


def test_when_an_object_was_written_is_told_and_writing_it_again_is_later(store):
    store.write("x", b"")
    first = store.modified("x")
    assert abs(datetime.now(UTC) - first) < timedelta(minutes=1)
    time.sleep(1.1)
    store.write("x", b"")
    assert store.modified("x") > first
    with pytest.raises(MissingObject):
        store.modified("none")


def test_a_folder_from_which_everything_was_removed_has_no_keys(store):
    store.write("x/y/z.json", b"1")
    store.remove(["x/y/z.json"])
    assert [store.keys(prefix) for prefix in ("", "x", "x/y", "x/y/z.json")] == [[], [], [], []]


def test_a_range_is_read(store):
    store.write("x", bytes(range(100)))
    assert store.read_range("x", 10, 5) == bytes(range(10, 15))
    assert store.read_range("x", 0, 1) == b"\x00"
    assert [store.read_range("x", start, 5) for start in (98, 100, 101)] == [bytes((98, 99)), b"", b""]


def test_a_stream_is_read(store):
    store.write("x", b"line\n" * 1000)
    with store.reading("x") as stream:
        assert stream.readline() == b"line\n"
        assert stream.read(5) == b"line\n"
        assert len(stream.read()) == 5 * 998
    with store.reading("x") as stream:
        stream.seek(10)
        assert (stream.tell(), stream.readline()) == (10, b"line\n")


def test_what_is_missing_says_so_with_its_place(store):
    assert not store.exists("none")
    for action in (lambda: store.read("none"), lambda: store.read_range("none", 0, 1), lambda: store.reading("none").__enter__()):
        with pytest.raises(MissingObject, match=r"cannot read .*none: it does not exist"):
            action()
    with pytest.raises(MissingObject, match="cannot copy"):
        store.copy(store, "other", "none")


def test_the_callers_errors_pass_unchanged(store):
    store.write("x", b"1")
    with pytest.raises(FileNotFoundError, match="mine"), store.reading("x"):
        raise FileNotFoundError("mine")
    with pytest.raises(ValueError, match="mine"), store.spool("records"):
        raise ValueError("mine")


def test_an_object_is_created_once(store):
    assert store.create("marker", b"first")
    assert not store.create("marker", b"second")
    assert store.read("marker") == b"first"


def test_of_many_creators_at_once_one_wins(store):
    for race in range(3):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number, race=race: store.create(f"race-{race}", str(number).encode()), range(8)))
        assert sum(won) == 1
        assert store.read(f"race-{race}") == str(won.index(True)).encode()


def test_a_spooled_file_becomes_an_object(store):
    with store.spool("records") as path:
        with open(path, "wb") as stream:
            stream.write(b"data")
        assert store.keys() == []
        store.adopt(path, "records/a.tfrecord")
    assert store.read("records/a.tfrecord") == b"data"
    assert not os.path.exists(path)


def test_a_spooled_file_that_nobody_wants_is_gone(store):
    with store.spool("records") as path, open(path, "wb") as stream:
        stream.write(b"data")
    assert not os.path.exists(path)
    assert store.keys() == []


def test_files_go_up_and_down(store, tmp_path):
    (tmp_path / "up").write_bytes(b"data")
    store.put(f"{tmp_path}/up", "x/y")
    store.get("x/y", f"{tmp_path}/down")
    assert (tmp_path / "down").read_bytes() == b"data"
    with pytest.raises(MissingObject):
        store.get("none", f"{tmp_path}/other")


def test_a_file_of_many_parts_goes_up_and_down(store, tmp_path):
    data = os.urandom(1 << 20) * 21 + b"end"
    (tmp_path / "up").write_bytes(data)
    store.put(f"{tmp_path}/up", "large")
    store.get("large", f"{tmp_path}/down")
    assert (tmp_path / "down").read_bytes() == data
    with store.reading("large") as stream:
        stream.seek(-10, os.SEEK_END)
        assert stream.read() == data[-10:]
        stream.seek(8 << 20)
        assert stream.read(100) == data[8 << 20 :][:100]
    store.write("large", data[::-1])
    assert store.read("large") == data[::-1]


def test_an_empty_object_is_read_like_any_other(store, tmp_path):
    store.write("empty", b"")
    assert store.read("empty") == b""
    with store.reading("empty") as stream:
        assert stream.read() == b""
    store.get("empty", f"{tmp_path}/down")
    assert (tmp_path / "down").read_bytes() == b""


NAMES = ("a b", "a+b", "ä", "100%", "50%20", "a#b", "a?b=c", "cam1::001.jpg", "[1]", "a&b", "=", "a;b", "日本", "'", "a,b", "{x}", "~")


def test_a_name_may_have_any_character(store):
    for name in NAMES:
        store.write(f"names/{name}/{name}", name.encode())
    assert store.keys("names") == sorted(f"names/{name}/{name}" for name in NAMES)
    assert store.child("names").folders() == sorted(NAMES)
    assert [store.read(f"names/{name}/{name}") for name in NAMES] == [name.encode() for name in NAMES]
    store.remove([f"names/{name}/{name}" for name in NAMES])
    assert store.keys("names") == []


def test_a_folder_whose_name_has_wildcards_is_copied(store):
    for folder in ("[team]", "a*", "a?b"):
        source = store.child(folder)
        source.write("x", folder.encode())
        source.copy(source, "y", "x")
        assert source.read("y") == folder.encode()


def test_copying_keeps_or_changes_the_key(store):
    other = store.child("other")
    other.write("x/y", b"data")
    store.copy(other, "x/y")
    store.copy(other, "z", "x/y")
    assert (store.read("x/y"), store.read("z")) == (b"data", b"data")


def test_keys_and_folders_are_sorted_and_relative(store):
    assert (store.keys(), store.folders()) == ([], [])
    for key in ("b/2", "a/1", "c", "b/1/x"):
        store.write(key, b"")
    assert store.keys() == ["a/1", "b/1/x", "b/2", "c"]
    assert store.keys("b") == ["b/1/x", "b/2"]
    assert store.keys("none") == []
    assert store.folders() == ["a", "b"]


def test_removing_is_done_once_or_twice(store):
    store.write("a", b"")
    store.remove(["a"])
    for key in ("a", "b/c"):
        store.write(key, b"")
    store.remove(["never", "a", "neither", "b/c"])
    store.remove([])
    assert store.keys() == []


def test_a_store_travels_to_another_process(store):
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)).url == store.url


def test_locations_are_for_people(store):
    assert store.location("a/b").endswith("/a/b")
    assert store.location("a").startswith(store.url if store.local_root is None else "/")


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    store = Store(str(tmp_path))
    store.write("records/a.tfrecord", b"1")
    (tmp_path / "records" / ".0123.part").write_bytes(b"half")
    assert store.keys() == ["records/a.tfrecord"]
    store.sweep("records")
    store.sweep("positives")
    assert os.listdir(tmp_path / "records") == ["a.tfrecord"]


def test_a_local_marker_is_never_seen_half_written(tmp_path):
    store = Store(str(tmp_path))
    assert store.create("m/marker", b"whole")
    assert os.listdir(tmp_path / "m") == ["marker"]


def test_an_output_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkFailed, match=r"cannot write .*file/out/a: ") as raised:
        Store(f"{tmp_path}/file/out").write("a", b"")
    assert "\n" not in str(raised.value)


# --- Inputs ---------------------------------------------------------------------------------------


def test_inputs_are_decompressed_by_their_content(store, tmp_path):
    import gzip
    import zipfile

    store.write("plain.gz", b"not compressed")
    store.write("a.json", gzip.compress(b"compressed"))
    assert read_input(store.location("plain.gz"), Access(), "field") == b"not compressed"
    assert read_input(store.location("a.json"), Access(), "field") == b"compressed"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("x/member.json", b"member")
    store.put(f"{tmp_path}/a.zip", "a.zip")
    assert read_input(f"zip://x/member.json::{store.location('a.zip')}", Access(), "field") == b"member"


def test_a_glob_is_expanded(store):
    for name in ("b-1", "b-0", "c-0"):
        store.write(name, name.encode())
    found = expand(store.location("b-*"), Access(), "field")
    assert [read_input(url, Access(), "field") for url in found] == [b"b-0", b"b-1"]
    assert expand(store.location("b-0"), Access(), "field") == [store.location("b-0")]
    with pytest.raises(InvalidInput, match=r"field: expected files matching .*, found none"):
        expand(store.location("d-*"), Access(), "field")


@pytest.mark.parametrize("folder", ["ann [v1]", "a*", "a?b", "{a,b}", "[!x]"])
def test_a_folder_whose_name_has_wildcards_is_taken_as_it_is(store, folder):
    for name in (f"{folder}/1.xml", f"{folder}/[2].xml", f"{folder}/deep/3.xml", "ann v/4.xml", "ab/5.xml", "axb/6.xml"):
        store.write(name, name.encode())

    def found(pattern):
        return [read_input(url, Access(), "field").decode() for url in expand(store.location(pattern), Access(), "field")]

    assert found(f"{folder}/*.xml") == [f"{folder}/1.xml", f"{folder}/[2].xml"]
    assert found(f"{folder}/[2].xml") == [f"{folder}/[2].xml"]
    assert found(f"{folder}/**/*.xml") == [f"{folder}/1.xml", f"{folder}/[2].xml", f"{folder}/deep/3.xml"]
    assert found("a?b/*.xml") == [f"{folder}/1.xml", f"{folder}/[2].xml"] if folder == "a?b" else ["axb/6.xml"]
    assert found("ann [vw]/*.xml") == ["ann v/4.xml"]


def test_a_glob_of_members_and_of_what_is_cached_keeps_the_whole_chain(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("x/1", "x/2", "y/3"):
            archive.writestr(name, name)
    for path in ("1.txt", "2.txt"):
        (tmp_path / path).write_text(path)
    members = expand(f"zip://x/*::{tmp_path}/a.zip", Access(), "field")
    assert members == [f"zip://x/{name}::{tmp_path}/a.zip" for name in (1, 2)]
    assert [read_input(url, Access(), "field") for url in members] == [b"x/1", b"x/2"]
    cached = expand(f"simplecache::{tmp_path}/*.txt", Access(), "field")
    assert [read_input(url, Access(), "field") for url in cached] == [b"1.txt", b"2.txt"]
    assert all(url.startswith("simplecache::") for url in cached)


def test_a_missing_input_is_the_users_and_names_the_field(store):
    with pytest.raises(InvalidInput, match=r"spec\.x: expected a readable file, .*none.json' does not exist"):
        read_input(store.location("none.json"), Access(), "spec.x")


def test_an_input_that_breaks_while_it_is_read_names_the_field(tmp_path):
    import gzip

    (tmp_path / "a.gz").write_bytes(gzip.compress(os.urandom(100_000))[:-500])
    with pytest.raises(InvalidInput, match=r"spec\.x: cannot read"), open_input(f"{tmp_path}/a.gz", Access(), "spec.x") as stream:
        stream.read()


def test_the_errors_of_who_reads_an_input_pass_unchanged(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    with pytest.raises(KeyError, match="mine"), open_input(f"{tmp_path}/a", Access(), "spec.x"):
        raise KeyError("mine")


@pytest.fixture
def server():
    with image_server() as running:
        yield running


LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))


def test_an_input_from_a_web_server_goes_through_the_address_guard(server, tmp_path):
    url = server.serve("/a.json", b"[1]")
    assert read_input(url, LOOPBACK, "spec.x") == b"[1]"
    with pytest.raises(
        InvalidInput,
        match=r"spec\.x: cannot read 'http://127\.0\.0\.1.*the address is private, loopback, link-local or otherwise not public",
    ):
        read_input(url, Access(), "spec.x")
    with pytest.raises(InvalidInput, match=r"spec\.x: expected a readable file, .*none.json' does not exist"):
        read_input(f"{server.url}/none.json", LOOPBACK, "spec.x")


def test_a_redirect_of_an_input_is_guarded_too(server):
    async def away(_):
        return web.Response(status=302, headers={"Location": "http://127.0.0.2:9/a.json"})

    with pytest.raises(InvalidInput, match="the address is private"):
        read_input(server.answer("/a.json", away), LOOPBACK, "spec.x")


def test_an_archive_on_a_web_server_is_guarded_too(server, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zip", "w") as members:
        members.writestr("a.json", b"[2]")

    async def in_ranges(_):
        return web.FileResponse(tmp_path / "a.zip")

    url = f"zip://a.json::{server.answer('/a.zip', in_ranges)}"
    assert read_input(url, LOOPBACK, "spec.x") == b"[2]"
    with pytest.raises(InvalidInput, match="the address is private"):
        read_input(url, Access(), "spec.x")
