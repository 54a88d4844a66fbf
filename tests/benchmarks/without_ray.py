"""Compare `negset run` in processes of its own with `negset run` on Ray, from start to end.

    python -m tests.benchmarks.without_ray [--images 20 200 2000] [--repeat N] [--served]
        [--workers N] [--checkout FOLDER]

It shows what Ray's start costs, and from how many tasks on that no longer matters
(`MOST_WITHOUT_RAY` in `negset_jobs/adapters/work.py`). Images are small files on this machine. With
`--served` they come from a web server on the loopback address. `--checkout` adds a third side: the
`negset run` of another checkout of this repository. The sides take turns, and the median counts.

CPU is the sum over all processes. Memory is the peak of their proportional set sizes, which count
shared pages once. Both are sampled (Linux only), so the last 0.1 s of a process may be missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import NamedTuple

from tests.image_server import image_server, jpeg

from negset_api import names

MARK = "NEGSET_BENCHMARK"
PROGRAM = "from negset_jobs.adapters import work; work.MOST_WITHOUT_RAY = {most}; from negset_jobs.cli import process; process()"
SIDES = {"processes": 10**9, "Ray": -1}


class Measured(NamedTuple):
    """The numbers of one run: seconds, CPU seconds, bytes."""

    seconds: float
    cpu: float
    memory: float


class Processes:
    """The processes whose environment has our mark. Ray's own processes leave our session."""

    def __init__(self, mark: str) -> None:
        self._mark = f"{MARK}={mark}".encode()
        self._ours: dict[str, bool] = {}
        self._cpu: dict[str, float] = {}
        self.peak = 0.0

    @property
    def cpu(self) -> float:
        return sum(self._cpu.values())

    def sample(self) -> None:
        memory = 0.0
        for process in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if process not in self._ours:
                    self._ours[process] = self._mark in pathlib.Path(f"/proc/{process}/environ").read_bytes()
                if self._ours[process]:
                    fields = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                    self._cpu[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                    found = re.search(r"^Pss:\s+(\d+)", pathlib.Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
                    memory += int(found[1]) * 1024 if found else 0
        self.peak = max(self.peak, memory)


def measure(command: list[str], checkout: str) -> Measured:
    mark = uuid.uuid4().hex
    path = os.pathsep.join([f"{checkout}/operator", f"{checkout}/jobs"])
    processes, started = Processes(mark), time.perf_counter()
    child = subprocess.Popen(
        command, env={**os.environ, MARK: mark, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while child.poll() is None:
        processes.sample()
        time.sleep(0.1)
    seconds = time.perf_counter() - started
    assert child.returncode == 0, command
    return Measured(seconds, processes.cpu, processes.peak)


def write_manifest(folder: str, base: str, count: int, workers: int) -> str:
    """Write annotations of `count` images without a person, and the manifest."""
    images = [{"id": index, "file_name": f"{index}.jpg", "width": 64, "height": 48} for index in range(1, count + 1)]
    annotations = [{"id": image["id"], "image_id": image["id"], "category_id": 2, "bbox": [0, 0, 9, 9]} for image in images]
    classes = [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]
    pathlib.Path(folder, "annotations.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": classes}))
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "benchmark"},
        "spec": {
            "source": {"coco": {"annotations": f"{folder}/annotations.json", "imageUrl": f"{base}/{{file_name}}"}},
            "excludeClasses": ["person"],
            "selection": {"count": count},
            "output": {"url": f"{folder}/output"},
            "ray": {"workers": workers},
        },
    }
    path = pathlib.Path(folder, "manifest.json")
    path.write_text(json.dumps(manifest))
    return str(path)


@contextlib.contextmanager
def images(folder: str, count: int, *, served: bool) -> Iterator[str]:
    """Yield the base URL of the images."""
    if not served:
        for index in range(100):
            pathlib.Path(folder, f"original-{index}.jpg").write_bytes(jpeg(index))
        for index in range(1, count + 1):
            os.link(f"{folder}/original-{index % 100}.jpg", f"{folder}/{index}.jpg")
        yield folder
        return
    with image_server() as server:
        originals = [jpeg(index) for index in range(100)]
        for index in range(1, count + 1):
            server.serve(f"/{index}.jpg", originals[index % 100])
        yield server.url


def compare(count: int, options: argparse.Namespace) -> None:
    root = str(pathlib.Path(__file__).parents[2])
    sides = {
        name: ([sys.executable, "-c", PROGRAM.format(most=most), "run"], root) for name, most in SIDES.items() if name in options.sides
    }
    if options.checkout:
        sides["checkout"] = ([sys.executable, "-m", "negset_jobs", "run"], options.checkout)
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    for turn in range(options.repeat):
        for name, (program, checkout) in sides.items():
            with tempfile.TemporaryDirectory(prefix="negset-benchmark-") as folder, images(folder, count, served=options.served) as base:
                path = write_manifest(folder, base, count, options.workers)
                found[name].append(measure([*program, path, "--allow-address", "127.0.0.1/32"], checkout))
        print(f"{count} images, turn {turn + 1}:", {name: round(each[-1].seconds, 2) for name, each in found.items()}, flush=True)
    for name, each in found.items():
        seconds, cpu, memory = (statistics.median(values) for values in zip(*each, strict=True))
        print(f"{count:7} images  {name:10} {seconds:7.2f} s  {cpu:7.2f} s CPU  {memory / 1e6:6.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--checkout", metavar="FOLDER")
    options = parser.parse_args()
    for count in options.images:
        compare(count, options)


if __name__ == "__main__":
    main()
