"""The whole data path on both kinds of workers: from a plan to records, a manifest and markers.

It is stopped, resumed, repaired and extended.
"""

from __future__ import annotations

import collections
import concurrent.futures
import hashlib
import io
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import msgspec
import pyarrow.parquet as pq
import pytest
from aiohttp import web
from tests.image_server import image_server, jpeg
from tests.local import data_path_run
from tests.local.data_path_run import dataset, plan_of
from tests.local.workers import KINDS, working
from tests.progress import Silent
from tests.s3_server import s3_server

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.values import Box, Outcome, Plan, PlannedImage, Records, ShardPlan, decode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.download import shard_maker
from negset_jobs.download.shard import run_shard
from negset_jobs.download.shard_cache import read_committed
from negset_jobs.download.shard_maker import ShardMaker
from negset_jobs.download.stage import record_stage, run_shards
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records

LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def workers(request, s3):
    """Workers for all tests here. They have the S3 server's credentials."""
    with working(request.param):
        yield


@pytest.fixture
def server():
    with image_server() as running:
        yield running


class Counted(Silent):
    def __init__(self) -> None:
        self.total = self.done = self.failed = 0
        self.finished = False

    # The interface.
    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None:  # noqa: ARG002
        self.total = total

    # The interface.
    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:  # noqa: ARG002
        assert done >= 0
        self.done += done
        self.failed += failed

    def finish(self) -> None:
        self.finished = True


def serve(server, count: int) -> list[str]:
    return [server.serve(f"/{index}.jpg", jpeg(index)) for index in range(count)]


def stage(store: Store, plan: Plan, siblings=(), progress=None, earlier=None, **download) -> Records:
    return record_stage(store, plan, dataset(**download), LOOPBACK, siblings, progress or Silent(), earlier)


def answering(server, status: int, *paths: str) -> None:
    """Let the server respond with this status to requests for these paths."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    for path in paths:
        server.answer(path, answer)


AWAY = {"attempts": 1, "maxOutageSeconds": 0, "maxFailedPercent": 50}
"""The settings of a run that does not wait for a server."""


def run_shard_and_die_once(task, report):
    """Die as by `kill -9` or for lack of memory, after three images of the first attempt."""
    died, images = pathlib.Path(f"{task.store_url}-{task.shard.name}"), 0

    def count(done, failed):
        nonlocal images
        images += done
        report(done, failed)
        if images == 3 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return run_shard(task, count)


def rows(store: Store) -> list[dict]:
    return pq.read_table(io.BytesIO(store.read(names.MANIFEST))).to_pylist()


def stored_ids(store: Store, records: Records) -> list[int]:
    ids = []
    for file in (file for files in records.files.values() for file in files):
        with store.reading(file) as stream:
            ids += [int(decode_example(payload)["image/source_id"][0]) for _, payload in read_records(stream)]
    return ids


def tree(store: Store) -> dict[str, str]:
    # A store is no dict.
    return {key: hashlib.sha256(store.read(key)).hexdigest() for key in store.keys()}  # noqa: SIM118


@pytest.mark.parametrize("kind", ["local folder", "S3"])
def test_a_plan_becomes_records_a_manifest_and_a_marker(kind, server, tmp_path, s3, workers):
    store = Store(str(tmp_path) if kind == "local folder" else f"s3://{s3.bucket}/{os.urandom(4).hex()}")
    urls = serve(server, 30)
    urls[7] = f"{server.url}/missing.jpg"
    plan, progress = plan_of(urls, shards=4), Counted()

    records = stage(store, plan, progress=progress)

    assert (records.planned, records.stored, records.outcomes) == (30, 29, {"stored": 29, "not_found": 1})
    assert (progress.total, progress.done, progress.failed, progress.finished) == (30, 30, 1, True)
    assert decode(store.read(names.RECORDS), Records) == records
    assert stored_ids(store, records) == [image for image in plan.image_ids if image != 7]
    assert sum(records.images.values()) == 29
    manifest = rows(store)
    assert [row["image_id"] for row in manifest] == list(plan.image_ids)
    assert manifest[7] == {
        "image_id": 7, "url": urls[7], "outcome": "not_found", "sha256": "", "bytes": 0, "width": 0, "height": 0, "license": 3, "shard": "",
        "reason": "because", "file_name": "7.jpg", "subset": "train", "scene": "kitchen", "detail": "HTTP 404 Not Found", "page": "page/7",
        "proof": "", "copy_of": None, "near_copy_of": None, "near_copy_kind": None,
    }  # fmt: skip
    assert manifest[8]["sha256"] == hashlib.sha256(jpeg(8)).hexdigest()
    assert {row["shard"] for row in manifest} - {""} == {file for files in records.files.values() for file in files}
    assert records.bytes == sum(len(store.read(file)) for files in records.files.values() for file in files)


def test_every_shards_worker_is_killed_once_and_the_files_and_the_progress_are_the_same(server, tmp_path, workers, monkeypatch):
    plan, progress = plan_of(serve(server, 30), shards=4), Counted()
    undisturbed, disturbed = Store(f"{tmp_path}/undisturbed"), Store(f"{tmp_path}/disturbed")
    records = stage(undisturbed, plan)
    monkeypatch.setattr(shard_maker, "run_shard", run_shard_and_die_once)
    assert stage(disturbed, plan, progress=progress) == records
    assert len(list(tmp_path.glob("disturbed-*"))) == 4
    assert (progress.done, progress.failed) == (30, 0)
    assert tree(disturbed) == tree(undisturbed)


def test_splits_have_files_of_their_own(server, tmp_path, workers):
    plan = plan_of(serve(server, 10), shards=4, held_out_shards=1)
    records = stage(Store(str(tmp_path)), plan)
    assert {split: len(files) for split, files in records.files.items()} == {"train": 3, "heldout": 1}
    assert records.images == {"train": 7, "heldout": 3}


def test_too_many_failures_are_reported_and_the_next_run_asks_only_for_them(server, tmp_path, workers):
    store, urls = Store(str(tmp_path)), serve(server, 20)
    good = {path: server.handlers.pop(path) for path in ("/3.jpg", "/4.jpg", "/15.jpg")}

    async def forbidden(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403)

    server.answer("/15.jpg", forbidden)
    with pytest.raises(InvalidInput) as raised:
        stage(store, plan_of(urls, shards=4))
    assert str(raised.value) == (
        "3 of the 20 planned images could not be stored, spec.download.maxFailedPercent allows 5%: "
        "2 not_found (image 3: HTTP 404 Not Found); 1 forbidden (image 15: HTTP 403 Forbidden)"
    )
    assert not store.exists(names.RECORDS)
    assert [row["outcome"] for row in rows(store)].count("stored") == 17

    server.handlers |= good
    server.requests.clear()
    progress = Counted()
    records = stage(store, plan_of(urls, shards=4), progress=progress)
    assert dict(server.requests) == {"/3.jpg": 1, "/4.jpg": 1, "/15.jpg": 1}
    assert (records.stored, records.outcomes) == (20, {"stored": 20})
    assert (progress.done, progress.total, progress.failed) == (20, 20, 0)

    undisturbed = Store(f"{tmp_path}/undisturbed")
    assert stage(undisturbed, plan_of(urls, shards=4)) == records
    files = [file for files in records.files.values() for file in files]
    assert store.keys("records") == sorted(files)
    assert [store.read(file) for file in files] == [undisturbed.read(file) for file in files]
    assert store.read(names.MANIFEST) == undisturbed.read(names.MANIFEST)


def test_the_next_run_requests_only_the_transient_failures(server, tmp_path, workers):
    """Also if the first run was accepted. What read its data is made again."""
    store, urls = Store(str(tmp_path)), serve(server, 20)
    good = dict(server.handlers)
    answering(server, 503, "/3.jpg", "/4.jpg")
    answering(server, 404, "/5.jpg")
    first = stage(store, plan_of(urls, shards=4), **AWAY)
    assert first.outcomes == {"stored": 17, "not_found": 1, "server_error": 2}
    for marker in (names.LABELS, names.COPIES, names.REPORT):
        store.write(marker, b"{}")

    server.handlers |= {path: good[path] for path in ("/3.jpg", "/4.jpg", "/5.jpg")}
    server.requests.clear()
    progress = Counted()
    second = stage(store, plan_of(urls, shards=4), progress=progress, earlier=first, **AWAY)
    assert dict(server.requests) == {"/3.jpg": 1, "/4.jpg": 1}
    assert second.outcomes == {"stored": 19, "not_found": 1}
    assert (progress.done, progress.total, progress.failed) == (20, 20, 1)
    assert not any(store.exists(marker) for marker in (names.LABELS, names.COPIES, names.REPORT))
    assert decode(store.read(names.RECORDS), Records) == second
    assert [row["outcome"] for row in rows(store)].count("stored") == 19
    assert stored_ids(store, second) == [image for image in range(20) if image != 5]
    assert store.keys("records") == sorted(file for files in second.files.values() for file in files)


def test_a_run_that_mends_nothing_changes_nothing(server, tmp_path, workers):
    store, urls = Store(str(tmp_path)), serve(server, 20)
    answering(server, 503, "/3.jpg")
    first = stage(store, plan_of(urls, shards=4), **AWAY)
    for marker in (names.LABELS, names.REPORT):
        store.write(marker, b"{}")
    before = tree(store)
    server.requests.clear()
    assert stage(store, plan_of(urls, shards=4), earlier=first, **AWAY) == first
    assert dict(server.requests) == {"/3.jpg": 1}
    assert tree(store) == before


def test_a_lower_budget_is_checked_and_a_higher_one_accepts_the_same_files(server, tmp_path, workers):
    store, urls = Store(str(tmp_path)), serve(server, 20)
    answering(server, 404, "/5.jpg")
    first = stage(store, plan_of(urls, shards=4), **AWAY)
    before = tree(store)
    with pytest.raises(InvalidInput, match="1 of the 20 planned images could not be stored"):
        stage(store, plan_of(urls, shards=4), earlier=first, **AWAY | {"maxFailedPercent": 0})
    assert tree(store) == before


def test_files_that_were_put_in_place_since_are_all_stored(server, tmp_path, workers):
    """Nothing was stored at first."""
    store, urls = Store(str(tmp_path)), serve(server, 20)
    good = dict(server.handlers)
    answering(server, 404, *good)
    with pytest.raises(InvalidInput, match="none of the 20"):
        stage(store, plan_of(urls, shards=4), maxFailedPercent=100)
    server.handlers |= good
    progress = Counted()
    assert stage(store, plan_of(urls, shards=4), progress=progress, maxFailedPercent=100).outcomes == {"stored": 20}
    assert (progress.done, progress.total, progress.failed) == (20, 20, 0)


def test_a_grown_set_requests_the_transient_failures_of_the_smaller_one(server, tmp_path, workers):
    urls = serve(server, 24)
    good = dict(server.handlers)
    small, large = Store(f"{tmp_path}/small"), Store(f"{tmp_path}/large")
    answering(server, 503, "/1.jpg")
    answering(server, 404, "/7.jpg")
    stage(small, plan_of(urls[:12], shards=2), **AWAY)
    server.handlers |= good
    server.requests.clear()
    records = stage(large, plan_of(urls, shards=4), [small], **AWAY)
    assert sorted(server.requests) == sorted(["/1.jpg", *(f"/{index}.jpg" for index in range(12, 24))])
    assert records.outcomes == {"stored": 23, "not_found": 1}


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_is_away_for_a_while_loses_nothing(status, server, tmp_path, workers):
    """It is away after 100 images, for as many requests as it gets in two seconds."""
    urls, stored = serve(server, 300), collections.Counter()
    good, away = dict(server.handlers), []

    async def sometimes(request: web.Request) -> web.StreamResponse:
        if stored.total() >= 100 and (not away or time.monotonic() < away[0]):
            away[:] = away or [time.monotonic() + 2]
            return web.Response(status=status)
        stored[request.path] += 1
        return await good[request.path](request)

    for path in good:
        server.answer(path, sometimes)
    records = stage(Store(str(tmp_path)), plan_of(urls, shards=6))
    assert records.outcomes == {"stored": 300}
    assert stored == dict.fromkeys(good, 1)
    assert len(server.requests) == 300


def test_a_server_that_starts_after_the_run_loses_nothing(tmp_path, workers):
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    urls = [f"http://127.0.0.1:{port}/{index}.jpg" for index in range(40)]
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run = pool.submit(stage, Store(str(tmp_path)), plan_of(urls, shards=2))
        time.sleep(2)
        with image_server(port) as server:
            serve(server, 40)
            assert run.result().outcomes == {"stored": 40}
            assert dict(server.requests) == {f"/{index}.jpg": 1 for index in range(40)}


def test_a_server_that_stays_away_ends_the_run_and_the_next_run_mends_it(server, tmp_path, workers):
    store, urls = Store(str(tmp_path)), serve(server, 200)
    good = dict(server.handlers)
    answering(server, 503, *(f"/{index}.jpg" for index in range(50, 200)))
    with pytest.raises(WorkFailed, match=r"150 of the 200 planned images could not be stored.* 150 server_error"):
        stage(store, plan_of(urls, shards=4), maxOutageSeconds=1)
    server.handlers |= good
    server.requests.clear()
    assert stage(store, plan_of(urls, shards=4)).outcomes == {"stored": 200}
    assert dict(server.requests) == {f"/{index}.jpg": 1 for index in range(50, 200)}


def test_a_server_that_has_nothing_is_one_clear_line(server, tmp_path, workers):
    store = Store(str(tmp_path))
    with pytest.raises(InvalidInput) as raised:
        stage(store, plan_of([f"{server.url}/{index}.jpg" for index in range(6)], shards=2), maxFailedPercent=100)
    assert str(raised.value) == (
        "none of the 6 planned images could be stored, spec.download.maxFailedPercent allows 100%: 6 not_found (image 0: HTTP 404 Not Found)"
    )
    assert not store.exists(names.RECORDS)
    assert not store.keys("records")


def test_twice_the_count_downloads_only_the_second_half(server, tmp_path, workers):
    urls = serve(server, 24)
    small, large = Store(f"{tmp_path}/small"), Store(f"{tmp_path}/large")
    stage(small, plan_of(urls[:12], shards=2))
    server.requests.clear()
    records = stage(large, plan_of(urls, shards=3), [small])
    assert sorted(server.requests) == sorted(f"/{index}.jpg" for index in range(12, 24))
    fresh = Store(f"{tmp_path}/fresh")
    assert stage(fresh, plan_of(urls, shards=3)) == records
    assert tree(fresh) == tree(large)


def test_the_same_images_are_copied_and_nothing_is_downloaded(server, tmp_path, s3, workers):
    urls = [*serve(server, 12), f"{server.url}/missing.jpg"]
    first, second = (Store(f"s3://{s3.bucket}/{os.urandom(4).hex()}") for _ in range(2))
    made = stage(first, plan_of(urls, shards=3), maxFailedPercent=50)
    server.requests.clear()
    progress = Counted()
    assert stage(second, plan_of(urls, shards=3), [first], progress, maxFailedPercent=50) == made
    assert not server.requests
    assert (progress.done, progress.failed) == (13, 1)
    assert tree(first) == tree(second)


def test_other_checks_are_other_inputs(server, tmp_path, workers):
    urls = serve(server, 4)
    first, second = Store(f"{tmp_path}/1"), Store(f"{tmp_path}/2")
    stage(first, plan_of(urls, shards=1))
    server.requests.clear()
    stage(second, plan_of(urls, shards=1), [first], verify="Decode")
    assert len(server.requests) == 4


def test_a_damaged_or_missing_cached_record_is_downloaded_again(server, tmp_path, workers):
    urls = serve(server, 8)
    first, second = Store(f"{tmp_path}/1"), Store(f"{tmp_path}/2")
    made = stage(first, plan_of(urls, shards=2))
    damaged, gone = (pathlib.Path(first.location(file)) for file in made.files["train"])
    data = bytearray(damaged.read_bytes())
    data[200] ^= 1
    damaged.write_bytes(data)
    gone.unlink()
    server.requests.clear()
    grown = [*urls, server.serve("/8.jpg", jpeg(8))]
    records = stage(second, plan_of(grown, shards=1), [first])
    assert stored_ids(second, records) == list(range(9))
    assert sorted(server.requests) == ["/0.jpg", "/4.jpg", "/5.jpg", "/6.jpg", "/7.jpg", "/8.jpg"]


def test_positives_carry_their_boxes_and_refuse_another_size(server, tmp_path, workers):
    box = Box(ymin=0.0, xmin=0.0, ymax=0.5, xmax=0.5, class_name="cat")
    images = tuple(
        PlannedImage(image_id=f"{index}.jpg", url=url, file_name=f"{index}.jpg", width=64, height=48 + index, objects=(box,))
        for index, url in enumerate(serve(server, 2))
    )
    shards = [ShardPlan(name=names.shard("train", 0, 1), split="train", images=images)]
    maker = ShardMaker(
        Store(str(tmp_path)), names.POSITIVES_FOLDER, spec=dataset(maxFailedPercent=100).spec, access=LOOPBACK, label_ids={"cat": 7},
        progress=Silent(),
    )  # fmt: skip
    ((_, result),) = run_shards(maker, shards, ())
    assert [image.outcome for image in result.results] == [Outcome.STORED, Outcome.SIZE_MISMATCH]
    assert result.results[1].detail == "expected 64x49 pixels as in the annotations, got 64x48"
    assert result.file.startswith("positives/train-00000-of-00001.")
    (record,) = [decode_example(payload) for _, payload in read_records(io.BytesIO(Store(str(tmp_path)).read(result.file)))]
    assert (record["image/object/class/text"], record["image/object/class/label"]) == ([b"cat"], [7])


def test_an_output_that_cannot_be_written_is_one_line(server, tmp_path, workers):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WorkFailed, match="cannot "):
        stage(Store(f"{tmp_path}/file/x"), plan_of(serve(server, 2), shards=1))


@pytest.mark.parametrize("kind", KINDS)
def test_killed_in_the_middle_and_run_again_gives_the_same_files(kind, server, tmp_path):
    """Kill the process and its workers as `kill -9` does, then run the same command again.

    An undisturbed run with the other kind of workers writes the same bytes.
    """
    urls = serve(server, 60)
    urls[50] = f"{server.url}/missing.jpg"
    slow = {path: server.handlers[path] for path in ("/20.jpg", "/45.jpg")}
    hanging = []

    async def hang(request: web.Request) -> web.StreamResponse:
        hanging.append(request.path)
        await web.asyncio.sleep(60)
        return web.Response(status=500)

    for path in slow:
        server.answer(path, hang)
    (tmp_path / "plan.json").write_bytes(msgspec.json.encode(plan_of(urls, shards=6)))
    command = [sys.executable, "-m", data_path_run.__name__, str(tmp_path / "plan.json")]
    (other,) = set(KINDS) - {kind}
    root = pathlib.Path(__file__).parents[2]

    disturbed = subprocess.Popen([*command, f"{tmp_path}/disturbed", kind], cwd=root, start_new_session=True)
    deadline = time.monotonic() + 300
    while len(hanging) < 2 and time.monotonic() < deadline and disturbed.poll() is None:
        time.sleep(0.05)
    assert len(hanging) == 2, disturbed.poll()
    time.sleep(0.5)
    os.killpg(disturbed.pid, signal.SIGKILL)
    disturbed.wait()
    before = len(Store(f"{tmp_path}/disturbed").keys("shards"))
    assert 0 < before < 6
    assert not Store(f"{tmp_path}/disturbed").exists(names.RECORDS)

    server.handlers |= slow
    server.requests.clear()
    subprocess.run([*command, f"{tmp_path}/disturbed", kind], cwd=root, check=True)
    assert len(server.requests) <= 10 * (6 - before)
    subprocess.run([*command, f"{tmp_path}/undisturbed", other], cwd=root, check=True)

    files = [
        {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "disturbed", tmp_path / "undisturbed")
    ]
    assert files[0] == files[1]
    assert len(read_committed(Store(f"{tmp_path}/disturbed"), "records")) == 6
