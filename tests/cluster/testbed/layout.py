"""The paths and addresses of a test cluster. Nothing is started here."""

from __future__ import annotations

import dataclasses
import json
import os

from testbed.binaries import cache_folder, kubernetes_folder
from testbed.control_plane import ControlPlane
from testbed.node import Node

ADDRESS = "10.200.0.1"  # the control plane's and node1's


@dataclasses.dataclass(frozen=True)
class Account:
    """An account of the S3 server and its bucket. The admin has no bucket and may use all."""

    name: str
    bucket: str

    @property
    def access_key(self) -> str:
        return self.name

    @property
    def secret_key(self) -> str:
        return f"{self.name}-secret"  # only the tests can reach the server


ADMIN_ACCOUNT = Account("admin", "")
TENANT_ACCOUNTS = (Account("team-a", "team-a"), Account("team-b", "team-b"))


@dataclasses.dataclass(frozen=True)
class S3:
    """A SeaweedFS with its S3 API, conditional writes included.

    The machine and pods reach it at `endpoint`.
    """

    folder: str
    program: str

    @property
    def endpoint(self) -> str:
        return f"http://{ADDRESS}:8333"

    @property
    def command(self) -> list[str]:
        return [
            self.program,
            "mini",
            f"-dir={self.folder}",
            f"-ip={ADDRESS}",
            f"-ip.bind={ADDRESS}",
            "-s3.port=8333",
            f"-s3.config={self.folder}.json",
            f"-bucket={','.join(account.bucket for account in TENANT_ACCOUNTS)}",
            "-admin.ui=false",
            "-webdav=false",
            "-master.telemetry=false",
        ]

    def prepare(self) -> None:
        """Write the accounts and their rights."""
        os.makedirs(self.folder, exist_ok=True)
        actions = ("Read", "Write", "List", "Tagging")
        identities = [
            {
                "name": account.name,
                "credentials": [{"accessKey": account.access_key, "secretKey": account.secret_key}],
                "actions": [f"{action}:{account.bucket}" for action in actions] if account.bucket else ["Admin", *actions],
            }
            for account in (ADMIN_ACCOUNT, *TENANT_ACCOUNTS)
        ]
        with open(f"{self.folder}.json", "w", encoding="utf-8") as stream:
            json.dump({"identities": identities}, stream)


@dataclasses.dataclass(frozen=True)
class Layout:
    """The one test cluster of this machine.

    folder: what is deleted with the cluster.
    weed: the path of SeaweedFS' program.
    """

    folder: str
    node_count: int
    weed: str

    @property
    def plane(self) -> ControlPlane:
        return ControlPlane(
            folder=os.path.join(self.folder, "control-plane"),
            programs=kubernetes_folder(),
            address=ADDRESS,
            api_port=6443,
            etcd_port=2379,
            etcd_peer_port=2380,
            controller_manager_port=10257,
            scheduler_port=10259,
        )

    @property
    def nodes(self) -> list[Node]:
        numbers = range(1, self.node_count + 1)
        return [Node(n, os.path.join(self.folder, f"node{n}"), cache_folder("containerd", f"node{n}")) for n in numbers]

    @property
    def s3(self) -> S3:
        return S3(os.path.join(self.folder, "s3"), self.weed)

    @property
    def logs(self) -> str:
        return os.path.join(self.folder, "logs")

    @property
    def private(self) -> str:
        return os.path.join(self.folder, "private")

    @property
    def made_folders(self) -> str:
        return os.path.join(self.folder, "made-folders")

    @property
    def supervisor_pid(self) -> str:
        return os.path.join(self.folder, "supervisor.pid")

    def pid_file(self, name: str) -> str:
        """Return the path of a program's process id, as in the cluster's process namespace."""
        return os.path.join(self.folder, "programs", f"{name}.pid")

    def held_down(self, name: str) -> str:
        """Return a path. While this file exists, the program is not restarted."""
        return os.path.join(self.folder, "programs", f"{name}.held-down")
