"""A real etcd and API server on loopback, without nodes, for the operator's integration tests."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

import yaml
from kubernetes.client import ApiClient, CoreV1Api
from kubernetes.config import new_client_from_config
from kubernetes.dynamic import DynamicClient
from testbed import binaries, objects
from testbed.control_plane import ControlPlane
from testbed.processes import Daemon

# https://kubernetes.io/docs/concepts/security/pod-security-admission/
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}


class ApiServer:
    """A running API server with its etcd, and a controller manager if a test asks for one.

    Each part can be stopped, killed and started again.

    `kubeconfig` is the path of the admin's kubeconfig. `client` and `dynamic` are the admin's
    clients.
    """

    def __init__(self, folder: str) -> None:
        api, etcd, etcd_peer, manager, scheduler = _free_ports(5)
        self._plane = ControlPlane(
            folder=folder,
            programs=binaries.assets_folder() or binaries.kubernetes_folder(),
            address="127.0.0.1",
            api_port=api,
            etcd_port=etcd,
            etcd_peer_port=etcd_peer,
            controller_manager_port=manager,
            scheduler_port=scheduler,
        )
        self._plane.prepare()
        self._etcd = Daemon("etcd", self._plane.etcd, folder)
        self._server = Daemon("kube-apiserver", self._plane.api_server, folder)
        self._manager: Daemon | None = None
        self.kubeconfig = self._plane.kubeconfig_file()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._close)
            self.start()
            self.client: ApiClient = new_client_from_config(self.kubeconfig)
            self.dynamic = DynamicClient(self.client)
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._close()

    # --- taking it down and bringing it back -----------------------------------------------------

    def start(self) -> None:
        """Start etcd and the API server if they do not run, and wait until both answer.

        They keep their ports.
        """
        self.start_etcd()
        self._server.start()
        self._server.wait_for("the API server is ready", self.ready, 60)

    def stop(self) -> None:
        """Stop the API server as an upgrade does: watches end, then connections are refused."""
        self._server.stop()

    def kill(self) -> None:
        """Kill the API server, as the loss of its machine would."""
        self._server.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def start_etcd(self) -> None:
        self._etcd.start()
        self._etcd.wait_for("etcd is healthy", lambda: _answers(f"{self._plane.etcd_url}/health"), 30)

    def kill_etcd(self) -> None:
        """Kill etcd. The API server continues, and answers with errors until `start_etcd`.

        Committed data stays.
        """
        self._etcd.kill()

    def expire_watches(self) -> None:
        """Compact the history of all objects and restart.

        A watch that continues from an earlier resource version gets 410 Gone.
        """
        CoreV1Api(self.client).create_namespace(
            {"metadata": {"name": f"later-{secrets.token_hex(4)}"}}
        )  # so that there is something to have missed
        revision = json.loads(self._etcd_call("range", {"key": _base64("/registry/health"), "count_only": True}))["header"]["revision"]
        self._etcd_call("compaction", {"revision": revision, "physical": True})
        self.restart()

    def pids(self) -> dict[str, int]:
        """The processes by name, for benchmarks."""
        return {"API server": self._server.pid, "etcd": self._etcd.pid}

    def ready(self) -> bool:
        """Return True if the API server answers that it is ready."""
        return _answers(f"{self._plane.url}/readyz", self._plane.certificate)

    # --- the controllers -------------------------------------------------------------------------

    @contextmanager
    def controllers(self, *names: str) -> Iterator[None]:
        """Run Kubernetes' controller manager while the context lasts.

        By default it runs all controllers (garbage collection, Jobs, namespaces, service accounts,
        …), or only the named ones (`garbage-collector-controller`, `job-controller`, …). There are
        no nodes, so pods are created and never run.
        """
        folder = self._plane.programs
        # Not part of KUBEBUILDER_ASSETS.
        if not os.path.exists(os.path.join(folder, "kube-controller-manager")):
            folder = binaries.kubernetes_folder()
        command = [
            os.path.join(folder, "kube-controller-manager"),
            *self._plane.controller_manager[1:],
            f"--controllers={','.join(names) or '*'}",
        ]
        self._manager = Daemon("kube-controller-manager", command, self._plane.folder)
        self._manager.start()
        try:
            url = f"https://127.0.0.1:{self._plane.controller_manager_port}/healthz"
            self._manager.wait_for("the controller manager is healthy", lambda: _answers(url, check_certificate=False), 60)
            yield
        finally:
            self._manager.stop()

    # --- what tests put into it ------------------------------------------------------------------

    def namespace(self, name: str = "", *, restricted: bool = False) -> str:
        """Create a namespace and return its name, which is unique if none is given.

        `restricted`: it enforces that Pod Security level.
        """
        name = name or f"team-{secrets.token_hex(4)}"
        CoreV1Api(self.client).create_namespace({"metadata": {"name": name, "labels": RESTRICTED if restricted else {}}})
        return name

    def kubeconfig_of(self, namespace: str, service_account: str) -> str:
        """Return the path of a kubeconfig with the rights of this service account only.

        The account is created if it does not exist.
        """
        token = objects.service_account_token(self.client, namespace, service_account)
        path = os.path.join(self._plane.folder, f"{namespace}.{service_account}.kubeconfig")
        with open(path, "w", encoding="utf-8") as stream:
            yaml.safe_dump(self._plane.kubeconfig(token), stream)
        return path

    def _etcd_call(self, method: str, body: dict[str, object]) -> bytes:
        """Call etcd's JSON gateway (https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/)."""
        request = urllib.request.Request(
            f"{self._plane.etcd_url}/v3/kv/{method}", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def _close(self) -> None:
        for daemon in (self._manager, self._server, self._etcd):
            if daemon is not None:
                daemon.kill()


def kuberay_definitions() -> Sequence[objects.Object]:
    """Return the CRDs of the kinds of KubeRay that negset uses.

    They are from KubeRay's Go module in the supported version.
    """
    folder = os.path.join(binaries.module_folder(binaries.KUBERAY), "config", "crd", "bases")
    return list(objects.read_objects(*(os.path.join(folder, f"ray.io_{plural}.yaml") for plural in ("rayclusters", "rayjobs"))))


def kueue_definitions() -> Sequence[objects.Object]:
    """Return the CRD of Kueue's Workload without its webhook: Kueue does not run here."""
    folder = os.path.join(binaries.module_folder(binaries.KUEUE), "config", "components", "crd", "bases")
    (definition,) = objects.read_objects(os.path.join(folder, "kueue.x-k8s.io_workloads.yaml"))
    definition["spec"].pop("conversion", None)
    definition["metadata"]["annotations"]["api-approved.kubernetes.io"] = "https://example.org"
    return [definition]


def _free_ports(count: int) -> list[int]:
    """Return free ports.

    All are held while they are chosen, so that they differ.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _answers(url: str, certificate: str | None = None, *, check_certificate: bool = True) -> bool:
    """Return True if a server answers 200 within two seconds."""
    try:
        context = None
        if url.startswith("https:"):
            context = ssl.create_default_context(cafile=certificate)
            if not check_certificate:
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(url, timeout=2, context=context):
            return True
    except (OSError, urllib.error.URLError):
        return False


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
