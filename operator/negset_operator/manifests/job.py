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
    """Builds the model before anything is downloaded, so that a wrong pipeline.config is told
    early.

    It needs TensorFlow, hence the trainer's image, and no GPU.
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
    """One training round: one pod, or as many as `training.workers`, which find each other by name
    (`supporting_objects.headless_service`).
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
        # A pod that is told to end saves a checkpoint first.
        "terminationGracePeriodSeconds": config.patience.training_grace_seconds,
        **({"subdomain": child} if training.workers > 1 else {}),
    }
    template = pods.template(
        subject, child=child, role=step.role, container=container, placement=config.pods.trainer_placement, extra=extra
    )
    return _job(subject, child, step.role, template, workers=training.workers)


def delete(subject: Subject, child: str, role: str) -> Object:
    """Deletes everything under the dataset's folder."""
    container = pods.Container(
        name="delete", image=subject.config.images.jobs, resources=subject.config.pods.delete, command=pods.command(subject, "delete")
    )
    template = pods.template(subject, child=child, role=role, container=container, placement=subject.config.pods.placement)
    # Not queued: giving space back must not wait for a GPU.
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
            # One worker's end ends the others, which count as well.
            "backoffLimit": subject.config.patience.retries * workers,
            # Two pods must not write the same checkpoints: the next starts when the one before is
            # gone.
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"operator": "In", "values": sorted((InvalidInput.exit_code, Unavailable.exit_code))},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    # The peers of a pod that was evicted: they lose a step, and no attempt.
                    {"action": "Ignore", "onExitCodes": {"operator": "In", "values": sorted(NO_FAULT)}},
                ]
            },
            "template": {**template, "spec": {**template["spec"], "restartPolicy": "Never"}},
        },
    }


def _cluster(child: str, workers: int) -> tuple[Object, ...]:
    """TF_CONFIG (https://www.tensorflow.org/guide/distributed_training#TF_CONFIG).

    Kubernetes puts the pod's index into it.
    """
    hosts = [f"{child}-{index}.{child}:{TENSORFLOW_PORT}" for index in range(workers)]
    text = json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": f"$({_INDEX})"}})
    return (
        {"name": _INDEX, "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}},
        {"name": "TF_CONFIG", "value": text.replace(f'"$({_INDEX})"', f"$({_INDEX})")},
    )
