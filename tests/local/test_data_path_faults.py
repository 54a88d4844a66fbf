"""Every kind of bad response from a real server.

Each image has one outcome, the sums are correct, and each good image is stored exactly once.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import email.utils
import hashlib
import io
import json
import time

import pytest
from aiohttp import web
from PIL import Image
from tests.image_server import drawn_image, encoded, image_server, jpeg
from tests.local.bad_responses import ATTEMPTS, FAULTS, body, never_ends, redirect, status, then_good

from negset_api.spec import Download
from negset_api.values import Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.input_files import InputFiles
from negset_jobs.adapters.store import Store
from negset_jobs.download import http
from negset_jobs.download.shard import ShardTask, run_shard
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records

LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))


QUICK = Download(attempts=ATTEMPTS, timeout_seconds=2, connections=8, connections_per_host=8, max_image_mebibytes=1, max_image_megapixels=1)


@pytest.fixture
def server():
    with image_server() as running:
        yield running


def run(tmp_path, urls, *, download=QUICK, access=LOOPBACK, name="train-00000-of-00001", **options) -> ShardResult:
    images = tuple(PlannedImage(image_id=index, url=url, file_name=f"{index}.jpg") for index, url in enumerate(urls))
    shard = ShardPlan(name=name, split="train", images=images)
    task = ShardTask(store_url=str(tmp_path), folder="records", shard=shard, download=download, access=access, label_ids={}, **options)
    return run_shard(task)


def records(tmp_path, result: ShardResult) -> list[dict]:
    if not result.file:
        return []
    return [decode_example(payload) for _, payload in read_records(io.BytesIO(Store(str(tmp_path)).read(result.file)))]


@pytest.mark.parametrize("fault", FAULTS, ids=list(FAULTS))
def test_each_bad_response_is_one_outcome_among_good_images(fault, server, tmp_path):
    answer, outcome, requests = FAULTS[fault]
    good = [server.serve(f"/good-{index}.jpg", jpeg(100 + index)) for index in range(4)]
    bad = server.answer("/bad.jpg", answer)
    urls = [*good[:2], bad, *good[2:]]

    result = run(tmp_path, urls)

    assert [image.outcome for image in result.results] == [Outcome.STORED] * 2 + [outcome] + [Outcome.STORED] * 2, result.results[2].detail
    assert server.requests["/bad.jpg"] == requests
    assert all(server.requests[f"/good-{index}.jpg"] == 1 for index in range(4))
    stored = [image for image in result.results if image.outcome is Outcome.STORED]
    written = records(tmp_path, result)
    assert [record["image/source_id"] for record in written] == [[str(image.image_id).encode()] for image in stored]
    assert [hashlib.sha256(record["image/encoded"][0]).hexdigest() for record in written] == [image.sha256 for image in stored]
    assert [image.image_id for image in result.results] == list(range(5))


def test_a_redirect_in_a_circle_ends(server, tmp_path):
    url = server.answer("/circle.jpg", redirect("/circle.jpg"))
    assert run(tmp_path, [url]).results[0].outcome is Outcome.CLIENT_ERROR
    assert server.requests["/circle.jpg"] <= 10


def test_a_redirect_to_a_permitted_address_is_followed(server, tmp_path):
    target = server.serve("/here.jpg", jpeg(1))
    assert run(tmp_path, [server.answer("/there.jpg", redirect(target))]).results[0].outcome is Outcome.STORED


def test_a_slow_body_times_out(server, tmp_path):
    download = Download(attempts=1, timeout_seconds=1, max_outage_seconds=0)
    assert run(tmp_path, [server.answer("/slow.jpg", never_ends)], download=download).results[0].outcome is Outcome.TIMEOUT


def test_a_host_that_nobody_answers_is_unreachable(tmp_path):
    result = run(
        tmp_path,
        ["http://127.0.0.1:1/x.jpg", "http://no-such-host.invalid/x.jpg"],
        download=Download(attempts=1, timeout_seconds=5, max_outage_seconds=0),
    )
    assert [image.outcome for image in result.results] == [Outcome.UNREACHABLE] * 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x.jpg",
        "http://localhost:9/x.jpg",
        "http://[::1]:9/x.jpg",
        "http://[::ffff:127.0.0.1]:9/x.jpg",
        "http://10.0.0.1/x.jpg",
        "http://192.168.1.1/x.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/x.jpg",
        "http://[fd00:ec2::254]/latest/",
        "http://0.0.0.0:9/x.jpg",
    ],
)
def test_addresses_that_are_not_public_are_refused_and_not_retried(url, tmp_path):
    (image,) = run(tmp_path, [url], access=Access(), download=Download(attempts=1, timeout_seconds=5)).results
    assert image.outcome is Outcome.BLOCKED_ADDRESS, image.detail


def test_an_address_spelt_as_one_number_is_no_way_around(tmp_path):
    (image,) = run(tmp_path, ["http://2130706433:9/x.jpg"], access=Access()).results
    assert image.outcome in (Outcome.BLOCKED_ADDRESS, Outcome.CLIENT_ERROR)


def test_a_local_file_in_the_annotations_is_refused_on_a_cluster(tmp_path):
    (image,) = run(tmp_path, ["file:///etc/hostname"], access=Access(local_files=False)).results
    assert image.outcome is Outcome.BLOCKED_ADDRESS
    assert "local paths work on a laptop only" in image.detail


def test_a_retry_after_date_is_honoured(server, tmp_path):
    when = email.utils.format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2), usegmt=True)
    url = server.answer("/busy.jpg", then_good(status(503, **{"Retry-After": when})))
    begun = time.monotonic()
    assert run(tmp_path, [url]).results[0].outcome is Outcome.STORED
    assert time.monotonic() - begun > 0.9  # a date has whole seconds


def test_the_user_agent_says_who_asks_and_sends_no_cookies(server, tmp_path):
    first = server.answer("/a.jpg", body(jpeg(1), **{"Set-Cookie": "track=1"}))
    second = server.serve("/b.jpg", jpeg(2))
    run(tmp_path, [first, second], download=Download(contact="https://example.org/bot", connections=1))
    assert server.headers["User-Agent"].startswith("negset/")
    assert server.headers["User-Agent"].endswith(" (+https://example.org/bot)")
    assert "Cookie" not in server.headers


def test_the_limit_per_host_holds(server, tmp_path):
    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        return web.Response(body=jpeg(1))

    urls = [server.answer(f"/{index}.jpg", slow) for index in range(12)]
    run(tmp_path, urls, download=Download(connections=8, connections_per_host=2))
    assert server.most_at_once == 2


def test_a_slow_first_image_does_not_stall_the_others_nor_let_them_pile_up(server, tmp_path):
    """Two images per connection are requested; no more until the first is written."""
    asked_meanwhile = []

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        asked_meanwhile.append(sum(server.requests.values()) - 1)
        return web.Response(body=jpeg(1))

    urls = [server.answer("/0.jpg", slow), *(server.serve(f"/{index}.jpg", jpeg(index)) for index in range(1, 30))]
    result = run(tmp_path, urls, download=Download(connections=4))
    assert asked_meanwhile == [2 * 4 - 1]
    assert [record["image/source_id"] for record in records(tmp_path, result)] == [[str(index).encode()] for index in range(30)]


def test_what_timing_changes_is_not_the_file(server, tmp_path):
    async def jittered(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(hash((request.path, time.monotonic())) % 20 / 1000)
        return web.Response(body=jpeg(int(request.path[1:-4])))

    urls = [server.answer(f"/{index}.jpg", jittered) for index in range(40)]
    first = run(tmp_path / "a", urls)
    second = run(tmp_path / "b", urls, download=Download(connections=3, attempts=ATTEMPTS, max_image_mebibytes=1, max_image_megapixels=1))
    assert first == second
    assert (tmp_path / "a" / first.file).read_bytes() == (tmp_path / "b" / second.file).read_bytes()
    assert hashlib.sha256((tmp_path / "a" / first.file).read_bytes()).hexdigest() == first.sha256


def test_a_shard_with_nothing_to_store_has_no_file(server, tmp_path):
    result = run(tmp_path, [f"{server.url}/nothing.jpg"])
    assert (result.file, result.sha256, result.bytes) == ("", "", 0)
    assert not list(tmp_path.rglob("*.tfrecord"))


def test_the_attempt_that_commits_second_takes_over_the_first_ones_result(server, tmp_path):
    """Both run before the other has committed, and get different images from one URL."""
    url = server.serve("/0.jpg", jpeg(1))
    winner = None

    async def overtaken(_: web.Request) -> web.StreamResponse:
        nonlocal winner
        if winner is None:
            server.serve("/0.jpg", jpeg(1))
            winner = await asyncio.to_thread(run, tmp_path, [url])
        return web.Response(body=jpeg(2))

    server.answer("/0.jpg", overtaken)
    loser = run(tmp_path, [url])
    assert loser == winner
    assert [path.name for path in (tmp_path / "records").iterdir()] == [winner.file.rpartition("/")[2]]


def test_a_jpeg_that_no_decoder_reads_is_not_stored_and_a_whole_one_is_as_it_came(server, tmp_path):
    whole = jpeg(3, size=(200, 200))
    table = whole.index(b"\xff\xc4") + 5
    # More Huffman codes than possible.
    impossible = whole[:table] + b"\xff" * 16 + whole[table + 16 :]
    url = server.serve("/impossible.jpg", impossible)
    for verify in ("Structure", "Decode"):
        refused = run(tmp_path / verify, [url], download=Download(verify=verify, attempts=1)).results[0]
        assert refused.outcome is Outcome.UNDECODABLE
    good = run(tmp_path / "c", [server.serve("/whole.jpg", whole)], download=Download(verify="Decode")).results[0]
    assert (good.outcome, good.sha256) == (Outcome.STORED, hashlib.sha256(whole).hexdigest())


def test_local_files_and_their_faults(tmp_path):
    folder = tmp_path / "images"
    (folder / "folder.jpg").mkdir(parents=True)
    (folder / "good.jpg").write_bytes(jpeg(1))
    (folder / "large.jpg").write_bytes(bytes(2 << 20))
    urls = [str(folder / name) for name in ("good.jpg", "none.jpg", "folder.jpg", "large.jpg")] + [f"file://{folder}/good.jpg"]
    result = run(tmp_path / "out", urls)
    assert [image.outcome for image in result.results] == [
        Outcome.STORED,
        Outcome.NOT_FOUND,
        Outcome.NOT_FOUND,
        Outcome.TOO_LARGE,
        Outcome.STORED,
    ]


@pytest.mark.parametrize("kind", [TypeError, AttributeError, AssertionError, OverflowError, IndexError, RecursionError, RuntimeError])
def test_whatever_a_back_end_raises_is_the_outcome_of_its_image(kind, tmp_path, monkeypatch):
    (tmp_path / "good.jpg").write_bytes(jpeg(1))
    read = InputFiles.read

    async def raising(files, url, *limits):
        if url.name == "bad.jpg":
            raise kind("secret")
        return await read(files, url, *limits)

    monkeypatch.setattr(InputFiles, "read", raising)
    download = Download(attempts=1)
    bad, good = run(tmp_path / "out", [f"{tmp_path}/bad.jpg", f"{tmp_path}/good.jpg"], download=download).results
    assert (bad.outcome in (Outcome.CLIENT_ERROR, Outcome.SERVER_ERROR), good.outcome) == (True, Outcome.STORED)
    assert "secret" not in bad.detail


def test_an_error_of_negset_itself_over_one_image_is_the_outcome_of_that_image(server, tmp_path, monkeypatch):
    """For example, of a parser that meets a value it was not written for."""

    def overflowing(*_: object) -> float:
        raise OverflowError("secret")

    monkeypatch.setattr(http, "retry_after", overflowing)
    urls = [server.answer("/busy.jpg", status(503, **{"Retry-After": "x"})), server.serve("/good.jpg", jpeg(1))]
    bad, good = run(tmp_path, urls).results
    assert (bad.outcome, good.outcome) == (Outcome.CLIENT_ERROR, Outcome.STORED)
    assert bad.detail.startswith("an error that negset does not know: OverflowError at negset_jobs/download/http.py:")


def test_images_in_an_archive(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for index in range(5):
            archive.writestr(f"val/{index}.jpg", jpeg(index))
    urls = [f"zip://val/{index}.jpg::{tmp_path}/images.zip" for index in range(6)]
    result = run(tmp_path / "out", urls)
    assert [image.outcome for image in result.results] == [Outcome.STORED] * 5 + [Outcome.NOT_FOUND]
    assert result.results[4].sha256 == hashlib.sha256(jpeg(4)).hexdigest()


def test_the_marker_is_the_result_that_was_returned(server, tmp_path):
    result = run(tmp_path, [server.serve("/0.jpg", jpeg(1)), f"{server.url}/1.jpg"])
    marker = json.loads((tmp_path / "shards/records/train-00000-of-00001.json").read_bytes())
    assert (marker["file"], marker["sha256"]) == (result.file, result.sha256)
    assert [image["outcome"] for image in marker["results"]] == ["stored", "not_found"]


def test_running_a_committed_shard_again_asks_for_nothing(server, tmp_path):
    url = server.serve("/0.jpg", jpeg(1))
    first = run(tmp_path, [url])
    assert run(tmp_path, [url]) == first
    assert server.requests["/0.jpg"] == 1


def test_transcoded_images_look_as_before(server, tmp_path):
    original = drawn_image(5, size=(40, 30))
    urls = [
        server.serve("/webp", encoded(original, "WEBP", lossless=True)),
        server.serve("/cmyk", encoded(original.convert("CMYK"), "JPEG", quality=100)),
        server.serve("/gif", encoded(original.quantize(), "GIF")),
    ]
    written = records(tmp_path, run(tmp_path, urls))
    assert [record["image/format"] for record in written] == [[b"png"], [b"jpeg"], [b"png"]]
    for record, mode in zip(written, ("RGB", "RGB", "P"), strict=True):
        image = Image.open(io.BytesIO(record["image/encoded"][0]))
        assert (image.mode, image.size) == (mode, (40, 30))
        difference = sum(
            abs(a - b)
            for a, b in zip(image.convert("RGB").resize((1, 1)).getpixel((0, 0)), original.resize((1, 1)).getpixel((0, 0)), strict=True)
        )
        assert difference <= 12
