"""Add-ons of the test cluster: cluster DNS, KubeRay, Kueue on request, and advertised GPUs."""

from __future__ import annotations

import logging
import os

from kubernetes.dynamic import DynamicClient

from testbed import binaries, machine, objects
from testbed.images import KUEUE_IMAGE
from testbed.processes import Failed

log = logging.getLogger(__name__)

GPU = "nvidia.com/gpu"
KUBERAY_NAMESPACE = "default"
"""The namespace in which KubeRay's own kustomization installs its operator."""
_MANIFESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "manifests")


def install_dns(client: DynamicClient) -> None:
    """Start CoreDNS."""
    objects.apply(client, objects.read_objects(os.path.join(_MANIFESTS, "coredns.yaml")))


def install_kuberay(kubeconfig: str) -> None:
    """Apply KubeRay as its module ships it: CustomResourceDefinitions, rights, and the operator."""
    folder = os.path.join(binaries.module_folder(binaries.KUBERAY), "config", "default")
    kubectl(kubeconfig, "apply", "--server-side", "--kustomize", folder)


def install_kueue(kubeconfig: str) -> None:
    """Install Kueue by its own chart. Its defaults include the kinds of jobs of negset."""
    chart = os.path.join(binaries.module_folder(binaries.KUEUE), "charts", "kueue")
    repository, tag = KUEUE_IMAGE.rsplit(":", 1)
    image = {"repository": repository, "tag": tag, "pullPolicy": "Never"}
    settings = [f"--set=controllerManager.manager.image.{name}={value}" for name, value in image.items()]
    helm(kubeconfig, "upgrade", "--install", "kueue", chart, "--namespace=kueue-system", "--create-namespace", *settings)
    # The test cluster's API server has no identity that an aggregated API server accepts. While one
    # kind cannot be listed, no namespace can be deleted.
    kubectl(kubeconfig, "delete", "apiservice", "v1beta1.visibility.kueue.x-k8s.io", "v1beta2.visibility.kueue.x-k8s.io")


def wait_for_deployment(client: DynamicClient, name: str, namespace: str, seconds: float = 120) -> None:
    """Wait until a Deployment is available."""

    def available() -> bool:
        found = objects.find(client, "apps/v1", "Deployment", name, namespace)
        return found is not None and objects.condition(found, "Available") == "True"

    try:
        objects.wait_for(f"deployment {namespace}/{name} is available", available, seconds=seconds)
    except Failed as late:
        raise Failed(f"{late} {_waiting_reasons(client, namespace)}") from None


def _waiting_reasons(client: DynamicClient, namespace: str) -> str:
    """Return Kubernetes' reasons why containers of a namespace wait."""
    pods = objects.get(client, f"/api/v1/namespaces/{namespace}/pods")["items"]
    waiting = [
        (pod["metadata"]["name"], container["state"]["waiting"])
        for pod in pods
        for container in pod["status"].get("containerStatuses", ())
        if "waiting" in container["state"]
    ]
    return " ".join(f"{name}: {state.get('reason')}: {state.get('message')}" for name, state in waiting)


def advertise_gpus(client: DynamicClient, node: str, count: int) -> None:
    """Make a node advertise GPUs that it does not have.

    Pods that request one are scheduled there, and compute on the CPU
    (https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/).
    """
    patch = [{"op": "add", "path": f"/status/capacity/{GPU.replace('/', '~1')}", "value": str(count)}]
    client.request("patch", f"/api/v1/nodes/{node}/status", body=patch, content_type="application/json-patch+json", serialize=False)


def kubectl(kubeconfig: str, *arguments: str) -> str:
    """Run kubectl, and return its standard output."""
    return machine.run(os.path.join(binaries.kubernetes_folder(), "kubectl"), f"--kubeconfig={kubeconfig}", *arguments)


def helm(kubeconfig: str, *arguments: str) -> str:
    """Run Helm, and return its standard output."""
    return machine.run(binaries.program("helm"), f"--kubeconfig={kubeconfig}", *arguments)
