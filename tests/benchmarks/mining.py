"""Measure what mined negatives are worth.

    python -m tests.benchmarks.mining [--seeds 0 1 2] [--images 4000] [--steps 400] [--first 10]
        [--hard 5] [--output FOLDER]

It compares false positives per held-out negative with mined negatives, with as many random ones,
and without negatives, at equal total steps and equal recall. Each seed draws its own dataset, in
which look-alikes are rare, and runs the main job on it.

The goals: mined / random is at most 0.6 for each seed, and 0.5 on average. None / mined is at least
2. A seed takes about ten minutes on two cores. Results depend on the machine. The latest ones are
in a commit message.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import yaml

from negset_api import names
from negset_jobs.demo import dataset, manifest, server

GOAL_EACH, GOAL_AVERAGE, GOAL_NONE = 0.6, 0.5, 2.0


def run(seed: int, options: argparse.Namespace, folder: str) -> dict[str, dict]:
    """Run the main job. Return the report's comparisons by name."""
    source = os.path.join(folder, "source")
    os.makedirs(source, exist_ok=True)
    with server.serve(source) as url:
        dataset.make(source, seed=1000 + seed, base_url=url, without_object=options.images)
        document = manifest.manifest(url, os.path.join(folder, "output"), count=options.images * 98 // 100, steps=options.steps, seed=seed)
        mining = document["spec"]["training"]["hardNegativeMining"]
        mining |= {"firstRoundPercent": options.first, "hardPercent": options.hard}
        path = os.path.join(folder, "manifest.yaml")
        with open(path, "w", encoding="utf-8") as stream:
            yaml.safe_dump(document, stream)
        command = [sys.executable, "-m", "negset_jobs", "run", path, "--allow-address", f"{server.HOST}/32"]
        page = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    with open(os.path.join(os.path.dirname(page), "report.json"), encoding="utf-8") as stream:
        return {each["name"]: each for each in json.load(stream)["comparisons"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=4000, help="images without the object")
    parser.add_argument("--steps", type=int, default=400, help="steps of each of the two rounds")
    parser.add_argument("--first", type=int, default=10, help="firstRoundPercent")
    parser.add_argument("--hard", type=int, default=5, help="hardPercent")
    parser.add_argument("--output", help="where all files are written and kept (default: a temporary folder)")
    options = parser.parse_args()
    ratios, without = [], []
    for seed in options.seeds:
        with tempfile.TemporaryDirectory(prefix="negset-") as scratch:
            found = run(seed, options, os.path.join(options.output or scratch, f"seed-{seed}"))
        rates = {name: each["falsePositivesPerImage"] for name, each in found.items()}
        mined, random, none = (rates[name] for name in (names.MINED, names.RANDOM_NEGATIVES, names.NO_NEGATIVES))
        for name, each in found.items():
            low, high = each["falsePositivesPerImageInterval"]
            interval = f"{each['falsePositivesPerImage']:.4f} [{low:.4f}, {high:.4f}]"
            print(f"seed {seed}  {name:16} {interval}  recall {each['recall']:.2f}  AP {each['averagePrecision']:.3f}", flush=True)
        ratios.append(mined / random if random else float("inf"))
        without.append(none / mined if mined else float("inf"))
        print(
            f"seed {seed}  mined / random {ratios[-1]:.2f} (goal {GOAL_EACH})  none / mined {without[-1]:.1f} (goal {GOAL_NONE})",
            flush=True,
        )
    print(f"average mined / random {statistics.mean(ratios):.2f} (goal {GOAL_AVERAGE})")


if __name__ == "__main__":
    main()
