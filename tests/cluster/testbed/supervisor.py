"""The first process of the cluster's own process namespace.

It starts the cluster's programs, and restarts each one that ends. When the supervisor is killed,
the kernel ends every process of the namespace, containers included. So nothing of the cluster is
left running.
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
# Programs write to these paths, whatever their settings. An empty folder of the cluster is mounted
# over each path, so that the machine's own folder is untouched.
_PRIVATE_FOLDERS = ("/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")


def supervise(layout: Layout) -> None:
    """Run the cluster. Does not return."""
    _make_private(layout.private)
    for node in layout.nodes:
        # Kubernetes refuses a loopback address, but accepts this one on `lo`.
        machine.run("ip", "address", "add", f"{node.address}/32", "dev", "lo")
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
    # The API server generates its certificate when it starts. The controller manager reads the file
    # at its start.
    _keep(etcd, layout)
    _keep(api_server, layout)
    api_server.wait_for("its certificate exists", lambda: os.path.exists(plane.certificate), 60)
    for node in layout.nodes:
        node.prepare()
    while True:
        for daemon in control:
            _keep(daemon, layout)
        for node, daemon in node_daemons:
            if _keep(daemon, layout):
                # Its children start in the same control group, so one kill ends the node.
                machine.make_cgroup(node.cgroup, daemon.pid)
        _reap()
        time.sleep(_ROUND_SECONDS)


def _keep(daemon: Daemon, layout: Layout) -> bool:
    """Start a program unless it runs or a test holds it down. Return whether it was started."""
    if daemon.running or os.path.exists(layout.held_down(daemon.name)):
        return False
    daemon.start()
    with open(layout.pid_file(daemon.name), "w", encoding="ascii") as stream:
        stream.write(str(daemon.pid))
    log.info("started %s as process %d", daemon.name, daemon.pid)
    return True


def _reap() -> None:
    """Reap orphans. The first process inherits them, and unreaped they stay as zombies."""
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
    """Create the folders that `supervise` mounts over, and record which ones were missing.

    Call it outside the namespaces.
    """
    with open(layout.made_folders, "w", encoding="utf-8") as stream:
        for path in _PRIVATE_FOLDERS:
            if not os.path.exists(path):
                os.makedirs(path)
                stream.write(f"{path}\n")


def remove_mount_points(layout: Layout) -> None:
    """Delete the folders that `make_mount_points` created."""
    with contextlib.suppress(FileNotFoundError), open(layout.made_folders, encoding="utf-8") as stream:
        for path in stream.read().split():
            with contextlib.suppress(OSError):
                os.rmdir(path)
