"""One node: a containerd and a kubelet.

Each node has its own sockets, folders, ports, pod network and control group, so that several nodes
fit on one machine.
"""

from __future__ import annotations

import dataclasses
import json
import os

import yaml

from testbed import machine
from testbed.control_plane import CLUSTER_DNS, CLUSTER_DOMAIN, ControlPlane
from testbed.processes import Daemon

PAUSE_IMAGE = "negset.test/pause:1"


@dataclasses.dataclass(frozen=True)
class Node:
    """Node number `number`, counted from 1.

    folder: what is deleted with the cluster.
    images: containerd's content. It is kept between clusters, so that an image is loaded once.
    """

    number: int
    folder: str
    images: str

    @property
    def name(self) -> str:
        return f"node{self.number}"

    @property
    def address(self) -> str:
        return f"10.200.0.{self.number}"

    @property
    def cgroup(self) -> str:
        return f"negset-{self.name}"

    @property
    def socket(self) -> str:
        return os.path.join(self.folder, "containerd.sock")

    def prepare(self) -> None:
        """Write the configurations of containerd, of the pod network and of the kubelet."""
        for folder in (self.folder, self.images, self._path("cni"), self._path("logs")):
            os.makedirs(folder, exist_ok=True)
        self._write("containerd.toml", _toml(self._containerd()))
        self._write("cni/10-bridge.conflist", json.dumps(self._pod_network()))
        self._write("kubelet.yaml", yaml.safe_dump(self._kubelet()))
        # Pods that use the node's resolver have no name server: the cluster has no route out.
        self._write("resolv.conf", "")
        machine.make_cgroup(self.cgroup)

    def daemons(self, plane: ControlPlane, logs: str) -> list[Daemon]:
        """Return the two programs of the node, in the order of their start."""
        kubelet = [
            os.path.join(plane.programs, "kubelet"),
            f"--config={self._path('kubelet.yaml')}",
            f"--kubeconfig={plane.kubeconfig_file(self.name)}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.address}",
            f"--root-dir={self._path('kubelet')}",
        ]
        containerd = ["containerd", "--config", self._path("containerd.toml")]
        return [Daemon(f"containerd-{self.name}", containerd, logs), Daemon(f"kubelet-{self.name}", kubelet, logs)]

    def _containerd(self) -> dict[str, dict[str, object]]:
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        return {
            "": {"version": 2, "root": self.images, "state": self._path("containerd")},
            "grpc": {"address": self.socket},
            cri: {
                "sandbox_image": PAUSE_IMAGE,
                # Lowering the score needs CAP_SYS_RESOURCE. A root inside a container or a sandbox
                # lacks it.
                "restrict_oom_score_adj": True,
                "enable_unprivileged_ports": True,  # CoreDNS is not root and listens on port 53
            },
            f"{cri}.cni": {"bin_dir": machine.CNI_PLUGINS, "conf_dir": self._path("cni")},
            f"{cri}.containerd": {"default_runtime_name": "runc"},
            f"{cri}.containerd.runtimes.runc": {"runtime_type": "io.containerd.runc.v2"},
        }

    def _pod_network(self) -> dict[str, object]:
        addresses = {
            "type": "host-local",
            "dataDir": self._path("addresses"),
            "ranges": [[{"subnet": f"10.244.{self.number}.0/24"}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        }
        bridge = {
            "type": "bridge",
            "bridge": f"cni{self.number}",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": addresses,
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": f"pods{self.number}", "plugins": [bridge, ports]}

    def _kubelet(self) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "port": 10250 + 10 * (self.number - 1),
            "healthzPort": 10248 + 10 * (self.number - 1),
            "cgroupRoot": f"/{self.cgroup}",
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "containerRuntimeEndpoint": f"unix://{self.socket}",
            # Only the machine and its own pods reach the kubelet. Its authorization is not tested.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "clusterDNS": [CLUSTER_DNS],
            "clusterDomain": CLUSTER_DOMAIN,
            # A changed Secret reaches its pods within seconds: Kueue waits for the certificate that
            # it generates for itself.
            "syncFrequency": "5s",
            "resolvConf": self._path("resolv.conf"),
            # A kubelet deletes the logs of pods that it does not know. So each node has its own
            # folder.
            "podLogsDir": self._path("logs"),
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,  # never: loaded images stay loaded
            # The kubelet cannot measure the disk from inside the cluster's namespaces.
            "localStorageCapacityIsolation": False,
        }

    def _path(self, *parts: str) -> str:
        return os.path.join(self.folder, *parts)

    def _write(self, name: str, content: str) -> None:
        with open(self._path(name), "w", encoding="utf-8") as stream:
            stream.write(content)


def _toml(tables: dict[str, dict[str, object]]) -> str:
    """Return tables of strings, numbers and booleans as TOML. JSON writes these values alike."""
    blocks = []
    for header, values in tables.items():
        lines = [f"[{header}]"] if header else []
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        blocks.append("\n".join(lines))
    return "\n".join(blocks) + "\n"
