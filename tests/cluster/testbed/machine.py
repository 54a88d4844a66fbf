"""What a test cluster uses of its Linux machine: packages, a network, control groups."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import shutil
import signal
import subprocess
import time

from testbed.binaries import Unavailable

log = logging.getLogger(__name__)

# The cluster has its own network namespace. One veth pair connects it to the machine. Node N has
# the address 10.200.0.N.
NETWORK_NAMESPACE = "negset"
MACHINE_LINK = "negset0"
CLUSTER_LINK = "up0"
MACHINE_ADDRESS = "10.200.1.1"  # the machine, as pods see it
_CLUSTER_ADDRESS = "10.200.1.2"
NODES_NETWORK = "10.200.0.0/24"

CNI_PLUGINS = "/usr/lib/cni"
_DEBIAN_PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    f"{CNI_PLUGINS}/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "debootstrap": "debootstrap",
}


def run(*command: str, check: bool = True) -> str:
    """Run a command and return its standard output.

    Raise Unavailable with its standard error if it fails, unless `check` is false.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise Unavailable(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def install_programs() -> None:
    """Install the Debian packages of the missing programs."""
    missing = sorted(package for program, package in _DEBIAN_PACKAGES.items() if not shutil.which(program))
    if not missing:
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(f"A test cluster needs root, and these Debian packages: {', '.join(missing)}.")
    log.info("installing %s", ", ".join(missing))
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    run("apt-get", "update")
    run("apt-get", "install", "--yes", "--no-install-recommends", *missing)


def make_network() -> None:
    """Create the cluster's network namespace and its link to the machine."""
    if MACHINE_LINK in run("ip", "-brief", "link", "show"):
        raise Unavailable(f"The network link {MACHINE_LINK} exists: a test cluster is up, or ended badly. Run `make cluster-down` first.")
    run("ip", "netns", "add", NETWORK_NAMESPACE)
    run("ip", "link", "add", MACHINE_LINK, "type", "veth", "peer", "name", CLUSTER_LINK, "netns", NETWORK_NAMESPACE)
    run("ip", "address", "add", f"{MACHINE_ADDRESS}/24", "dev", MACHINE_LINK)
    run("ip", "link", "set", MACHINE_LINK, "up")
    for link in ("lo", CLUSTER_LINK):
        run("ip", "-n", NETWORK_NAMESPACE, "link", "set", link, "up")
    run("ip", "-n", NETWORK_NAMESPACE, "address", "add", f"{_CLUSTER_ADDRESS}/24", "dev", CLUSTER_LINK)
    run("ip", "-n", NETWORK_NAMESPACE, "route", "add", "default", "via", MACHINE_ADDRESS)
    run("ip", "route", "add", NODES_NETWORK, "via", _CLUSTER_ADDRESS)


def remove_network() -> None:
    """Delete the namespace, and with it the link, its route, the bridges and the iptables rules."""
    run("ip", "link", "delete", MACHINE_LINK, check=False)
    run("ip", "netns", "delete", NETWORK_NAMESPACE, check=False)


def cgroups(name: str) -> list[str]:
    """Return the folders of a control group: one per controller in version 1, one in version 2."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
        return [f"/sys/fs/cgroup/{name}"]
    return [
        os.path.join(controller, name)
        for controller in glob.glob("/sys/fs/cgroup/*/")
        if os.path.exists(os.path.join(controller, "cgroup.procs"))
    ]


def make_cgroup(name: str, process: int | None = None) -> None:
    """Create a control group under every controller, and move a process into it."""
    for folder in cgroups(name):
        os.makedirs(folder, exist_ok=True)
        if process is not None:
            with contextlib.suppress(OSError), open(os.path.join(folder, "cgroup.procs"), "w", encoding="ascii") as stream:
                # A controller that must be configured first (cpuset) may refuse. Others suffice.
                stream.write(str(process))


def kill_cgroup(name: str) -> None:
    """Kill every process of a control group and its subgroups, also if they fork fast."""
    while processes := _processes(name):
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def kill_processes(name: str, word: str) -> int:
    """Kill the processes of a control group and its subgroups whose command line contains `word`.

    Return how many there were.
    """
    killed = 0
    for process in _processes(name):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError), open(f"/proc/{process}/cmdline", "rb") as stream:
            if word.encode() in stream.read():
                os.kill(process, signal.SIGKILL)
                killed += 1
    return killed


def remove_cgroup(name: str) -> None:
    """Delete an empty control group with its subgroups."""
    for top in cgroups(name):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _processes(name: str) -> set[int]:
    found: set[int] = set()
    for top in cgroups(name):
        for folder, _, _ in os.walk(top):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, "cgroup.procs"), encoding="ascii") as stream:
                found.update(int(line) for line in stream)
    return found
