"""An operator in this process against a real API server.

`Cluster` acts as the user, and as the controllers that do not run here.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from kubernetes.client import ApiClient
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import NotFoundError
from launcher import ApiServer

from negset_api import names
from negset_operator.config import Config, Patience
from negset_operator.kube.client import Client, connect
from negset_operator.loop import Operator

QUICK = Patience(retry_seconds=1, unseen_seconds=600)

SPEC: dict[str, Any] = {
    "source": {"coco": {"annotations": "s3://datasets/instances.json"}},
    "excludeClasses": ["person"],
    "selection": {"count": 100},
    "output": {"url": "s3://team-a/negatives", "secretName": "s3"},
}
TRAINING: dict[str, Any] = {
    "positives": {"tfrecords": ["s3://team-a/positives/*.tfrecord"]},
    "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-320"}, "steps": 100},
}
COMPARED: dict[str, Any] = {**TRAINING, "training": {**TRAINING["training"], "comparisons": ["NoNegatives", "RandomNegatives"]}}
AT_ONCE: dict[str, Any] = {**COMPARED, "training": {**COMPARED["training"], "maxParallel": 2}}


@contextlib.contextmanager
def running(
    server: ApiServer, *namespaces: str, kubeconfig: str = "", client: Client | None = None, config: Config | None = None
) -> Iterator[Operator]:
    """Run an operator that works in these namespaces."""
    chosen = msgspec.structs.replace(config or Config(patience=QUICK, workers=4), namespaces=namespaces)
    operator = Operator(client or connect(kubeconfig or server.kubeconfig), chosen)
    operator.watch()
    operator.work()
    try:
        yield operator
    finally:
        operator.stop()


class Cluster:
    """Acts as the user, and as the controllers of RayJobs and Jobs, in one namespace."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.namespace = namespace
        self.dynamic: DynamicClient = server.dynamic
        self.client: ApiClient = server.client

    # --- the user --------------------------------------------------------------------------------

    def create(self, name: str = "street", **spec: Any) -> dict[str, Any]:
        body = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**SPEC, **spec},
        }
        return self.kind(names.API_VERSION, names.KIND).create(body=body, namespace=self.namespace).to_dict()

    def change(self, name: str = "street", **spec: Any) -> None:
        self.merge(names.API_VERSION, names.KIND, name, {"spec": spec})

    def annotate(self, key: str, value: str, name: str = "street") -> None:
        """Change an annotation, so that the operator reconciles although the spec is the same."""
        self.merge(names.API_VERSION, names.KIND, name, {"metadata": {"annotations": {f"example.org/{key}": value}}})

    def delete(self, name: str = "street", policy: str = "Background") -> None:
        self.kind(names.API_VERSION, names.KIND).delete(name=name, namespace=self.namespace, body={"propagationPolicy": policy})

    def dataset(self, name: str = "street") -> dict[str, Any] | None:
        return self.find(names.API_VERSION, names.KIND, name)

    def condition(self, kind: str, name: str = "street") -> dict[str, Any]:
        conditions = ((self.dataset(name) or {}).get("status") or {}).get("conditions") or []
        return next((entry for entry in conditions if entry["type"] == kind), {})

    def reason(self, name: str = "street") -> str | None:
        return self.condition("Ready", name).get("reason")

    # --- the controllers -------------------------------------------------------------------------

    def ray_status(self, name: str, deployment: str, job: str = "", **more: Any) -> None:
        self.merge("ray.io/v1", "RayJob", name, {"status": {"jobDeploymentStatus": deployment, "jobStatus": job, **more}}, "status")

    def ray_succeeds(self, name: str) -> None:
        self.ray_status(name, "Complete", "SUCCEEDED", endTime=_now())

    def pod_of(self, role: str, child: str) -> None:
        """Create a pod from a child's template as KubeRay does, with the child's name."""
        labels = {
            "app.kubernetes.io/managed-by": names.OPERATOR_FIELD_MANAGER,
            names.LABEL_DATASET: "street",
            names.LABEL_ROLE: role,
            names.LABEL_CHILD: child,
        }
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": child, "labels": labels},
            "spec": {
                "containers": [{"name": "c", "image": "none"}],
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
            },
        }
        self.kind("v1", "ServiceAccount").server_side_apply(
            body={"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}},
            namespace=self.namespace,
            field_manager="test",
        )
        self.kind("v1", "Pod").create(body=body, namespace=self.namespace)

    def job_runs(self, name: str) -> None:
        """Report the one pod of a Job as running, as the Job controller does."""
        self.merge("batch/v1", "Job", name, {"status": {"startTime": _now(), "active": 1, "ready": 1}}, "status")

    def job_succeeds(self, name: str) -> None:
        """End a Job as the Job controller does.

        The API server requires the preceding condition and the times.
        """
        now = _now()
        conditions = [
            {
                "type": kind,
                "status": "True",
                "reason": "CompletionsReached",
                "message": "done",
                "lastTransitionTime": now,
                "lastProbeTime": now,
            }
            for kind in ("SuccessCriteriaMet", "Complete")
        ]
        # Immutable once set.
        began = (self.find("batch/v1", "Job", name) or {}).get("status", {}).get("startTime") or now
        status = {"startTime": began, "completionTime": now, "conditions": conditions, "succeeded": 1, "active": 0, "ready": 0}
        status["uncountedTerminatedPods"] = {}
        self.merge("batch/v1", "Job", name, {"status": status}, "status")

    # --- both ------------------------------------------------------------------------------------

    def kind(self, api_version: str, kind: str) -> Any:
        return self.dynamic.resources.get(api_version=api_version, kind=kind)

    def find(self, api_version: str, kind: str, name: str) -> dict[str, Any] | None:
        try:
            return self.kind(api_version, kind).get(name=name, namespace=self.namespace).to_dict()
        except NotFoundError:
            return None

    def all(self, api_version: str, kind: str) -> list[dict[str, Any]]:
        return self.kind(api_version, kind).get(namespace=self.namespace).to_dict()["items"]

    def ray_jobs(self) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.all("ray.io/v1", "RayJob"))

    def jobs(self) -> list[str]:
        return sorted(item["metadata"]["name"] for item in self.all("batch/v1", "Job"))

    def merge(self, api_version: str, kind: str, name: str, patch: dict[str, Any], subresource: str = "") -> None:
        resource = self.kind(api_version, kind)
        target = resource.subresources[subresource] if subresource else resource
        target.patch(name=name, namespace=self.namespace, body=patch, content_type="application/merge-patch+json")

    def remove(self, api_version: str, kind: str, name: str) -> None:
        self.kind(api_version, kind).delete(name=name, namespace=self.namespace)


def pods_of_job_end(cluster: Cluster, job: str, *, code: int = 0, said: str = "") -> None:
    """End the job's pods with this exit code, as a kubelet reports it.

    `said` is the end of their standard error.
    """
    pods = eventually("a pod", lambda: [pod for pod in cluster.all("v1", "Pod") if pod["metadata"]["labels"].get(names.LABEL_CHILD) == job])
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": said, "finishedAt": _now()}
        state = {"name": container["name"], "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
        status = {"phase": "Failed" if code else "Succeeded", "containerStatuses": [state]}
        cluster.merge("v1", "Pod", pod["metadata"]["name"], {"status": status}, "status")


class Process:
    """`negset-operator` in its own process."""

    def __init__(self, kubeconfig: str, *arguments: str, open_files: int = 1024) -> None:
        """`open_files` is its soft limit of open files. Many container runtimes set it to 1,024."""
        command = [sys.executable, "-m", "negset_operator.main", "--kubeconfig", kubeconfig, "--listen", "127.0.0.1:0", *arguments]
        command = ["sh", "-c", f'ulimit -Sn {open_files}; exec "$@"', "sh", *command]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
        line = self._process.stderr.readline()
        found = re.search(r"127\.0\.0\.1:(\d+)", line)
        assert found, f"expected the log line with the address, got: {line}"
        self._url = f"http://127.0.0.1:{found[1]}"

    def leads(self) -> bool:
        return "negset_leader 1.0" in self.get("/metrics")[1]

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"{self._url}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def kernel(self, field: str) -> int:
        """Return a number of /proc/PID/status: `Threads`, or `VmRSS` in kB."""
        with open(f"/proc/{self._process.pid}/status", encoding="utf-8") as stream:
            found = re.search(rf"{field}:\s+(\d+)", stream.read())
        assert found
        return int(found[1])

    def end(self, how: signal.Signals) -> int:
        self._process.send_signal(how)
        self._process.communicate(timeout=20)
        return self._process.returncode


@contextlib.contextmanager
def processes(*started: Process) -> Iterator[None]:
    try:
        yield
    finally:
        for process in started:
            if process._process.poll() is None:
                process.end(signal.SIGKILL)


def eventually(what: str, probe: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Return the first true result of `probe`; fail with its last result after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        assert time.monotonic() < deadline, f"{what}: still {answer!r} after {seconds} seconds"
        time.sleep(0.05)
    return answer


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def first_ray_job(cluster: Cluster) -> str:
    return eventually("a RayJob", cluster.ray_jobs)[0]
