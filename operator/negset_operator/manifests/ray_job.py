"""RayJobs (ray.io/v1): the data stage, and mining."""

from __future__ import annotations

import shlex

from negset_api import names
from negset_operator.config import Resources
from negset_operator.manifests import pods
from negset_operator.manifests.subject import Object, Subject, metadata


def data(subject: Subject, child: str, role: str) -> Object:
    """Plan, download, records, labels, positives; and the report where nothing is trained."""
    images, workers = subject.config.images, subject.config.pods
    return _ray_job(subject, child, role, image=images.jobs, worker=workers.data_worker, command=pods.command(subject, "data"))


def mine(subject: Subject, child: str, role: str, number: int) -> Object:
    """Scores the negatives with the model of round `number`. Needs TensorFlow, hence the trainer's image."""
    images, workers = subject.config.images, subject.config.pods
    command = pods.command(subject, "mine", "--round", str(number))
    return _ray_job(subject, child, role, image=images.trainer, worker=workers.mine_worker, command=command)


def _ray_job(subject: Subject, child: str, role: str, *, image: str, worker: Resources, command: tuple[str, ...]) -> Object:
    config, queue = subject.config, subject.spec.queue_name
    meta = metadata(subject, child, role, per_run=True)
    if queue:
        meta = {**meta, "labels": {**meta["labels"], names.LABEL_QUEUE: queue}}
    # The head takes no tasks: with them it would need a worker's memory, and losing it would lose more than a worker's work.
    head = pods.Container(name="ray-head", image=image, resources=config.pods.ray_head, token=True)
    workers = subject.spec.ray.workers
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": meta,
        "spec": {
            "entrypoint": shlex.join(command),
            # The only submission mode whose pods pass Pod Security "restricted" as they are.
            "submissionMode": "HTTPMode",
            # Kueue admits only RayJobs whose cluster ends with them, and refuses deletion rules.
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 0,
            # The operator retries: KubeRay would do so at once, and also when the job says that its input is wrong.
            "backoffLimit": 0,
            "preRunningDeadlineSeconds": config.patience.start_seconds,
            "rayClusterSpec": {
                "rayVersion": config.ray_version,
                "headGroupSpec": {
                    "rayStartParams": {"num-cpus": "0"},
                    "template": pods.template(subject, child=child, role=role, container=head, placement=config.pods.placement),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": workers,
                        "minReplicas": workers,
                        "maxReplicas": workers,
                        "rayStartParams": {"num-cpus": "1"},
                        "template": pods.template(
                            subject,
                            child=child,
                            role=role,
                            container=pods.Container(name="ray-worker", image=image, resources=worker),
                            placement=config.pods.placement,
                        ),
                    }
                ],
            },
        },
    }
