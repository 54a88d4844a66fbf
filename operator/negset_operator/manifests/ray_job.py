"""RayJobs (ray.io/v1): the data stage, and mining.

KubeRay mounts a /dev/shm of the size of the memory limit, so these pods need no other
(`addEmptyDir` in its ray-operator/controllers/ray/common/pod.go, 1.6.2).
"""

from __future__ import annotations

import shlex
from typing import Final

from negset_api import stages
from negset_operator.config import Placement
from negset_operator.manifests import pods
from negset_operator.manifests.subject import Object, Subject, child_metadata

_WORKER: Final = "ray-worker"
_AGENT_PORT: Final = 52365
_READY: Final = {
    # KubeRay's own probe starts after 10 seconds and repeats every 5. With this one, a cluster of
    # one worker was ready after 12.9 seconds instead of 18.
    "httpGet": {"path": "/api/healthz", "port": _AGENT_PORT},
    "initialDelaySeconds": 1,
    "periodSeconds": 1,
    "timeoutSeconds": 5,
    "failureThreshold": 50,
}


def data(subject: Subject, child: str, step: stages.Step) -> Object:
    """Return the RayJob of the data stage. Without training, it also writes the report."""
    config = subject.config
    worker = pods.Container(name=_WORKER, image=config.images.jobs, resources=config.pods.data_worker, readiness_probe=_READY)
    return _ray_job(subject, child, step, worker=worker, placement=config.pods.placement)


def mine(subject: Subject, child: str, step: stages.Step) -> Object:
    """Return the RayJob that scores negatives with the model of a round.

    It needs TensorFlow, which only the trainer's image has. Workers with GPUs have the placement of
    training pods.
    """
    training, config = subject.spec.training, subject.config
    assert training is not None
    gpus = training.hard_negative_mining.gpus_per_worker
    worker = pods.Container(
        name=_WORKER,
        image=config.images.trainer,
        resources=config.pods.mine_worker,
        gpus=gpus,
        gpu_resource=training.gpu_resource_name,
        readiness_probe=_READY,
    )
    return _ray_job(subject, child, step, worker=worker, placement=config.pods.trainer_placement if gpus else config.pods.placement)


def _ray_job(subject: Subject, child: str, step: stages.Step, *, worker: pods.Container, placement: Placement) -> Object:
    """Return a RayJob. `placement` is of the workers; the head needs no GPU node."""
    config, role = subject.config, step.role
    # The head runs no tasks. With tasks, it would need a worker's memory, and its loss would cost
    # more than that of a worker.
    head = pods.Container(name="ray-head", image=worker.image, resources=config.pods.ray_head, token=True, readiness_probe=_READY)
    workers = subject.spec.ray.workers
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": child_metadata(subject, child, role),
        "spec": {
            "entrypoint": shlex.join(pods.command(subject, *step.command)),
            # The only submission mode whose pods pass Pod Security "restricted" without changes.
            "submissionMode": "HTTPMode",
            # Kueue requires RayJobs whose cluster ends with them, and refuses deletion rules.
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 0,
            # The operator retries. KubeRay would retry at once, and also after invalid input.
            "backoffLimit": 0,
            "preRunningDeadlineSeconds": config.patience.start_seconds,
            "rayClusterSpec": {
                "rayVersion": config.ray_version,
                # Without a token, everyone who reaches the head can run code with the tenant's
                # Secret. KubeRay creates the token and gives it to these pods.
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    # The number of workers is fixed, so Ray's autoscaler monitor is off: it takes
                    # 60 MB.
                    "rayStartParams": {"num-cpus": "0", "no-monitor": "true"},
                    "template": pods.template(subject, child=child, role=role, container=head, placement=config.pods.placement),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": workers,
                        "minReplicas": workers,
                        "maxReplicas": workers,
                        # By itself, Ray would also count GPUs of the node that the pod did not
                        # request. KubeRay sets the number only for two spellings of the resource
                        # (`IsGPUResourceKey` in its controllers/ray/utils/resources.go, 1.6.2).
                        "rayStartParams": {"num-cpus": "1", "num-gpus": str(worker.gpus)},
                        "template": pods.template(subject, child=child, role=role, container=worker, placement=placement),
                    }
                ],
            },
        },
    }
