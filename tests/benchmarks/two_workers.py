"""Check that two processes train one round together, and both end with the chief's round.

    python -m tests.benchmarks.two_workers [--steps 20]

They use TF_CONFIG and MultiWorkerMirroredStrategy, as the pods of an Indexed Job do. This is not a
test of the suite, because it takes minutes: each process builds the whole graph. TensorFlow cannot
choose the ports of collective operations itself, so the program reserves two free ones.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

from tests.local.training_data import make_revision, manifest, step
from tests.progress import Silent

from negset_api import names
from negset_api.values import Round, decode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store

WORKERS = 2


def work(url, steps):
    from negset_jobs.training.stage import train_round

    dataset = manifest(steps=steps, workers=WORKERS)
    value = train_round(Store(url), dataset, step(dataset, 1), Access(), Silent())
    print(value.losses[-1].total, flush=True)


def free_ports():
    sockets = [socket.socket() for _ in range(WORKERS)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def start(index, cluster, url, steps):
    task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": index}}
    command = [sys.executable, "-m", "tests.benchmarks.two_workers", "--work", url, "--steps", str(steps)]
    return subprocess.Popen(command, env={**os.environ, "TF_CONFIG": json.dumps(task)}, stdout=subprocess.PIPE, text=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.steps)
        return
    with tempfile.TemporaryDirectory() as root:
        store = Store(f"{root}/revision")
        make_revision(store)
        cluster = [f"127.0.0.1:{port}" for port in free_ports()]
        began = time.perf_counter()
        processes = [start(index, cluster, store.url, arguments.steps) for index in range(WORKERS)]
        losses = [process.communicate()[0].strip() for process in processes]
        if any(process.returncode for process in processes) or len(set(losses)) != 1:
            sys.exit(f"the workers ended with {[process.returncode for process in processes]} and the losses {losses}")
        value = decode(store.read(names.round_marker(1)), Round)
        print(f"{WORKERS} workers, {value.steps} steps: {value.steps_per_second:.1f} steps/s, {time.perf_counter() - began:.0f} s in all,")
        print(
            f"loss {value.losses[-1].total:.3f}, {value.measured_negative_percent:.1f} % negatives fed, {len(store.keys())} files in the store"
        )


if __name__ == "__main__":
    main()
