"""The sides that the download benchmarks compare. Each runs in its own process.

`python download_sides.py SIDE BASE COUNT VERIFY FOLDER` prints one line of JSON. The sides are:

`ray`: shards on Ray.
`negset`: shards in processes of negset, as on a laptop.
`processes`: the same shards in bare processes.
`loop`: the same shards in one process, one after the other.
`bare`: the limit. One asyncio loop fetches the same images with aiohttp, and writes them in the
same framing without checking them.
`bare-records`: like `bare`, but it writes the same records as negset, digest and keys included.

`seconds` excludes what happens before the first image (Ray, imports) and after the last. `start` is
the time before the first image, in seconds. `cpu` is the CPU seconds of the processes that fetch.
`rss` is the largest of their peaks, in bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from negset_api import names
from negset_api.spec import Download
from negset_api.values import PlannedImage, ShardPlan
from negset_jobs.adapters import ray_session, work
from negset_jobs.adapters.access import Access
from negset_jobs.download.shard import ShardTask, run_shard
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import write_record

WORKERS, CONNECTIONS, SHARD = 2, 64, 500


def tasks(base: str, count: int, verify: str, folder: str) -> list[ShardTask]:
    images = [PlannedImage(image_id=index, url=f"{base}/{index}.jpg", file_name=f"{index}.jpg") for index in range(count)]
    runs = [tuple(images[start : start + SHARD]) for start in range(0, count, SHARD)]
    download = Download(verify=verify, connections=CONNECTIONS, connections_per_host=CONNECTIONS)
    return [
        ShardTask(
            store_url=folder,
            folder=names.RECORDS_FOLDER,
            shard=ShardPlan(name=names.shard(names.TRAIN, number, len(runs)), split=names.TRAIN, images=run),
            download=download,
            access=Access(allowed_networks=("127.0.0.1/32",)),
            label_ids={},
        )
        for number, run in enumerate(runs)
    ]


def measured(task: ShardTask, report) -> dict[str, float]:
    before = time.process_time()
    result = run_shard(task, report)
    stored = sum(image.outcome == "stored" for image in result.results)
    return {
        "stored": stored,
        "cpu": time.process_time() - before,
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "pid": os.getpid(),
    }


def warm(_task: int, _report) -> int:
    """Load a worker's imports before the measurement.

    The sleep makes each worker get one task.
    """
    time.sleep(1)
    return os.getpid()


def negset(shards: list[ShardTask]) -> Iterator[dict[str, float]]:
    with work.session(WORKERS):
        list(work.map_unordered(warm, list(range(WORKERS)), workers=WORKERS))
        yield {}
        for _, done in work.map_unordered(measured, shards, workers=WORKERS):
            yield done


def ray(shards: list[ShardTask]) -> Iterator[dict[str, float]]:
    with ray_session.session(WORKERS):
        yield from negset(shards)


def processes(shards: list[ShardTask]) -> Iterator[dict[str, float]]:
    import multiprocessing

    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        pool.starmap(warm, [(0, None)] * WORKERS, chunksize=1)
        yield {}
        yield from pool.imap_unordered(quietly_measured, shards, chunksize=1)


def quietly_measured(task: ShardTask) -> dict[str, float]:
    return measured(task, lambda _done, _failed: None)


def loop(shards: list[ShardTask]) -> Iterator[dict[str, float]]:
    yield {}
    yield from map(quietly_measured, shards)


def bare(shards: list[ShardTask]) -> Iterator[dict[str, float]]:
    yield from bare_loop(shards, lambda _image, data: data)


def bare_records(shards: list[ShardTask]) -> Iterator[dict[str, float]]:
    def record(image: PlannedImage, data: bytes) -> bytes:
        return encode_example(
            encoded=data, image_format="jpeg", file_name=image.file_name, source_id=str(image.image_id), sha256=hashlib.sha256(data).hexdigest(),
            height=480, width=640, boxes=(), label_ids={},
        )  # fmt: skip

    yield from bare_loop(shards, record)


def bare_loop(shards: list[ShardTask], payload: Callable[[PlannedImage, bytes], bytes]) -> Iterator[dict[str, float]]:
    import aiohttp

    async def fetch_all(task: ShardTask, stream: BinaryIO) -> int:
        images = iter(task.shard.images)
        stored = 0

        async def connection(session: aiohttp.ClientSession) -> None:
            nonlocal stored
            for image in images:
                async with session.get(image.url) as response:
                    write_record(stream, payload(image, await response.read()))
                    stored += 1

        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            await asyncio.gather(*(connection(session) for _ in range(CONNECTIONS)))
        return stored

    os.makedirs(shards[0].store_url, exist_ok=True)
    yield {}
    for task in shards:
        before = time.process_time()
        with open(f"{task.store_url}/{task.shard.name}", "wb") as stream:
            stored = asyncio.run(fetch_all(task, stream))
        yield {
            "stored": stored,
            "cpu": time.process_time() - before,
            "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "pid": os.getpid(),
        }


def main() -> None:
    side, base, count, verify, folder = sys.argv[1:]
    begun = time.perf_counter()
    running = {"negset": negset, "ray": ray, "processes": processes, "loop": loop, "bare": bare, "bare-records": bare_records}[side](
        tasks(base, int(count), verify, folder)
    )
    next(running)
    started = time.perf_counter()
    done, ended = [], started
    for part in running:
        done.append(part)
        # Work after the last image, such as Ray's shutdown, is not counted.
        ended = time.perf_counter()
    stored = sum(part["stored"] for part in done)
    print(
        json.dumps(
            {
                "stored": stored,
                "seconds": ended - started,
                "start": started - begun,
                "cpu": sum(part["cpu"] for part in done),
                "rss": max(part["rss"] for part in done),
                "workers": len({part["pid"] for part in done}),
            }
        )
    )


if __name__ == "__main__":
    import download_sides  # by this name, workers can import its functions

    download_sides.main()
