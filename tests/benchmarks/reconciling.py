"""Measure how fast the operator reacts and how much memory it uses, with a real API server.

    .venv/bin/python tests/benchmarks/reconciling.py [--burst 200] [--objects 1000] [--training]

It starts etcd and an API server on loopback, as the tests do, so it needs `KUBEBUILDER_ASSETS` or
Go. `negset-operator` runs in its own process.

It creates `--burst` NegativeDatasets at once, from several connections. For each it measures the
time from the API server's answer to the create until a watch sees the first child. The first child
is a RayJob; with `--training` it is the Job that checks the configuration. Then it creates datasets
up to `--objects`, and reads the operator's resident memory from /proc.

All programs share this machine's cores. So it also prints the time of a create at the API server
alone, which is a lower limit.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), folder) for folder in ("api_server", "cluster")]

from launcher import ApiServer, kuberay_definitions  # noqa: E402
from operators import SPEC, TRAINING  # noqa: E402
from testbed import objects  # noqa: E402

from negset_api import names, schema  # noqa: E402
from negset_operator.kube.cache import Cache  # noqa: E402
from negset_operator.kube.client import DATASET, JOB, RAY_JOB, Client, Kind, connect  # noqa: E402
from negset_operator.kube.objects import Dataset, Job, RayJob  # noqa: E402
from negset_operator.kube.reflector import Source  # noqa: E402
from negset_operator.kube.streams import Streams  # noqa: E402
from negset_operator.kube.watches import Watches  # noqa: E402

CREATORS = 8
TYPES: dict[Kind, type[RayJob | Job]] = {RAY_JOB: RayJob, JOB: Job}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--burst", type=int, default=200)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--training", action="store_true", help="the datasets train: the first child is a Job, not a RayJob")
    options = parser.parse_args()
    spec = {**SPEC, **TRAINING} if options.training else SPEC
    with tempfile.TemporaryDirectory() as folder, ApiServer(folder) as server:
        objects.define(server.dynamic, [schema.custom_resource_definition(), *kuberay_definitions()])
        namespace = server.namespace()
        client = connect(server.kubeconfig)
        kind = JOB if options.training else RAY_JOB
        print(
            f"creating one {kind.kind} takes the API server alone {1000 * cost_of_a_child(client, server.namespace(), spec, kind):.1f} ms"
        )
        seen = Seen(client, namespace, kind)
        operator = start_operator(server.kubeconfig)
        try:
            print(f"operator, idle: {resident(operator.pid):.0f} MB")
            create(client, namespace, spec, "warm", 5)
            seen.wait(5)
            processes = {"operator": operator.pid, **server.pids()}
            before = {name: cpu(pid) for name, pid in processes.items()}
            answered = create(client, namespace, spec, "burst", options.burst)
            seen.wait(5 + options.burst)
            spent = [f"{name} {1000 * (cpu(pid) - before[name]) / options.burst:.1f} ms" for name, pid in processes.items()]
            report(sorted(seen.first[name] - moment for name, moment in answered.items()))
            print(f"CPU per dataset, until the last child existed: {', '.join(spent)}")
            print(f"operator, {5 + options.burst} datasets: {resident(operator.pid):.0f} MB")
            create(client, namespace, spec, "more", options.objects - options.burst - 5)
            seen.wait(options.objects)
            time.sleep(5)
            print(
                f"operator, {options.objects} datasets: {resident(operator.pid):.0f} MB resident, {resident(operator.pid, 'VmHWM'):.0f} MB at most"
            )
        finally:
            operator.terminate()
            operator.wait(timeout=20)
            seen.stop()


class Seen:
    """Records when a watch first saw a child of each dataset."""

    def __init__(self, client: Client, namespace: str, kind: Kind) -> None:
        self.first: dict[str, float] = {}
        self._news = threading.Condition()
        cache: Cache[RayJob | Job] = Cache(lambda item: (item.metadata.namespace, item.metadata.owner_references[0].name))
        self._watches = Watches(partial(Streams.connected, client))
        self._watches.add(Source(kind=kind, as_type=TYPES[kind], namespace=namespace), cache, self._changed)
        self._watches.start()

    def wait(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.first) >= count, timeout=300), f"only {len(self.first)} of {count} children"

    def stop(self) -> None:
        self._watches.stop()

    def _changed(self, key: tuple[str, str]) -> None:
        with self._news:
            self.first.setdefault(key[1], time.monotonic())
            self._news.notify_all()


def create(client: Client, namespace: str, spec: dict[str, Any], prefix: str, count: int) -> dict[str, float]:
    """Create datasets as fast as the API server accepts them. Return when each was answered."""

    def one(number: int) -> tuple[str, float]:
        name = f"{prefix}-{number}"
        body = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
        client.create(DATASET, body, Dataset)
        return name, time.monotonic()

    started = time.monotonic()
    with ThreadPoolExecutor(CREATORS) as threads:
        answered = dict(threads.map(one, range(count)))
    print(f"created {count} datasets in {time.monotonic() - started:.2f} s")
    return answered


def cost_of_a_child(client: Client, namespace: str, fields: dict[str, Any], kind: Kind) -> float:
    """Return the seconds that creating a first child takes on an idle API server: median of 30."""
    from negset_api import stages, validation
    from negset_api.revision import revision
    from negset_operator import naming
    from negset_operator.config import Config
    from negset_operator.manifests.subject import Subject
    from negset_operator.policies.creation import BUILDERS

    manifest = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "cost", "namespace": namespace}, "spec": fields}
    spec = validation.parse(manifest).spec
    subject = Subject(
        namespace=namespace,
        name="cost",
        uid="11111111-1111-1111-1111-111111111111",
        spec=spec,
        manifest=fields,
        revision=revision(spec),
        spec_hash=naming.spec_hash(spec),
        config=Config(),
    )
    first, times = stages.steps(spec)[0], []
    for number in range(30):
        started = time.monotonic()
        client.create(kind, BUILDERS[first.kind](subject, f"cost-{number}", first), TYPES[kind])
        times.append(time.monotonic() - started)
    return statistics.median(times)


def start_operator(kubeconfig: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "negset_operator.main",
        "--kubeconfig",
        kubeconfig,
        "--listen",
        "127.0.0.1:0",
        "--log-level",
        "warning",
    ]
    process = subprocess.Popen(command, text=True)
    time.sleep(5)
    return process


def cpu(pid: int) -> float:
    """Return the CPU seconds that a process has used so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
        user, system = stream.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def resident(pid: int, field: str = "VmRSS") -> float:
    """Return a memory field of a process in megabytes (10^6 bytes)."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as stream:
        found = re.search(rf"{field}:\s+(\d+) kB", stream.read())
    assert found
    return int(found[1]) * 1024 / 1e6


def report(seconds: list[float]) -> None:
    def quantile(share: float) -> float:
        return seconds[min(int(share * len(seconds)), len(seconds) - 1)]

    print(
        f"from create to child, {len(seconds)} at once: p50 {quantile(0.5):.2f} s, p99 {quantile(0.99):.2f} s, maximum {seconds[-1]:.2f} s"
    )


if __name__ == "__main__":
    main()
