"""The condition Ready and the stage, for all kinds of facts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from building import DATA_ONLY, DatasetState, condition_of, merged
from dataset_states import DATA_URL, QUEUED, RETRY, STORED, compared, nothing_but_data, training

from negset_api.version import version
from negset_operator import reasons
from negset_operator.facts import Fault, Obstacle, Work

NOT_UNDERSTOOD = (
    f"Operator version {version()} cannot read this spec, which the API server accepted: {{}} No new job is started. "
    "Upgrade the operator to the version of the CRD, or correct the spec."
)
HELD = (
    "Storing the data: RayJob {data} was suspended by another client, not by this operator. If Kueue manages jobs without a queue name here, "
    "set spec.queueName. Otherwise, resume the job with the client that suspended it."
)
WITHOUT_NUMBERS = "Some numbers are missing from this status. The report has all of them."

READY_SAYS: dict[str, tuple[Callable[[], DatasetState], tuple[bool, str, str], str]] = {
    "a new dataset starts": (nothing_but_data, (False, "Starting", "Storing the data: RayJob {data} is starting."), "Storing the data"),
    "a running data job": (
        lambda: nothing_but_data().with_child("data", Work.RUNNING),
        (False, "Running", "Storing the data: RayJob {data} is running."),
        "Storing the data",
    ),
    "everything done": (
        lambda: nothing_but_data().with_succeeded("data").but(status=STORED),
        (True, "Succeeded", f"All steps completed. The report is at {DATA_URL}/{{revision}}/report/index.html."),
        "Ready",
    ),
    "everything done, and the number of images is not known": (
        lambda: nothing_but_data().with_succeeded("data"),
        (
            True,
            "Succeeded",
            f"All steps completed. The report is at {DATA_URL}/{{revision}}/report/index.html. {WITHOUT_NUMBERS}",
        ),
        "Ready",
    ),
    "a training round": (
        lambda: training().with_succeeded("data").with_child("train-1", Work.RUNNING),
        (False, "Running", "Training round 1 of 2: Job {train-1} is running."),
        "Training round 1 of 2",
    ),
    "a check of the configuration": (
        lambda: training().with_child("check", Work.RUNNING),
        (False, "Running", "Checking the configuration: Job {check} is running."),
        "Checking the configuration",
    ),
    "a configuration that cannot be trained": (
        lambda: training().with_child(
            "check",
            Work.FAILED,
            fault=Fault.INPUT,
            message="Job c reports that its input is invalid: negset: spec.training.pipelineConfig: no",
        ),
        (
            False,
            "InputRefused",
            "Job c reports that its input is invalid: negset: spec.training.pipelineConfig: no. {retry}",
        ),
        "Stalled",
    ),
    "a model that is trained without negatives": (
        lambda: compared().with_succeeded("data", "train-1", "mine-1", "train-random-2").with_child("train-none", Work.RUNNING),
        (False, "Running", "Training without negatives: Job {train-none} is running."),
        "Training without negatives",
    ),
    "a model that is trained on random negatives": (
        lambda: compared().with_succeeded("data", "train-none", "train-1", "mine-1").with_child("train-random-2", Work.RUNNING),
        (False, "Running", "Training on random negatives, round 2 of 2: Job {train-random-2} is running."),
        "Training on random negatives, round 2 of 2",
    ),
    "a mining": (
        lambda: training().with_succeeded("data", "train-1").with_child("mine-1", Work.RUNNING),
        (False, "Running", "Mining after round 1 of 2: RayJob {mine-1} is running."),
        "Mining after round 1 of 2",
    ),
    "an image that cannot be had": (
        lambda: nothing_but_data().with_child(
            "data",
            Work.STARTING,
            obstacle=Obstacle(reason="ImagePullBackOff", message="Container ray-head of pod p cannot start: ImagePullBackOff"),
        ),
        (False, "ImagePullBackOff", "Container ray-head of pod p cannot start: ImagePullBackOff"),
        "Storing the data",
    ),
    "the message names the obstacle of one of two jobs": (
        lambda: (
            compared()
            .with_succeeded("data")
            .with_child("train-none", Work.RUNNING)
            .with_child("train-1", Work.STARTING, obstacle=Obstacle(reason="Unschedulable", message="Pod p cannot be scheduled: no GPU"))
        ),
        (False, "Unschedulable", "Pod p cannot be scheduled: no GPU"),
        "Training round 1 of 2",
    ),
    "a queue that takes back what it gave": (
        lambda: DatasetState(QUEUED).with_succeeded("check").with_child("data", Work.RUNNING, suspended=True),
        (False, "Suspending", "Storing the data: RayJob {data} was suspended by Kueue (LocalQueue team-a-gpu) and is being stopped."),
        "Storing the data",
    ),
    "why Kueue does not admit it, with Kueue's message": (
        lambda: (
            DatasetState(QUEUED)
            .with_succeeded("check")
            .with_child("data", Work.SUSPENDED, queue_message="LocalQueue team-a-gpu doesn't exist")
        ),
        (
            False,
            "Queued",
            "Storing the data: RayJob {data} waits for Kueue to admit it to LocalQueue team-a-gpu. Kueue reports: LocalQueue team-a-gpu doesn't exist.",
        ),
        "Queued",
    ),
    "a queue that dispatches to another cluster": (
        lambda: (
            DatasetState(QUEUED)
            .with_succeeded("check")
            .with_child(
                "data",
                Work.SUSPENDED,
                queue_message="quota",
                obstacle=Obstacle(reason="MultiKueue", message="RayJob d is in a MultiKueue queue."),
            )
        ),
        (False, "MultiKueue", "RayJob d is in a MultiKueue queue."),
        "Queued",
    ),
    "a queue that Kueue has chosen": (
        lambda: nothing_but_data().with_child("data", Work.SUSPENDED, queue="default"),
        (False, "Queued", "Storing the data: RayJob {data} waits for Kueue to admit it to LocalQueue default."),
        "Queued",
    ),
    "a job that another client has suspended": (
        lambda: nothing_but_data().with_child("data", Work.SUSPENDED, suspended_by_us=False),
        (
            False,
            "Queued",
            HELD,
        ),
        "Queued",
    ),
    "a job in the queue": (
        lambda: DatasetState(QUEUED).with_succeeded("check").with_child("data", Work.SUSPENDED),
        (False, "Queued", "Storing the data: RayJob {data} waits for Kueue to admit it to LocalQueue team-a-gpu."),
        "Queued",
    ),
    "a retry": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, message="RayJob d failed with exit code 1: the bucket does not exist"),
        (
            False,
            "Retrying",
            "RayJob d failed with exit code 1: the bucket does not exist. 1 of 3 attempts have failed. The next attempt is at 2026-03-01T12:00:20Z.",
        ),
        "Storing the data",
    ),
    "attempts used up": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED)
            .with_child("data", Work.FAILED, attempt=2)
            .with_child("data", Work.FAILED, attempt=3, message="RayJob d failed with exit code 1: no space left.")
        ),
        (
            False,
            "AttemptsExhausted",
            "RayJob d failed with exit code 1: no space left. All 3 attempts have failed. {retry}",
        ),
        "Stalled",
    ),
    "an input that is wrong": (
        lambda: nothing_but_data().with_child(
            "data", Work.FAILED, fault=Fault.INPUT, message="RayJob d reports that its input is invalid: cars?"
        ),
        (False, "InputRefused", "RayJob d reports that its input is invalid: cars? {retry}"),
        "Stalled",
    ),
    "a job that its controller refuses": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.REFUSED, message="KubeRay rejected RayJob d: too long"),
        (False, "ChildRefused", "KubeRay rejected RayJob d: too long. {retry}"),
        "Stalled",
    ),
    "a changed spec": (
        lambda: nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe"),
        (
            False,
            "Replacing",
            "The spec changed. RayJob street-0ldc0ffe-data, which was created for the previous spec, is being stopped.",
        ),
        "Storing the data",
    ),
    "a child that a user deleted and that still exists": (
        lambda: nothing_but_data().with_child("data", Work.RUNNING, terminating=True),
        (False, "Replacing", "Storing the data: RayJob {data} is being stopped."),
        "Storing the data",
    ),
    "suspended before it began": (
        lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})),
        (False, "Suspended", "The dataset is suspended. Completed work is kept."),
        "Suspended",
    ),
    "suspended, with a job that is still stopping": (
        lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING, suspended=True),
        (False, "Suspending", "Storing the data: RayJob {data} is being stopped."),
        "Storing the data",
    ),
    "suspended, with a job that has stopped": (
        lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.SUSPENDED),
        (False, "Suspended", "The dataset is suspended. Completed work is kept."),
        "Suspended",
    ),
    "a suspended dataset that is done is done": (
        lambda: DatasetState(merged(DATA_ONLY, {"suspend": True})).with_succeeded("data").but(status=STORED),
        (True, "Succeeded", f"All steps completed. The report is at {DATA_URL}/{{revision}}/report/index.html."),
        "Ready",
    ),
    "an unusable spec": (
        lambda: nothing_but_data().with_raw(output={"url": "/data/negatives"}),
        (
            False,
            "InvalidSpec",
            'spec.output.url: Invalid value: "/data/negatives": local paths work on a laptop only; on a cluster this must be an http(s) or object storage URL.',
        ),
        "Stalled",
    ),
    "a local folder of images": (
        lambda: nothing_but_data().with_raw(source={"coco": None, "images": {"urls": ["s3://b/frames", "/data/frames"]}}),
        (
            False,
            "InvalidSpec",
            'spec.source.images.urls[1]: Invalid value: "/data/frames": local paths work on a laptop only; on a cluster this must be an http(s) or object storage URL.',
        ),
        "Stalled",
    ),
    "a spec that an older API let in": (
        lambda: nothing_but_data().with_raw(selection={"count": 0}),
        (
            False,
            "NotUnderstood",
            NOT_UNDERSTOOD.format("spec.selection.count: Invalid value: 0: should be greater than or equal to 1."),
        ),
        "Stalled",
    ),
}


@pytest.mark.parametrize(("rounds", "says_so"), [((), True), ((1,), True), ((1, 2), False)])
def test_a_status_that_lacks_the_last_round_says_so(rounds, says_so):
    given = training().with_succeeded("check", "data", "train-1", "mine-1", "train-2")
    given.but(status={**STORED, "rounds": [{"round": number} for number in rounds]})
    assert ("Some numbers are missing" in condition_of(given.decide(), reasons.READY)[2]) is says_so


@pytest.mark.parametrize(("given", "says", "stage"), READY_SAYS.values(), ids=READY_SAYS.keys())
def test_ready_says(given, says, stage):
    built = given()
    decision = built.decide()
    roles = ("check", "data", "train-none", "train-1", "mine-1", "train-random-2")
    words = {role: built.child(role) for role in roles} | {"revision": built.revision, "retry": RETRY}
    ready, reason, message = says
    assert condition_of(decision, reasons.READY) == (ready, reason, message.format(**words))
    assert decision.desired_status is not None
    assert decision.desired_status.stage == stage
