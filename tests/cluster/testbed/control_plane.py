"""The commands and credentials of a control plane. Nothing is started here."""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import secrets
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

SERVICE_NETWORK = "10.96.0.0/16"
POD_NETWORK = "10.244.0.0/16"  # node N has 10.244.N.0/24 of it
CLUSTER_DNS = "10.96.0.10"
CLUSTER_DOMAIN = "cluster.local"

ADMIN = "admin"
_COMPONENTS = {
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-scheduler": "system:kube-scheduler",
    "kube-proxy": "system:kube-proxy",
}


@dataclasses.dataclass(frozen=True)
class ControlPlane:
    """An etcd, an API server, a controller manager and a scheduler on one machine.

    folder: the data, the credentials and the kubeconfigs.
    programs: the folder with the programs.
    address: where clients and pods reach the API server. With a loopback address there can be no
    pods.
    """

    folder: str
    programs: str
    address: str
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    controller_manager_port: int
    scheduler_port: int

    @property
    def url(self) -> str:
        return f"https://{self.address}:{self.api_port}"

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self.etcd_port}"

    @property
    def certificate(self) -> str:
        """Return the path of the certificate that the API server generates at its first start."""
        return os.path.join(self.folder, "apiserver.crt")

    def prepare(self, *nodes: str) -> None:
        """Write the credentials.

        They are the key of the service accounts' tokens, and one token each for the admin, the
        components and the nodes' kubelets.
        """
        os.makedirs(self.folder, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._write("service-accounts.key", private)
        self._write("service-accounts.pub", public)
        rows = [(ADMIN, ADMIN, "system:masters")]
        rows += [(name, user, "") for name, user in _COMPONENTS.items()]
        rows += [(node, f"system:node:{node}", "system:nodes") for node in nodes]
        tokens = {name: secrets.token_hex(16) for name, _, _ in rows}
        self._write("tokens.csv", "".join(f'{tokens[name]},{user},{name},"{groups}"\n' for name, user, groups in rows).encode())
        for name, token in tokens.items():
            self._write(f"{name}.kubeconfig", yaml.safe_dump(self.kubeconfig(token)).encode())

    def kubeconfig(self, token: str) -> dict[str, Any]:
        """Return a kubeconfig with `token`.

        It names the file of the API server's certificate, which exists once the API server has run.
        """
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": self.certificate}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }

    def kubeconfig_file(self, name: str = ADMIN) -> str:
        """Return the path of the kubeconfig of the admin, a component or a node."""
        return os.path.join(self.folder, f"{name}.kubeconfig")

    @property
    def etcd(self) -> list[str]:
        peer = f"http://127.0.0.1:{self.etcd_peer_port}"
        return [
            self._program("etcd"),
            f"--data-dir={self.folder}/etcd",
            "--unsafe-no-fsync",  # a test's data need not outlive the machine
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        ]

    @property
    def api_server(self) -> list[str]:
        command = [
            self._program("kube-apiserver"),
            f"--etcd-servers={self.etcd_url}",
            f"--cert-dir={self.folder}",
            f"--secure-port={self.api_port}",
            f"--bind-address={self.address}",
            f"--advertise-address={self.address}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder}/service-accounts.pub",
            f"--service-account-signing-key-file={self.folder}/service-accounts.key",
            f"--token-auth-file={self.folder}/tokens.csv",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
        ]
        if ipaddress.ip_address(self.address).is_loopback:
            # Kubernetes refuses a loopback address as an endpoint of the Service kubernetes.
            command.append("--endpoint-reconciler-type=none")
        return command

    @property
    def controller_manager(self) -> list[str]:
        return [
            self._program("kube-controller-manager"),
            f"--kubeconfig={self.kubeconfig_file('kube-controller-manager')}",
            f"--service-account-private-key-file={self.folder}/service-accounts.key",
            f"--root-ca-file={self.certificate}",
            f"--secure-port={self.controller_manager_port}",
            "--bind-address=127.0.0.1",
            "--use-service-account-credentials",
            "--leader-elect=false",
        ]

    @property
    def scheduler(self) -> list[str]:
        return [
            self._program("kube-scheduler"),
            f"--kubeconfig={self.kubeconfig_file('kube-scheduler')}",
            f"--secure-port={self.scheduler_port}",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ]

    @property
    def proxy(self) -> list[str]:
        """Return the command of the one kube-proxy. All nodes share one network."""
        return [
            self._program("kube-proxy"),
            f"--kubeconfig={self.kubeconfig_file('kube-proxy')}",
            "--hostname-override=node1",
            "--proxy-mode=iptables",
            f"--cluster-cidr={POD_NETWORK}",
            "--conntrack-max-per-core=0",  # 0 leaves the machine's limits alone
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ]

    def _program(self, name: str) -> str:
        return os.path.join(self.programs, name)

    def _write(self, name: str, content: bytes) -> None:
        """Write a file that only its owner can read."""
        with open(os.open(os.path.join(self.folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
