"""The programs of a test cluster, built once from pinned Go modules into a cache outside the tree.

The name of a program's folder contains its version or a digest of its source:
`$NEGSET_CACHE/bin/kubernetes-<digest>/`, `$NEGSET_CACHE/bin/helm-v3.21.3/`, …. So a changed pin is
built beside the old one, and no program is ever stale.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator

log = logging.getLogger(__name__)

KUBERNETES_VERSION = "v1.36.2"
KUBERNETES_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet")

_KUBERNETES_SOURCE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kubernetes")


class Unavailable(Exception):
    """A program of the test cluster is missing and cannot be built here. The message says why."""


@dataclasses.dataclass(frozen=True)
class Module:
    """A Go module at a version.

    `sum` is its digest as in `go.sum` files. The module's own `go.sum` pins its dependencies.
    """

    path: str
    version: str
    sum: str


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that is built from the package `package` of `module`, with Go's build tags."""

    name: str
    module: Module
    package: str
    tags: tuple[str, ...] = ()


KUBERAY = Module("github.com/ray-project/kuberay/ray-operator", "v1.6.2", "h1:XUckRswLMyk71D00L62d2Vanh0fVkNqu56+IF/rr+O0=")
KUEUE = Module("sigs.k8s.io/kueue", "v0.19.1", "h1:5zAYwG/F8z19noTwCIHsTEckttrThAVJvaskWMT6pYg=")
COREDNS = Module("github.com/coredns/coredns", "v1.14.7", "h1:UPDkn4QN+xyNfjz3U5ldgoLszDYpMZEJoy3+ze9au4Q=")
HELM = Module("helm.sh/helm/v3", "v3.21.3", "h1:wkamdwI3liEkW6wI1l9aGqQZGxcTKyt8kx0qJLPcmCg=")
PROMETHEUS = Module("github.com/prometheus/prometheus", "v0.313.0", "h1:DH5Rcybaem9nuKaFYtY+Kmogmp/NiNPpS9WBIRlSy6E=")  # 3.13

PROGRAMS = {
    program.name: program
    for program in (
        Program("kuberay-operator", KUBERAY, "."),
        Program("kueue", KUEUE, "./cmd/kueue"),
        Program("coredns", COREDNS, "."),
        Program("helm", HELM, "./cmd/helm"),
        # Without the clients for each cloud's service discovery.
        Program("promtool", PROMETHEUS, "./cmd/promtool", tags=("remove_all_sd",)),
        Program("prometheus", PROMETHEUS, "./cmd/prometheus", tags=("remove_all_sd", "enable_kubernetes_sd")),
    )
}


def cache_folder(*parts: str) -> str:
    """Return a folder of the cache: `$NEGSET_CACHE`, by default `~/.cache/negset`.

    Create the folder if it is missing.
    """
    root = os.environ.get("NEGSET_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "negset")
    folder = os.path.join(root, *parts)
    os.makedirs(folder, exist_ok=True)
    return folder


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock across processes, so that two sessions do not build the same program at once."""
    with open(os.path.join(cache_folder("locks"), f"{name}.lock"), "w", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def assets_folder() -> str | None:
    """Return the folder in `KUBEBUILDER_ASSETS`, or None if the variable is not set.

    Raise Unavailable if it lacks etcd or kube-apiserver.
    """
    folder = os.environ.get("KUBEBUILDER_ASSETS")
    if not folder:
        return None
    for name in ("etcd", "kube-apiserver"):
        if not os.access(os.path.join(folder, name), os.X_OK):
            raise Unavailable(f"KUBEBUILDER_ASSETS is {folder}, which has no executable {name}.")
    return folder


def kubernetes_folder() -> str:
    """Return the folder that has every name in `KUBERNETES_PROGRAMS`.

    Build the programs if they are missing, in about 5 minutes on two cores.
    """
    flags = ["-trimpath", "-ldflags", f"-s -w {_version_stamp()}"]
    digest = hashlib.sha256(" ".join(flags).encode())
    for name in ("go.mod", "go.sum", "main.go"):
        with open(os.path.join(_KUBERNETES_SOURCE, name), "rb") as stream:
            digest.update(stream.read())
    folder = cache_folder("bin", f"kubernetes-{digest.hexdigest()[:12]}")
    binary = os.path.join(folder, "kubernetes")
    _build(binary, flags, ".", _KUBERNETES_SOURCE)
    for name in KUBERNETES_PROGRAMS:
        with contextlib.suppress(FileExistsError):
            os.symlink("kubernetes", os.path.join(folder, name))
    return folder


def pause_program() -> str:
    """Return the path of the program that holds a pod's namespaces open. Build it if missing."""
    path = os.path.join(cache_folder("bin", "pause-1"), "pause")
    _build(path, ["-trimpath", "-ldflags", "-s -w"], "./pause", _KUBERNETES_SOURCE)
    return path


def program(name: str) -> str:
    """Return the path of a program of `PROGRAMS`.

    Build the program if it is missing, in 1 to 3 minutes on two cores.
    """
    wanted = PROGRAMS[name]
    path = os.path.join(cache_folder("bin", f"{name}-{wanted.module.version}"), name)
    if not os.path.exists(path):
        tags = ["-tags", ",".join(wanted.tags)] if wanted.tags else []
        _build(path, ["-trimpath", "-ldflags", "-s -w", *tags], wanted.package, module_folder(wanted.module))
    return path


@functools.cache
def module_folder(module: Module) -> str:
    """Return the folder of a module's source in Go's module cache. Download it if missing.

    Raise Unavailable if its digest differs from the pin.
    """
    # `go install path@version` requests the list of versions, which some proxies refuse. A download
    # by version does not.
    answer = json.loads(_go(["mod", "download", "-json", f"{module.path}@{module.version}"], os.sep))
    if answer["Sum"] != module.sum:
        raise Unavailable(f"The module {module.path} {module.version} has the digest {answer['Sum']}, expected {module.sum}.")
    return str(answer["Dir"])


def _version_stamp() -> str:
    """Return linker flags that set the components' version.

    Without them the API server reports v0.0.0-master, and Kueue refuses to work with it.
    """
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES_VERSION, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{key}={value}" for package in packages for key, value in values.items())


def _build(binary: str, flags: list[str], package: str, source: str) -> None:
    """Build the program `binary` unless it exists. A failed build leaves no file."""
    if os.path.exists(binary):
        return
    name = os.path.basename(binary)
    with locked(name):
        if os.path.exists(binary):
            return
        log.info("building %s from pinned Go modules; this takes minutes the first time", name)
        started = time.monotonic()
        unfinished = f"{binary}.{os.getpid()}"
        try:
            _go(["build", *flags, "-o", unfinished, package], source)
            os.rename(unfinished, binary)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(unfinished)
        log.info("built %s in %.0f s", name, time.monotonic() - started)


def _go(arguments: list[str], folder: str) -> str:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("The programs of a test cluster are built from Go modules, but there is no `go` on the PATH. Install Go.")
    variables = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    done = subprocess.run([go, *arguments], cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"`go {' '.join(arguments)}` failed in {folder}:\n{done.stderr.strip()[-2000:] or done.stdout.strip()[-2000:]}")
    return done.stdout
