"""Compare download and TFRecords with img2dataset 1.47, from the same nginx on the same machine.

    .venv/bin/python tests/benchmarks/download.py [--count N] [--environment FOLDER]

Both sides use two processes with 64 connections or threads each. They write images to TFRecords in
the order in which they arrive, and do not resize. img2dataset does not re-encode either
(`resize_mode=no`, `encode_quality` unused), but decodes each image to learn its size. `Structure`
does not decode. `Decode` reads every coefficient.

img2dataset's dependencies differ from negset's, so it is installed from PyPI into its own virtual
environment, which is kept in FOLDER. Images per second exclude the start of negset's processes, and
include the start of img2dataset's, which reports no other number. The count is large enough that
this does not matter. CPU is the sum over all processes. The exit code is 0 if the goals are met,
otherwise 1.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

from against_limit import run, show
from image_host import image_host

GOALS = {"Structure": 8.0, "Decode": 2.5}
REQUIREMENTS = (
    "img2dataset==1.47.0",
    "tensorflow-cpu==2.15.1",
    "tensorflow-io==0.36.0",
    "numpy<2",
    "pyarrow<20",
    "setuptools<80",
)  # img2dataset names no upper bounds of its own


def install(folder: pathlib.Path) -> pathlib.Path:
    """Return the path of img2dataset. Install it if missing."""
    if not (folder / "bin" / "img2dataset").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    return folder / "bin" / "img2dataset"


def img2dataset(executable: pathlib.Path, base: str, count: int, folder: str) -> float:
    """Run img2dataset. Return its images per second."""
    pathlib.Path(folder, "urls.txt").write_text("".join(f"{base}/{number}.jpg\n" for number in range(count)))
    shutil.rmtree(f"{folder}/other", ignore_errors=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        [
            str(executable), f"--url_list={folder}/urls.txt", "--input_format=txt", f"--output_folder={folder}/other", "--output_format=tfrecord",
            "--processes_count=2", "--thread_count=64", "--resize_mode=no", "--number_sample_per_shard=500", "--enable_wandb=False", "--retries=0",
        ],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"},
    )  # fmt: skip
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    stored = sum(_successes(path) for path in pathlib.Path(folder, "other").glob("*_stats.json"))
    assert stored == count, f"img2dataset stored {stored} of {count}"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{'img2dataset':24} {count / seconds:8.0f} images/s  {cpu / count * 1e6:6.0f} us CPU/image", flush=True)
    return count / seconds


def _successes(path: pathlib.Path) -> int:
    return int(json.loads(path.read_text())["successes"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=8000)
    parser.add_argument("--environment", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir(), "negset-img2dataset"))
    options = parser.parse_args()
    executable = install(options.environment)
    met = True
    with image_host(options.count) as (base, folder):
        other = img2dataset(executable, base, options.count, folder)
        for verify, goal in GOALS.items():
            measured = run("negset", base, options.count, folder, verify=verify)
            show(f"negset, {verify}", options.count, measured)
            factor = options.count / measured["seconds"] / other
            print(f"{verify}: {factor:.1f} times img2dataset (goal: at least {goal})")
            met &= factor >= goal
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
