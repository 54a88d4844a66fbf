"""A real Kubernetes on this one Linux machine, for tests: `cluster.py up`, `cluster.py down`. See README.md beside this file."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from testbed import cluster, machine, supervisor
from testbed.binaries import Unavailable
from testbed.processes import Failed

log = logging.getLogger("cluster")


def main() -> int:
    options = _options()
    logging.basicConfig(level=logging.INFO, format="%(relativeCreated)7.0f ms  %(message)s", stream=sys.stderr)
    started = time.monotonic()
    try:
        options.act(options)
    except (Unavailable, Failed) as problem:
        log.error("%s", problem)  # noqa: TRY400 -- the message is for the user; a traceback would bury it
        return 1
    log.info("%s took %.1f s", options.action, time.monotonic() - started)
    return 0


def _up(options: argparse.Namespace) -> None:
    machine.install_programs()
    one = cluster.Cluster(cluster.layout(options.nodes))
    one.up()
    print(f"export KUBECONFIG={one.kubeconfig}")


def _down(_: argparse.Namespace) -> None:
    cluster.Cluster(cluster.layout()).down()


def _supervise(options: argparse.Namespace) -> None:
    supervisor.supervise(cluster.layout(options.nodes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="cluster.py", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    up = actions.add_parser("up", help="start the cluster and print how to reach it")
    up.add_argument("--nodes", type=int, choices=(1, 2), default=1, help="how many nodes (default: 1)")
    up.set_defaults(act=_up)
    down = actions.add_parser("down", help="end the cluster and leave no trace of it but the cache")
    down.set_defaults(act=_down)
    supervise = actions.add_parser("supervise")
    supervise.add_argument("--nodes", type=int, required=True)
    supervise.set_defaults(act=_supervise)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
