"""Batch Jobs: checking the configuration, training, and deleting the data."""

from __future__ import annotations

import json
from typing import Final

from negset_api import stages
from negset_api.errors import NO_FAULT, InvalidInput, Unavailable
from negset_operator.manifests import pods
from negset_operator.manifests.subject import Object, Subject, child_metadata

TENSORFLOW_PORT: Final = 2222
_INDEX: Final = "JOB_INDEX"


def check(subject: Subject, child: str, step: stages.Step) -> Object:
    """Return the Job that builds the model before anything is downloaded.

    So an invalid pipeline.config is reported early. The Job needs TensorFlow, which only the
    trainer's image has, and no GPU.
    """
    config = subject.config
    container = pods.Container(
        name="check",
        image=config.images.trainer,
        resources=config.pods.check,
        command=pods.command(subject, *step.command),
        pipeline=True,
    )
    template = pods.template(subject, child=child, role=step.role, container=container, placement=config.pods.placement)
    return _job(subject, child, step.role, template, workers=1, deadline=config.patience.check_seconds)


def train(subject: Subject, child: str, step: stages.Step) -> Object:
    """Return the Job of one training round, with one pod for each of `training.workers`.

    The pods find each other by name (`supporting_objects.headless_service`).
    """
    training, config = subject.spec.training, subject.config
    assert training is not None
    container = pods.Container(
        name="trainer",
        image=config.images.trainer,
        resources=config.pods.trainer,
        command=pods.command(subject, *step.command),
        env=_cluster(child, training.workers) if training.workers > 1 else (),
        token=True,
        gpus=training.gpus_per_worker,
        gpu_resource=training.gpu_resource_name,
        shared_memory=config.pods.trainer_shared_memory,
        pipeline=True,
    )
    extra = {
        # A terminating pod saves a checkpoint first.
        "terminationGracePeriodSeconds": config.patience.training_grace_seconds,
        **({"subdomain": child} if training.workers > 1 else {}),
    }
    template = pods.template(
        subject, child=child, role=step.role, container=container, placement=config.pods.trainer_placement, extra=extra
    )
    return _job(subject, child, step.role, template, workers=training.workers)


def delete(subject: Subject, child: str, role: str) -> Object:
    """Return the Job that deletes everything under the dataset's folder."""
    container = pods.Container(
        name="delete", image=subject.config.images.jobs, resources=subject.config.pods.delete, command=pods.command(subject, "delete")
    )
    template = pods.template(subject, child=child, role=role, container=container, placement=subject.config.pods.placement)
    # It is not queued: deleting data must not wait for a GPU.
    return _job(subject, child, role, template, workers=1, queued=False)


def _job(subject: Subject, child: str, role: str, template: Object, *, workers: int, queued: bool = True, deadline: int = 0) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": child_metadata(subject, child, role, queued=queued),
        "spec": {
            **({"activeDeadlineSeconds": deadline} if deadline else {}),
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            # When one worker fails, the others fail as well, and each counts.
            "backoffLimit": subject.config.patience.retries * workers,
            # Two pods must not write the same checkpoints: a pod is replaced after it has ended.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"operator": "In", "values": sorted((InvalidInput.exit_code, Unavailable.exit_code))},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    # The peers of an evicted pod repeat a step. That is no failed attempt.
                    {"action": "Ignore", "onExitCodes": {"operator": "In", "values": sorted(NO_FAULT)}},
                ]
            },
            "template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}},
        },
    }


def _cluster(child: str, workers: int) -> tuple[Object, ...]:
    """Return the environment variable TF_CONFIG, into which Kubernetes puts the pod's index.

    https://www.tensorflow.org/guide/distributed_training#TF_CONFIG
    """
    hosts = [f"{child}-{index}.{child}:{TENSORFLOW_PORT}" for index in range(workers)]
    text = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": f"$({_INDEX})"}})
    return (
        {"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}},
        {"name": "TF_CONFIG", "value": text.replace(f'"$({_INDEX})"', f"$({_INDEX})")},
    )
