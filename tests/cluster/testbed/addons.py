"""What runs in the test cluster before ours: cluster DNS, KubeRay, Kueue where it is wanted, and GPUs that are not there."""

from __future__ import annotations

import logging
import os

from kubernetes.dynamic import DynamicClient

from testbed import binaries, machine, objects

log = logging.getLogger(__name__)

GPU = "nvidia.com/gpu"
_MANIFESTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "manifests")


def install_dns(client: DynamicClient) -> None:
    """Starts CoreDNS."""
    objects.apply(client, objects.read_objects(os.path.join(_MANIFESTS, "coredns.yaml")))


def install_kuberay(kubeconfig: str) -> None:
    """Applies KubeRay as its module ships it: CustomResourceDefinitions, rights, and the operator in the namespace `default`."""
    folder = os.path.join(binaries.module_folder(binaries.KUBERAY), "config", "default")
    kubectl(kubeconfig, "apply", "--server-side", "--kustomize", folder)


def install_kueue(kubeconfig: str) -> None:
    """Installs Kueue by its own chart, with the kinds of jobs that negset makes."""
    chart = os.path.join(binaries.module_folder(binaries.KUEUE), "charts", "kueue")
    settings = (
        "--set=controllerManager.manager.image.pullPolicy=Never",
        f"--set=controllerManager.manager.image.tag={binaries.KUEUE.version}",
    )
    helm(kubeconfig, "upgrade", "--install", "kueue", chart, "--namespace=kueue-system", "--create-namespace", *settings)


def wait_for_deployment(client: DynamicClient, name: str, namespace: str, seconds: float = 120) -> None:
    """Waits until a Deployment has all its replicas available."""

    def available() -> bool:
        found = objects.find(client, "apps/v1", "Deployment", name, namespace)
        return found is not None and objects.condition(found, "Available") == "True"

    objects.wait_for(f"deployment {namespace}/{name} is available", available, seconds=seconds)


def advertise_gpus(client: DynamicClient, node: str, count: int) -> None:
    """Makes a node offer GPUs that it does not have: pods that ask for one are scheduled there, and compute on the CPU
    (https://kubernetes.io/docs/tasks/administer-cluster/extended-resource-node/).
    """
    patch = [{"op": "add", "path": f"/status/capacity/{GPU.replace('/', '~1')}", "value": str(count)}]
    client.request("patch", f"/api/v1/nodes/{node}/status", body=patch, content_type="application/json-patch+json", serialize=False)


def kubectl(kubeconfig: str, *arguments: str) -> str:
    """Runs kubectl, and returns what it prints."""
    return machine.run(os.path.join(binaries.kubernetes_folder(), "kubectl"), f"--kubeconfig={kubeconfig}", *arguments)


def helm(kubeconfig: str, *arguments: str) -> str:
    """Runs Helm, and returns what it prints."""
    return machine.run(binaries.program("helm"), f"--kubeconfig={kubeconfig}", *arguments)
