"""Compare the download with its limit, and measure what distributing it costs.

    .venv/bin/python tests/benchmarks/against_limit.py [--count N] [--repeat N]

The limit is a bare asyncio loop that fetches the same images and writes the same bytes.

CPU seconds per image compare one worker with the bare loop, both on one core. They can be compared
on a busy machine. Images per second compare two workers, under Ray and of negset's own, with two
bare processes. They need a machine that is otherwise idle. Each side runs in a fresh process
against the same nginx, and the best repetition counts. The exit code is 0 if the goals are met,
otherwise 1.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

from image_host import image_host

SIDES = str(pathlib.Path(__file__).with_name("download_sides.py"))
CPU_GOAL, RAY_GOAL, RSS_GOAL = 1.3, 0.9, 200e6


def run(side: str, base: str, count: int, folder: str, *, verify: str = "Structure") -> dict[str, float]:
    shutil.rmtree(f"{folder}/out", ignore_errors=True)
    ended = subprocess.run([sys.executable, SIDES, side, base, str(count), verify, f"{folder}/out"], stdout=subprocess.PIPE, check=True)
    measured = json.loads(ended.stdout)
    assert measured["stored"] == count, measured
    return measured


def show(side: str, count: int, measured: dict[str, float]) -> None:
    print(
        f"{side:24} {count / measured['seconds']:8.0f} images/s  {measured['cpu'] / count * 1e6:6.0f} us CPU/image  "
        f"{measured['rss'] / 1e6:5.0f} MB peak  {measured['start']:5.1f} s to start  {measured['workers']:.0f} workers",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    best: dict[str, dict[str, float]] = {}
    with image_host(options.count) as (base, folder):
        for _ in range(options.repeat):
            for side in ("bare", "bare-records", "loop", "processes", "negset", "ray"):
                measured = run(side, base, options.count, folder)
                show(side, options.count, measured)
                best[side] = {key: min(value, best.get(side, measured)[key]) for key, value in measured.items()}
    unchecked, cpu = (best["loop"]["cpu"] / best[side]["cpu"] for side in ("bare", "bare-records"))
    ray, own = (best["processes"]["seconds"] / best[side]["seconds"] for side in ("ray", "negset"))
    rss = max(best["negset"]["rss"], best["ray"]["rss"])
    print(f"CPU per image, relative to a bare loop that writes the images unchecked: {unchecked:.2f}")
    print(f"CPU per image, relative to a bare loop that writes the same records: {cpu:.2f} (goal: at most {CPU_GOAL})")
    print(f"speed of two workers under Ray, relative to two bare processes: {ray:.0%} (goal: at least {RAY_GOAL:.0%})")
    print(f"speed of negset's own two workers, relative to two bare processes: {own:.0%} (goal: at least {RAY_GOAL:.0%})")
    print(f"peak memory of a worker: {rss / 1e6:.0f} MB (goal: at most {RSS_GOAL / 1e6:.0f} MB)")
    return int(cpu > CPU_GOAL or min(ray, own) < RAY_GOAL or rss > RSS_GOAL)


if __name__ == "__main__":
    sys.exit(main())
