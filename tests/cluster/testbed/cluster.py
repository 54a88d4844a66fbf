"""Start the test cluster, inject faults into it, and stop it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time

from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient

from testbed import machine, objects, supervisor
from testbed.binaries import Unavailable, cache_folder, kubernetes_folder
from testbed.layout import Layout
from testbed.node import Node
from testbed.processes import Failed, tail

log = logging.getLogger(__name__)


def layout(node_count: int = 0) -> Layout:
    """Return the layout of a cluster of `node_count` nodes; with 0, of the running cluster."""
    folder = cache_folder("cluster")
    if not node_count:
        node_count = sum(name.startswith("node") for name in os.listdir(folder))
    weed = shutil.which("weed") or os.path.join(os.path.dirname(sys.executable), "weed")
    return Layout(folder, node_count, weed)


class Cluster:
    """The cluster of this machine.

    A fault names a program: `kube-apiserver`, `etcd`, `kubelet-node2`, `s3`, ….
    """

    def __init__(self, where: Layout) -> None:
        self.layout = where
        self.kubeconfig = where.plane.kubeconfig_file()

    @property
    def running(self) -> bool:
        return self._supervisor() is not None

    def up(self) -> None:
        """Start the cluster, and wait until every node is Ready.

        Load the containers' images before or afterwards.
        """
        if self.running:
            raise Unavailable(f"The test cluster is already up. To use it: export KUBECONFIG={self.kubeconfig}")
        kubernetes_folder()
        self.down()
        where = self.layout
        for folder in (where.folder, where.logs, os.path.dirname(where.pid_file(""))):
            os.makedirs(folder, exist_ok=True)
        for node in where.nodes:
            os.makedirs(node.folder)
        where.plane.prepare(*(node.name for node in where.nodes))
        where.s3.prepare()
        supervisor.make_mount_points(where)
        machine.make_network()
        self._start_supervisor()
        self.wait_until_ready()

    def down(self) -> None:
        """Stop the cluster, and delete everything but the programs and images in the cache."""
        process = self._supervisor()
        if process is not None:
            # The kernel reports its end only after every process in its namespace has ended.
            os.kill(_first_child(process), signal.SIGKILL)
            while self._supervisor() is not None:
                time.sleep(0.05)
        machine.remove_network()
        for node in self.layout.nodes:
            machine.kill_cgroup(node.cgroup)
            machine.remove_cgroup(node.cgroup)
        supervisor.remove_mount_points(self.layout)
        shutil.rmtree(self.layout.folder)

    def dynamic(self) -> DynamicClient:
        """Return a client with the admin's rights."""
        return DynamicClient(new_client_from_config(self.kubeconfig))

    # --- faults ---

    def kill(self, program: str) -> None:
        """End a program by SIGKILL. The supervisor restarts it at once."""
        with open(self.layout.pid_file(program), encoding="ascii") as stream:
            self.enter("--pid", "--mount", command=("kill", "-KILL", stream.read()))

    def hold_down(self, program: str) -> None:
        """End a program by SIGKILL. It is not restarted until `release`."""
        with open(self.layout.held_down(program), "w", encoding="ascii"):
            pass
        self.kill(program)

    def release(self, program: str) -> None:
        """Allow a held down program to start."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(self.layout.held_down(program))

    def kill_processes(self, word: str) -> int:
        """Kill every process in the nodes' containers whose command line contains `word`.

        Return how many there were.
        """
        return sum(machine.kill_processes(node.cgroup, word) for node in self.layout.nodes)

    def lose_node(self, number: int) -> None:
        """Kill every process of a node, containers included, as if its power failed.

        The node stays down until `return_node`.
        """
        node = self._node(number)
        for program in (f"containerd-{node.name}", f"kubelet-{node.name}"):
            with open(self.layout.held_down(program), "w", encoding="ascii"):
                pass
        machine.kill_cgroup(node.cgroup)

    def return_node(self, number: int) -> None:
        """Allow a lost node to start, as after a reboot."""
        for program in ("containerd", "kubelet"):
            self.release(f"{program}-{self._node(number).name}")

    # --- parts ---

    def enter(self, *namespaces: str, command: tuple[str, ...]) -> str:
        """Run a command inside namespaces of the cluster, and return its standard output."""
        process = self._supervisor()
        if process is None:
            raise Unavailable("The test cluster is not up.")
        return machine.run("nsenter", f"--target={_first_child(process)}", *namespaces, "--", *command)

    def _node(self, number: int) -> Node:
        return self.layout.nodes[number - 1]

    def _start_supervisor(self) -> None:
        script = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "cluster.py")
        namespaces = [
            "nsenter",
            f"--net=/run/netns/{machine.NETWORK_NAMESPACE}",
            "unshare",
            "--fork",
            "--pid",
            "--mount",
            "--mount-proc",
            "--kill-child",
        ]
        inside = [sys.executable, script, "supervise", f"--nodes={self.layout.node_count}"]
        with open(os.path.join(self.layout.logs, "supervisor.log"), "ab") as stream:
            # Not `ip netns exec`: it remounts /sys without the control groups.
            process = subprocess.Popen(
                [*namespaces, *inside], stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        with open(self.layout.supervisor_pid, "w", encoding="ascii") as stream:
            stream.write(str(process.pid))
        # While the process changes from `nsenter` to `unshare`, `_supervisor` cannot recognise its
        # command line. Once it has a child, its command line is final.
        objects.wait_for("the cluster's first process is there", lambda: process.poll() is not None or _children(process.pid), seconds=30)

    def wait_until_ready(self) -> None:
        """Wait until the API server answers and every node is Ready."""
        deadline = time.monotonic() + 120
        while not self._nodes_ready():
            if not self.running:
                supervisor_log = os.path.join(self.layout.logs, "supervisor.log")
                raise Failed(f"The cluster's first process ended. Its log, {supervisor_log}, ends with:\n{tail(supervisor_log)}")
            if time.monotonic() > deadline:
                raise Failed(f"Not every node was Ready in 120 s. The logs are in {self.layout.logs}.")
            time.sleep(0.25)

    def _nodes_ready(self) -> bool:
        if not os.path.exists(self.layout.plane.certificate):
            return False
        try:
            nodes = objects.get(self.dynamic(), "/api/v1/nodes")["items"]
        # The client raises many kinds of errors while the server starts. The caller has a deadline.
        except Exception as unreachable:  # noqa: BLE001
            log.debug("the API server does not answer yet: %s", unreachable)
            return False
        return len(nodes) == self.layout.node_count and all(objects.condition(node, "Ready") == "True" for node in nodes)

    def _supervisor(self) -> int | None:
        """Return the process id of the supervisor, or None if the cluster is not up."""
        try:
            with open(self.layout.supervisor_pid, encoding="ascii") as stream:
                process = int(stream.read())
            with open(f"/proc/{process}/cmdline", "rb") as stream:
                return process if b"--kill-child" in stream.read() else None
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None


def _first_child(process: int) -> int:
    return _children(process)[0]


def _children(process: int) -> list[int]:
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as stream:
        return [int(word) for word in stream.read().split()]
