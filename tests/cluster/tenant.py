"""A team that uses negset: its namespace, its datasets, and the output it needs after a failure."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import yaml
from kubernetes.dynamic import DynamicClient
from testbed import addons, binaries, objects
from testbed.objects import Object
from testbed.surroundings import Surroundings

from negset_api import names

Timed = Callable[[str], AbstractContextManager[None]]
"""Times a named span for the summary."""

# https://kubernetes.io/docs/concepts/security/pod-security-admission/
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "latest"}

_IN_EVERY_NAMESPACE = ("default", "kube-root-ca.crt")

CHILD_KINDS = (
    ("ray.io/v1", "RayJob"),
    ("ray.io/v1", "RayCluster"),
    ("batch/v1", "Job"),
    ("v1", "Pod"),
    ("v1", "ConfigMap"),
    ("v1", "ServiceAccount"),
    ("v1", "Service"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
)


class Tenant:
    """One namespace, and the actions in it."""

    def __init__(self, around: Surroundings, client: DynamicClient, namespace: str) -> None:
        self.namespace = namespace
        self.client = client
        self._around = around

    def make_namespace(self, labels: dict[str, str]) -> None:
        objects.apply(self.client, [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": labels}}])

    def write_secret(self, name: str, variables: dict[str, str]) -> None:
        data = {key: base64.b64encode(value.encode()).decode() for key, value in variables.items()}
        metadata = {"name": name, "namespace": self.namespace}
        objects.apply(self.client, [{"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}])

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the tenant's namespace, and return its output."""
        return addons.kubectl(self._around.kubeconfig, f"--namespace={self.namespace}", *arguments)

    def apply(self, manifest: Object) -> None:
        """Run `kubectl apply -f`, as a user does."""
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as stream:
            yaml.safe_dump(manifest, stream)
            stream.flush()
            self.kubectl("apply", "-f", stream.name)

    def dataset(self, name: str) -> Object:
        """Return the current state of a NegativeDataset."""
        found = objects.find(self.client, names.API_VERSION, names.KIND, name, self.namespace)
        assert found is not None, f"there is no NegativeDataset {name} in {self.namespace}"
        return found

    def wait_for_ready(self, name: str, seconds: int, timed: Timed) -> Object:
        """Run `kubectl wait --for=condition=Ready`, and time each stage.

        If the dataset stalls or the time is up, print everything and fail.
        """
        command = [
            os.path.join(binaries.kubernetes_folder(), "kubectl"),
            f"--kubeconfig={self._around.kubeconfig}",
            f"--namespace={self.namespace}",
            "wait",
            "--for=condition=Ready",
            f"--timeout={seconds}s",
            f"{names.SINGULAR}/{name}",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as waiting:
            while waiting.poll() is None:
                stage = self._stage(name)
                with timed(f"{name}: {stage}"):
                    while waiting.poll() is None and self._stage(name) == stage and not self._stalled(name):
                        time.sleep(0.5)
                if self._stalled(name):
                    waiting.terminate()
            assert waiting.stdout is not None
            output = waiting.stdout.read()
        if waiting.returncode:
            self.explain()
            raise AssertionError(f"{name} did not become Ready: {output}\n{yaml.safe_dump(self.dataset(name).get('status'))}")
        return self.dataset(name)

    def children(self, *kinds: tuple[str, str]) -> Iterator[Object]:
        """Return the objects of the given kinds, by default of all kinds of children.

        Leave out the objects that Kubernetes itself creates in every namespace.
        """
        for api_version, name in kinds or CHILD_KINDS:
            found = self.client.get(self.client.resources.get(api_version=api_version, kind=name), namespace=self.namespace).to_dict()
            for item in found["items"]:
                if item["metadata"]["name"] not in _IN_EVERY_NAMESPACE:
                    yield {"apiVersion": api_version, "kind": name, **item}

    def explain(self) -> None:
        """Print objects, events, and the last lines of the pods' logs."""
        print(f"--- {self.namespace}", file=sys.stderr)
        for arguments in (
            ("get", "negativedatasets,rayjobs,rayclusters,jobs,pods", "--output=wide"),
            ("get", "negativedatasets,rayjobs,rayclusters,jobs", "--output=yaml"),
            ("get", "events", "--sort-by=.lastTimestamp"),
        ):
            print(self.kubectl(*arguments), file=sys.stderr)
        for pod in self.client.get(self.client.resources.get(api_version="v1", kind="Pod"), namespace=self.namespace).items:
            with _tolerant():
                print(f"--- {pod.metadata.name}", file=sys.stderr)
                print(self.kubectl("logs", pod.metadata.name, "--all-containers", "--tail=60"), file=sys.stderr)

    def _stage(self, name: str) -> str:
        return str((self.dataset(name).get("status") or {}).get("stage") or "not seen yet")

    def _stalled(self, name: str) -> bool:
        return objects.condition(self.dataset(name), "Stalled") == "True"


@contextmanager
def _tolerant() -> Iterator[None]:
    """Print a failure and continue: a pod may be gone, or may not have started."""
    try:
        yield
    except binaries.Unavailable as problem:
        print(problem, file=sys.stderr)
