"""Measure a store's port on obstore, on obstore behind the guard's proxy, and on s3fs, in pairs.

    pip install s3fs
    python -m tests.benchmarks.stores [--pairs 3] [--images 3000]

All use one SeaweedFS on the loopback. A line has the seconds and the CPU seconds of this process,
the medians of the pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable

import fsspec
from tests.image_server import image_server, jpeg
from tests.s3_server import s3_server

from negset_api.spec import Download
from negset_api.values import Outcome, PlannedImage, ShardPlan
from negset_jobs.adapters import address_guard, urls
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.clouds import S3
from negset_jobs.adapters.input_files import InputFiles
from negset_jobs.adapters.store import Store
from negset_jobs.download.shard import ShardTask, run_shard

LIMITED = Access(local_files=False, schemes=("s3", "http"), allowed_networks=("127.0.0.0/8",), store_networks=("127.0.0.0/8",))
SMALL, LARGE = 64 << 10, 64 << 20
FILES = 300


@contextlib.contextmanager
def backend(name):
    if name == "s3fs":
        import s3fs

        fsspec.register_implementation("s3", s3fs.S3FileSystem, clobber=True)
        yield
        fsspec.register_implementation("s3", S3, clobber=True)
    elif name == "obstore, guarded":
        with address_guard.enforced(LIMITED):
            yield
    else:
        yield


def puts(store, _):
    data = os.urandom(SMALL)
    for index in range(FILES):
        store.write(f"small/{index}", data)


def gets(store, _):
    for index in range(FILES):
        store.read(f"small/{index}")


def creates(store, _):
    for _index in range(100):
        store.create(f"marker/{time.monotonic_ns()}", b"1")


def uploads(store, folder):
    for index in range(4):
        store.put(f"{folder}/large", f"large/{index}")


def downloads(store, folder):
    for index in range(4):
        store.get(f"large/{index}", f"{folder}/down")


def stream(store, _):
    with store.reading("large/0") as reader:
        while reader.read(1 << 20):
            pass


def listing(store, _):
    for _ in range(20):
        store.keys("small")


def concurrent(store, _):
    async def read():
        files = InputFiles(address_guard.access_of_process() or Access())
        places = [urls.parse(store.location(f"small/{index}")) for index in range(FILES)] * 4
        gate = asyncio.Semaphore(64)

        async def one(url):
            async with gate:
                return await files.read(url, 1 << 20, 60)

        await asyncio.gather(*map(one, places))
        await files.close()

    asyncio.run(read())


def removals(store, _):
    store.remove([f"small/{index}" for index in range(FILES)])


STEPS: dict[str, Callable] = {
    "300 puts of 64 KiB": puts,
    "300 gets": gets,
    "100 markers created": creates,
    "4 x 64 MiB up": uploads,
    "4 x 64 MiB down": downloads,
    "64 MiB as a stream": stream,
    "20 listings of 300": listing,
    "1,200 reads, 64 at once": concurrent,
    "300 removed": removals,
}


def shard(store, images):
    plan = ShardPlan(name="train-00000-of-00001", split="train", images=images)
    download = Download(connections=64, connections_per_host=64)
    task = ShardTask(store_url=store.url, folder="records", shard=plan, download=download, access=LIMITED, label_ids={})
    assert all(image.outcome is Outcome.STORED for image in run_shard(task).results)


def measured(act):
    begun, cpu = time.perf_counter(), time.process_time()
    act()
    return time.perf_counter() - begun, time.process_time() - cpu


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--images", type=int, default=3000)
    options = parser.parse_args()
    names = ("obstore", "obstore, guarded", "s3fs")
    times = {}
    with s3_server() as s3, tempfile.TemporaryDirectory() as folder, image_server() as server:
        with open(f"{folder}/large", "wb") as file:
            file.write(os.urandom(LARGE))
        pictures = [server.serve(f"/{index}.jpg", jpeg(index % 50, size=(200, 150))) for index in range(options.images)]
        images = tuple(PlannedImage(image_id=index, url=url, file_name=f"{index}.jpg") for index, url in enumerate(pictures))
        for pair in range(options.pairs):
            for name in names if pair % 2 else reversed(names):
                with backend(name):
                    store = Store(f"s3://{s3.bucket}/{name.replace(', ', '-')}-{pair}")
                    store.write("warm", b"")
                    for step, act in STEPS.items():
                        times.setdefault((step, name), []).append(measured(lambda act=act, store=store: act(store, folder)))
                    step = f"{options.images} images downloaded to S3"
                    times.setdefault((step, name), []).append(measured(lambda store=store: shard(store, images)))
    for (step, name), taken in sorted(times.items()):
        seconds, cpu = (statistics.median(each) for each in zip(*taken, strict=True))
        print(f"{step:32} {name:18} {seconds:7.2f} s   CPU {cpu:6.2f} s")


if __name__ == "__main__":
    main()
