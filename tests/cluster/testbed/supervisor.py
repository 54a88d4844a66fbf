"""The first process of the cluster's own process namespace.

It starts the cluster's programs, starts again whichever ends, and lives until it is killed: then
the kernel ends every process of the namespace, containers included, and nothing of the cluster can
be left running.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time

from testbed import machine
from testbed.layout import Layout
from testbed.processes import Daemon

log = logging.getLogger(__name__)

_ROUND_SECONDS = 0.5
# Programs write here whatever they are told; each gets an empty folder of the cluster's in its
# place, so that the machine's own is untouched.
_PRIVATE_FOLDERS = ("/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")


def supervise(layout: Layout) -> None:
    """Runs the cluster. Does not return."""
    _make_private(layout.private)
    for node in layout.nodes:
        machine.run(
            "ip", "address", "add", f"{node.address}/32", "dev", "lo"
        )  # Kubernetes takes no loopback address, but takes this one on `lo`
    plane = layout.plane
    etcd, api_server = Daemon("etcd", plane.etcd, layout.logs), Daemon("kube-apiserver", plane.api_server, layout.logs)
    control = [
        etcd,
        api_server,
        Daemon("kube-controller-manager", plane.controller_manager, layout.logs),
        Daemon("kube-scheduler", plane.scheduler, layout.logs),
        Daemon("kube-proxy", plane.proxy, layout.logs),
        Daemon("s3", layout.s3.command, layout.logs),
    ]
    node_daemons = [(node, daemon) for node in layout.nodes for daemon in node.daemons(plane, layout.logs)]
    # The API server makes its certificate when it starts; the controller manager wants the file at
    # once.
    _keep(etcd, layout)
    _keep(api_server, layout)
    api_server.wait_for("its certificate is made", lambda: os.path.exists(plane.certificate), 60)
    for node in layout.nodes:
        node.prepare()
    while True:
        for daemon in control:
            _keep(daemon, layout)
        for node, daemon in node_daemons:
            if _keep(daemon, layout):
                # Its children are born there, so that losing the node is one kill.
                machine.make_cgroup(node.cgroup, daemon.pid)
        _reap()
        time.sleep(_ROUND_SECONDS)


def _keep(daemon: Daemon, layout: Layout) -> bool:
    """Starts a program that does not run and is not held down by a test.

    Returns whether it was started.
    """
    if daemon.running or os.path.exists(layout.held_down(daemon.name)):
        return False
    daemon.start()
    with open(layout.pid_file(daemon.name), "w", encoding="ascii") as stream:
        stream.write(str(daemon.pid))
    log.info("started %s as process %d", daemon.name, daemon.pid)
    return True


def _reap() -> None:
    """Takes note of the end of orphans: a first process inherits them, and without this they stay
    as zombies.
    """
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _make_private(folder: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
    os.makedirs("/run/netns")
    for path in _PRIVATE_FOLDERS:
        inside = os.path.join(folder, path.strip("/").replace("/", "-"))
        os.makedirs(inside, exist_ok=True)
        subprocess.run(["mount", "--bind", inside, path], check=True)


def make_mount_points(layout: Layout) -> None:
    """Makes the folders that `supervise` will cover, and notes the ones that were not there.

    Called outside the namespaces.
    """
    with open(layout.made_folders, "w", encoding="utf-8") as stream:
        for path in _PRIVATE_FOLDERS:
            if not os.path.exists(path):
                os.makedirs(path)
                stream.write(f"{path}\n")


def remove_mount_points(layout: Layout) -> None:
    """Removes the folders that `make_mount_points` made."""
    with contextlib.suppress(FileNotFoundError), open(layout.made_folders, encoding="utf-8") as stream:
        for path in stream.read().split():
            with contextlib.suppress(OSError):
                os.rmdir(path)
