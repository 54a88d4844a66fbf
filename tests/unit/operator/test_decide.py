"""The decision and the messages for all kinds of facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from building import DATA_ONLY, NOW, TRAINING, Scene, jobs, made, manifests, merged, told

from negset_api import names
from negset_api.version import version
from negset_operator import reasons
from negset_operator.decision import Creation
from negset_operator.facts import Fault, Obstacle, PodOnLostNode, SupportingObject, Work

COMPARED = merged(TRAINING, {"training": {"comparisons": ["NoNegatives", "RandomNegatives"]}})
QUEUED = merged(TRAINING, {"queueName": "team-a-gpu"})
NOT_UNDERSTOOD = (
    f"Operator version {version()} cannot read this spec, which the API server accepted: {{}} No new job is started. "
    "Upgrade the operator to the version of the CRD, or correct the spec."
)
HELD = (
    "Storing the data: RayJob {data} was suspended, but not by this operator. If Kueue manages jobs without a queue name here, "
    "set spec.queueName. Otherwise, ask whoever suspended it to resume it."
)
RETRY = 'To retry: kubectl annotate negativedataset street negset.dev/retry="$(date)" --overwrite'
DATA_URL = "s3://team-a/negatives/team-a/street"
WITHOUT_NUMBERS = "Some numbers are missing from this status. The report has all of them."
STORED = {"images": {"planned": 100, "stored": 100, "failed": 0}}


def nothing_but_data() -> Scene:
    return Scene(DATA_ONLY)


def training() -> Scene:
    return Scene(TRAINING)


def compared(limit: int = 2, **fields: Any) -> Scene:
    return Scene(merged(COMPARED, {"training": {"maxParallel": limit}, **fields}))


# --- which child is created next ----------------------------------------------------------------

NEXT: dict[str, tuple[Callable[[], Scene], list[str]]] = {
    "a new dataset gets its data job": (nothing_but_data, ["data"]),
    "while the data job runs nothing is made": (lambda: nothing_but_data().with_child("data", Work.RUNNING), []),
    "a data job that nobody has touched yet is not made twice": (lambda: nothing_but_data().with_child("data", Work.NOT_PICKED_UP), []),
    "before anything is downloaded the configuration is checked": (training, ["check"]),
    "while it is checked nothing is downloaded": (lambda: training().with_child("check", Work.RUNNING), []),
    "a checked configuration gets its data": (lambda: training().with_succeeded("check"), ["data"]),
    "a configuration that cannot be trained gets none": (
        lambda: training().with_child("check", Work.FAILED, fault=Fault.INPUT, ended=timedelta(hours=2)),
        [],
    ),
    "data that was stored before there was a check needs none": (lambda: training().with_succeeded("data"), ["train-1"]),
    "after the data comes the first round": (lambda: training().with_succeeded("check", "data"), ["train-1"]),
    "where two may run, what trains without negatives trains beside the first round": (
        lambda: compared().with_succeeded("check", "data"),
        ["train-none", "train-1"],
    ),
    "unless asked for, one model is trained at a time": (lambda: Scene(COMPARED).with_succeeded("check", "data"), ["train-none"]),
    "the next in order follows the one that is done": (
        lambda: compared(1).with_succeeded("check", "data", "train-none"),
        ["train-1"],
    ),
    "nothing trains beside another training": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.RUNNING),
        [],
    ),
    "nor beside a mining": (
        lambda: compared(1).with_succeeded("check", "data", "train-1").with_child("mine-1", Work.RUNNING),
        [],
    ),
    "nor beside one that waits in a queue": (
        lambda: compared(1, queueName="q").with_succeeded("check", "data").with_child("train-1", Work.SUSPENDED),
        [],
    ),
    "nor beside one that is being stopped": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.RUNNING, terminating=True),
        [],
    ),
    "a third that may run is none that needs what is not done": (
        lambda: compared(8).with_succeeded("check", "data"),
        ["train-none", "train-1"],
    ),
    "what comes first waits for its next attempt, and what comes after it waits with it": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.FAILED, fault=Fault.INTERRUPTION),
        [],
    ),
    "what comes after it begins where two may run": (
        lambda: compared().with_succeeded("check", "data").with_child("train-none", Work.FAILED, fault=Fault.INTERRUPTION),
        ["train-1"],
    ),
    "what comes first begins before the next attempt of what comes after it": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-1", Work.FAILED, fault=Fault.INTERRUPTION),
        ["train-none"],
    ),
    "the next attempt waits for the training that has begun": (
        lambda: (
            compared(1)
            .with_succeeded("check", "data")
            .with_child("train-none", Work.FAILED, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("train-1", Work.RUNNING)
        ),
        [],
    ),
    "what is stalled holds up nothing that does not need it": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.FAILED, fault=Fault.INPUT),
        ["train-1"],
    ),
    "two run although one may, since the limit was lowered: neither is stopped and nothing begins": (
        lambda: compared(1).with_succeeded("check", "data").with_child("train-none", Work.RUNNING).with_child("train-1", Work.RUNNING),
        [],
    ),
    "mining follows the first round while another model still trains without negatives": (
        lambda: compared().with_succeeded("data", "train-1").with_child("train-none", Work.RUNNING),
        ["mine-1"],
    ),
    "as many random negatives are trained on when mining has said how many": (
        lambda: compared().with_succeeded("data", "train-none", "train-1", "mine-1"),
        ["train-random-2"],
    ),
    "the last round waits for every model that its report compares with": (
        lambda: compared().with_succeeded("data", "train-1", "mine-1", "train-random-2").with_child("train-none", Work.RUNNING),
        [],
    ),
    "the last round follows them": (
        lambda: compared().with_succeeded("data", "train-none", "train-1", "mine-1", "train-random-2"),
        ["train-2"],
    ),
    "mining follows a round": (lambda: training().with_succeeded("data", "train-1"), ["mine-1"]),
    "the next round follows mining": (lambda: training().with_succeeded("data", "train-1", "mine-1"), ["train-2"]),
    "nothing follows the last round": (lambda: training().with_succeeded("data", "train-1", "mine-1", "train-2"), []),
    "a single round trains without negatives first": (
        lambda: Scene(merged(TRAINING, {"training": {"comparisons": ["NoNegatives"], "hardNegativeMining": {"rounds": 1}}})).with_succeeded(
            "data"
        ),
        ["train-none"],
    ),
    "a finished child that was cleaned up is not made again once a later step has begun": (
        lambda: training().with_child("mine-1", Work.RUNNING),
        [],
    ),
    "a child of that name that is not ours counts for nothing": (
        lambda: nothing_but_data().with_child("data", Work.SUCCEEDED, ours=False),
        ["data"],
    ),
    "what an earlier run of the same revision has done is done": (
        lambda: training().with_child("data", Work.SUCCEEDED, spec_hash="0ldc0ffe"),
        ["train-1"],
    ),
    "what another revision has done is not": (
        lambda: training().with_child("data", Work.SUCCEEDED, spec_hash="0ldc0ffe", revision_label="0" * 12),
        ["check"],
    ),
    "a child of an earlier run that still writes the same files is waited for": (
        lambda: training().with_succeeded("check").with_child("data", Work.RUNNING, spec_hash="0ldc0ffe"),
        [],
    ),
    "a child of another revision is not waited for: it writes elsewhere": (
        lambda: nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe", revision_label="0" * 12),
        ["data"],
    ),
    "a child that is being deleted is waited for": (lambda: nothing_but_data().with_child("data", Work.RUNNING, terminating=True), []),
    "a suspended dataset begins nothing": (lambda: Scene(merged(DATA_ONLY, {"suspend": True})), []),
    "a dataset that is suspended between two steps begins nothing": (
        lambda: Scene(merged(TRAINING, {"suspend": True})).with_succeeded("data"),
        [],
    ),
    "a failed attempt is followed by a second, after its pause": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, ended=timedelta(seconds=20)),
        ["data-a2"],
    ),
    "not before": (lambda: nothing_but_data().with_child("data", Work.FAILED, ended=timedelta(seconds=19)), []),
    "the pause doubles": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED, ended=timedelta(seconds=100))
            .with_child("data", Work.FAILED, attempt=2, ended=timedelta(seconds=39))
        ),
        [],
    ),
    "a third attempt follows a second": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED, ended=timedelta(seconds=100))
            .with_child("data", Work.FAILED, attempt=2, ended=timedelta(seconds=40))
        ),
        ["data-a3"],
    ),
    "an interruption counts for nothing, however often": (
        lambda: (
            nothing_but_data()
            .with_child("data", Work.FAILED, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("data", Work.FAILED, attempt=2, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("data", Work.FAILED, attempt=3, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
            .with_child("data", Work.FAILED, attempt=4, fault=Fault.INTERRUPTION, ended=timedelta(hours=2))
        ),
        ["data-a5"],
    ),
    "an input that is wrong is not tried again": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.INPUT, ended=timedelta(hours=2)),
        [],
    ),
    "a training that used up its retries is not tried again": (
        lambda: training().with_succeeded("data").with_child("train-1", Work.FAILED, ended=timedelta(hours=2)),
        [],
    ),
    "a failure of an earlier spec does not hold back this one": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, spec_hash="0ldc0ffe", fault=Fault.INPUT),
        ["data"],
    ),
}


@pytest.mark.parametrize(("scene", "roles"), NEXT.values(), ids=NEXT.keys())
def test_next_child(scene, roles):
    built = scene()
    assert jobs(built.decide()) == [f"street-{built.spec_hash}-{role}" for role in roles]


def test_each_child_says_in_a_label_which_attempt_it_is():
    first, third = nothing_but_data(), nothing_but_data().with_child("data", Work.FAILED, attempt=2, ended=timedelta(seconds=40))
    deleting = nothing_but_data().with_raw(deletionPolicy="Delete").being_deleted()
    said = [scene.decide().creations[-1].manifest["metadata"]["labels"][names.LABEL_ATTEMPT] for scene in (first, third, deleting)]
    assert said == ["1", "3", "1"]


# --- conditions ---------------------------------------------------------------------------------

READY_SAYS: dict[str, tuple[Callable[[], Scene], tuple[bool, str, str], str]] = {
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
    "everything done, and the job could not say how many images": (
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
    "the obstacle of one of two jobs is told first": (
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
        lambda: Scene(QUEUED).with_succeeded("check").with_child("data", Work.RUNNING, suspended=True),
        (False, "Suspending", "Storing the data: RayJob {data} is being stopped to make room in the queue team-a-gpu."),
        "Storing the data",
    ),
    "why Kueue does not admit it, in Kueue's words": (
        lambda: Scene(QUEUED).with_succeeded("check").with_child("data", Work.SUSPENDED, queue_says="LocalQueue team-a-gpu doesn't exist"),
        (
            False,
            "Queued",
            "Storing the data: RayJob {data} waits for its turn in the queue team-a-gpu. Kueue says: LocalQueue team-a-gpu doesn't exist.",
        ),
        "Queued",
    ),
    "a queue that dispatches to another cluster": (
        lambda: (
            Scene(QUEUED)
            .with_succeeded("check")
            .with_child(
                "data",
                Work.SUSPENDED,
                queue_says="quota",
                obstacle=Obstacle(reason="MultiKueue", message="RayJob d is in a MultiKueue queue."),
            )
        ),
        (False, "MultiKueue", "RayJob d is in a MultiKueue queue."),
        "Queued",
    ),
    "a queue that Kueue has chosen": (
        lambda: nothing_but_data().with_child("data", Work.SUSPENDED, queue="default"),
        (False, "Queued", "Storing the data: RayJob {data} waits for its turn in the queue default."),
        "Queued",
    ),
    "a job that somebody else has suspended": (
        lambda: nothing_but_data().with_child("data", Work.SUSPENDED, suspended_by_us=False),
        (
            False,
            "Queued",
            HELD,
        ),
        "Queued",
    ),
    "a turn in the queue": (
        lambda: Scene(QUEUED).with_succeeded("check").with_child("data", Work.SUSPENDED),
        (False, "Queued", "Storing the data: RayJob {data} waits for its turn in the queue team-a-gpu."),
        "Queued",
    ),
    "a retry": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, message="RayJob d failed with exit code 1: the bucket is gone"),
        (
            False,
            "Retrying",
            "RayJob d failed with exit code 1: the bucket is gone. 1 of 3 attempts have failed. The next attempt is at 2026-03-01T12:00:20Z.",
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
    "a child that somebody deleted and that is still there": (
        lambda: nothing_but_data().with_child("data", Work.RUNNING, terminating=True),
        (False, "Replacing", "Storing the data: RayJob {data} is being stopped."),
        "Storing the data",
    ),
    "suspended before it began": (
        lambda: Scene(merged(DATA_ONLY, {"suspend": True})),
        (False, "Suspended", "The dataset is suspended. Completed work is kept."),
        "Suspended",
    ),
    "suspended, with a job that is still stopping": (
        lambda: Scene(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING, suspended=True),
        (False, "Suspending", "Storing the data: RayJob {data} is being stopped."),
        "Storing the data",
    ),
    "suspended, with a job that has stopped": (
        lambda: Scene(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.SUSPENDED),
        (False, "Suspended", "The dataset is suspended. Completed work is kept."),
        "Suspended",
    ),
    "a suspended dataset that is done is done": (
        lambda: Scene(merged(DATA_ONLY, {"suspend": True})).with_succeeded("data").but(status=STORED),
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
    scene = training().with_succeeded("check", "data", "train-1", "mine-1", "train-2")
    scene.but(status={**STORED, "rounds": [{"round": number} for number in rounds]})
    assert ("Some numbers are missing" in told(scene.decide(), reasons.READY)[2]) is says_so


@pytest.mark.parametrize(("scene", "says", "stage"), READY_SAYS.values(), ids=READY_SAYS.keys())
def test_ready_says(scene, says, stage):
    built = scene()
    decision = built.decide()
    roles = ("check", "data", "train-none", "train-1", "mine-1", "train-random-2")
    words = {role: built.child(role) for role in roles} | {"revision": built.revision, "retry": RETRY}
    ready, reason, message = says
    assert told(decision, reasons.READY) == (ready, reason, message.format(**words))
    assert decision.desired_status is not None
    assert decision.desired_status.stage == stage


KSTATUS: dict[str, tuple[Callable[[], Scene], set[str]]] = {
    "while work goes on it reconciles": (nothing_but_data, {reasons.RECONCILING}),
    "while a retry is due later it reconciles": (lambda: nothing_but_data().with_child("data", Work.FAILED), {reasons.RECONCILING}),
    "when it is ready, neither": (lambda: nothing_but_data().with_succeeded("data"), set()),
    "when it is suspended, neither": (lambda: Scene(merged(DATA_ONLY, {"suspend": True})), set()),
    "while it is being suspended it reconciles": (
        lambda: Scene(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING),
        {reasons.RECONCILING},
    ),
    "when somebody has to act it is stalled": (
        lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.INPUT),
        {reasons.STALLED},
    ),
    "a wrong spec is stalled": (lambda: nothing_but_data().with_raw(output={"url": "x"}), {reasons.STALLED}),
}


@pytest.mark.parametrize(("scene", "present"), KSTATUS.values(), ids=KSTATUS.keys())
def test_reconciling_and_stalled_are_present_only_while_true(scene, present):
    desired_status = scene().decide().desired_status
    assert {
        condition.type for condition in desired_status.conditions if condition.type in {reasons.RECONCILING, reasons.STALLED}
    } == present
    assert all(condition.status for condition in desired_status.conditions if condition.type in present)


def test_each_stage_has_a_condition_in_the_past_tense():
    scene = training().with_succeeded("check", "data", "train-1")
    decision = scene.decide()
    assert told(decision, reasons.CHECKED) == (True, "Succeeded", "The training configuration was checked and is valid.")
    url = f"{DATA_URL}/{scene.revision}"
    assert told(decision, reasons.DATA_STORED) == (True, "Succeeded", f"The data is stored under {url}.")
    assert told(decision, reasons.TRAINED) == (False, "Pending", "Training round 2 of 2 waits for earlier steps: mine-1.")
    assert told(decision, reasons.MINED) == (False, "Starting", f"Mining after round 1 of 2: RayJob {scene.child('mine-1')} is starting.")
    assert told(decision, reasons.REPORTED) == (False, "Pending", "The report is written after the last step.")
    assert decision.desired_status.url == url
    assert decision.desired_status.report_url == ""


def test_a_model_that_waits_for_its_turn_says_so():
    scene = compared(1).with_succeeded("check", "data", "train-1").with_child("mine-1", Work.RUNNING)
    assert told(scene.decide(), reasons.TRAINED) == (
        False,
        "Pending",
        "Training without negatives waits for other steps to end: spec.training.maxParallel is 1.",
    )
    assert told(scene.decide(), reasons.READY)[1] == "Running"


def test_an_attempt_that_waits_for_its_turn_says_why_the_one_before_failed():
    scene = compared(1).with_succeeded("check", "data", "train-1").with_child("mine-1", Work.RUNNING)
    failed = {"fault": Fault.INTERRUPTION, "message": "The node is gone", "ended": timedelta(hours=2)}
    scene.with_child("train-none", Work.FAILED, **failed)
    said = "Training without negatives waits for other steps to end: spec.training.maxParallel is 1. Previous attempt: The node is gone."
    assert told(scene.decide(), reasons.TRAINED) == (False, "Pending", said)


def test_all_conditions_are_true_in_the_end():
    scene = compared()
    decision = scene.with_succeeded(*scene.roles()).decide()
    assert [(condition.type, condition.status) for condition in decision.desired_status.conditions] == [
        ("Ready", True),
        ("Checked", True),
        ("DataStored", True),
        ("Trained", True),
        ("Mined", True),
        ("Reported", True),
    ]
    assert told(decision, reasons.TRAINED) == (True, "Succeeded", "Training completed (4 rounds).")
    assert told(decision, reasons.MINED) == (True, "Succeeded", "Hard negative mining completed (1 round).")
    assert decision.desired_status.report_url == f"{DATA_URL}/{scene.revision}/report/index.html"


def test_a_single_round_has_nothing_to_mine():
    decision = Scene(merged(TRAINING, {"training": {"hardNegativeMining": {"rounds": 1}}})).decide()
    assert told(decision, reasons.MINED) is None


def test_without_training_there_is_no_configuration_to_check():
    assert told(nothing_but_data().decide(), reasons.CHECKED) is None


# --- supporting objects -------------------------------------------------------------------------


def supporting_objects_of(scene: Scene) -> list[SupportingObject]:
    """Return the supporting objects of the scene's decision, as if they had been created."""
    return [as_made(creation) for creation in scene.decide().creations if creation.manifest["kind"] not in {"RayJob", "Job"}]


def all_supporting_objects() -> list[SupportingObject]:
    """Return all supporting objects of a running data job."""
    return supporting_objects_of(nothing_but_data().with_child("data", Work.RUNNING))


def as_made(creation: Creation) -> SupportingObject:
    meta = creation.manifest["metadata"]
    return SupportingObject(
        kind=creation.manifest["kind"],
        name=meta["name"],
        uid=f"uid-of-{creation.manifest['kind']}",
        applied=meta["annotations"][names.ANNOTATION_APPLIED],
        ours=True,
        spec_hash=meta["labels"].get(names.LABEL_SPEC_HASH, ""),
    )


def test_what_pods_need_is_made_before_the_job_and_what_reports_need_follows():
    scene = nothing_but_data()
    kinds = [creation.manifest["kind"] for creation in scene.decide().creations]
    assert kinds == ["ConfigMap", "NetworkPolicy", "ServiceAccount", "RayJob"]
    scene.supporting_objects = supporting_objects_of(scene)
    scene.with_child("data", Work.NOT_PICKED_UP)
    assert [creation.manifest["kind"] for creation in scene.decide().creations] == ["Role", "RoleBinding"]


@pytest.mark.parametrize(("spec", "role", "kind"), [(DATA_ONLY, "data", "RayJob"), (TRAINING, "check", "Job")], ids=["data", "check"])
def test_where_others_wait_the_first_child_comes_first_and_the_account_without_which_it_gets_no_pods_last(spec, role, kind):
    scene = Scene(spec).but(backlog=True)
    assert [creation.manifest["kind"] for creation in scene.decide().creations] == [kind]
    scene.with_child(role, Work.NOT_PICKED_UP)
    kinds = [creation.manifest["kind"] for creation in scene.decide().creations]
    assert kinds == ["ConfigMap", "NetworkPolicy", "ServiceAccount", "Role", "RoleBinding"]


def test_supporting_objects_that_are_there_are_left_alone():
    scene = nothing_but_data().with_child("data", Work.RUNNING)
    scene.supporting_objects = all_supporting_objects()
    assert made(scene.decide()) == []


def test_a_supporting_object_that_somebody_deleted_is_made_again_while_work_goes_on():
    scene = nothing_but_data().with_child("data", Work.RUNNING)
    scene.supporting_objects = [supporting_object for supporting_object in all_supporting_objects() if supporting_object.kind != "Role"]
    assert [creation.manifest["kind"] for creation in scene.decide().creations] == ["Role"]


def test_supporting_objects_of_a_finished_dataset_are_not_made_again():
    assert made(nothing_but_data().with_succeeded("data").decide()) == []


def test_a_supporting_object_that_the_administrator_changed_is_updated():
    scene = nothing_but_data().with_child("data", Work.RUNNING)
    scene.supporting_objects = all_supporting_objects()
    networks = type(scene.config.networks)(stores=("10.0.0.0/8",))
    (creation,) = scene.configured(networks=networks).decide().creations
    assert (creation.manifest["kind"], creation.update) == ("NetworkPolicy", True)


def test_the_manifest_of_an_earlier_run_goes_when_no_child_needs_it():
    scene = nothing_but_data().with_child("data", Work.RUNNING)
    old = SupportingObject(kind="ConfigMap", name="street-0ldc0ffe", uid="old", applied="", ours=True, spec_hash="0ldc0ffe")
    scene.supporting_objects = [*all_supporting_objects(), old]
    assert [deletion.name for deletion in scene.decide().deletions] == ["street-0ldc0ffe"]
    scene.with_child("train-9", Work.SUCCEEDED, spec_hash="0ldc0ffe", terminating=True)
    assert [deletion.name for deletion in scene.decide().deletions] == []


def test_somebody_elses_supporting_object_is_never_deleted():
    scene = nothing_but_data()
    scene.supporting_objects = [
        SupportingObject(kind="ConfigMap", name="street-0ldc0ffe", uid="x", applied="", ours=False, spec_hash="0ldc0ffe")
    ]
    assert scene.decide().deletions == ()


def test_workers_that_train_together_get_a_service_before_their_job():
    scene = Scene(merged(TRAINING, {"training": {"workers": 3}})).with_succeeded("data")
    kinds = [creation.manifest["kind"] for creation in scene.decide().creations]
    assert kinds.index("Service") < kinds.index("Job")
    assert made(scene.decide(), "Service") == [scene.child("train-1")]
    assert made(scene.with_child("train-1", Work.RUNNING).decide(), "Service") == [scene.child("train-1")]


def test_the_check_is_one_pod_and_needs_no_service():
    scene = Scene(merged(TRAINING, {"training": {"workers": 3}}))
    assert made(scene.decide(), "Service") == []
    assert made(scene.with_child("check", Work.RUNNING).decide(), "Service") == []


# --- suspension, deletion of children -----------------------------------------------------------


def test_suspending_without_a_queue_sets_the_childs_own_switch():
    scene = Scene(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING)
    (switch,) = scene.decide().suspend_changes
    assert (switch.kind, switch.name, switch.suspend) == ("RayJob", scene.child("data"), True)
    assert scene.decide().deletions == ()


def test_resuming_clears_the_switch():
    scene = nothing_but_data().with_child("data", Work.SUSPENDED)
    (switch,) = scene.decide().suspend_changes
    assert switch.suspend is False


SUSPENDED_BY: dict[str, tuple[dict[str, Any], dict[str, Any], list[bool]]] = {
    "what the operator suspended it resumes": ({}, {"suspended_by_us": True}, [False]),
    "what Kueue suspends in a queue of the spec stays": ({"queueName": "team-a-gpu"}, {}, []),
    "what Kueue suspends in a queue of its own choice stays": ({}, {"queue": "default", "suspended_by_us": False}, []),
    "what Kueue suspends without a queue stays": ({}, {"suspended_by_us": False}, []),
    "what somebody else suspended gets the mark if the user suspends as well": ({"suspend": True}, {"suspended_by_us": False}, [True]),
    "what the operator suspended stays so while the user wants it": ({"suspend": True}, {"suspended_by_us": True}, []),
}


@pytest.mark.parametrize(("spec", "child", "suspend_changes"), SUSPENDED_BY.values(), ids=SUSPENDED_BY.keys())
def test_only_ones_own_suspension_is_undone(spec, child, suspend_changes):
    decision = Scene(merged(DATA_ONLY, spec)).with_child("data", Work.SUSPENDED, **child).decide()
    assert [switch.suspend for switch in decision.suspend_changes] == suspend_changes
    assert decision.deletions == ()


def test_while_kueue_holds_a_child_its_words_are_looked_up_again():
    assert Scene(QUEUED).with_succeeded("check").with_child("data", Work.SUSPENDED).decide().wake_after == pytest.approx(10)


def test_the_priority_class_of_the_dataset_is_that_of_its_children():
    scene = Scene(QUEUED).but(labels={"kueue.x-k8s.io/priority-class": "urgent", "team": "a"})
    assert manifests(scene.decide())["Job"]["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "urgent"
    assert "team" not in manifests(scene.decide())["Job"]["metadata"]["labels"]
    scene.with_succeeded("check")
    assert manifests(scene.decide())["RayJob"]["metadata"]["labels"]["kueue.x-k8s.io/priority-class"] == "urgent"


def test_under_kueue_a_suspended_dataset_deletes_its_unfinished_child():
    scene = Scene(merged(QUEUED, {"suspend": True})).with_succeeded("data").with_child("train-1", Work.RUNNING)
    decision = scene.decide()
    assert [deletion.name for deletion in decision.deletions] == [scene.child("train-1")]
    assert decision.suspend_changes == ()


def test_in_a_queue_that_kueue_chose_a_suspended_dataset_deletes_its_child_too():
    scene = Scene(merged(DATA_ONLY, {"suspend": True})).with_child("data", Work.RUNNING, queue="default")
    assert [deletion.name for deletion in scene.decide().deletions] == [scene.child("data")]
    assert scene.decide().suspend_changes == ()


def test_suspending_changes_neither_the_revision_nor_the_names():
    assert Scene(merged(DATA_ONLY, {"suspend": True})).child("data") == nothing_but_data().child("data")


def test_a_changed_spec_stops_the_children_of_the_one_before():
    scene = nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe", revision_label="0" * 12)
    (deletion,) = scene.decide().deletions
    assert (deletion.name, deletion.uid, deletion.why) == ("street-0ldc0ffe-data", "uid-of-street-0ldc0ffe-data", "the spec changed")


def test_a_wrong_spec_stops_what_runs_for_an_earlier_one():
    scene = nothing_but_data().with_raw(output={"url": "/tmp/x"}).with_child("data", Work.RUNNING, spec_hash="0ldc0ffe")
    assert [deletion.why for deletion in scene.decide().deletions] == ["the spec changed"]


def test_a_spec_that_became_wrong_without_an_edit_stops_nothing():
    scene = nothing_but_data().with_child("data", Work.RUNNING).with_raw(output={"url": "/tmp/x"})
    assert told(scene.decide(), reasons.READY)[1] == "InvalidSpec"
    assert scene.decide().deletions == ()


def test_finished_children_go_a_day_after_the_dataset_is_ready_but_for_the_last():
    scene = training().with_succeeded("check", "data", "train-1", "mine-1", "train-2", ended=timedelta(hours=23))
    assert scene.decide().deletions == ()
    assert scene.decide().wake_after == pytest.approx(3600)
    scene = training().with_succeeded("check", "data", "train-1", "mine-1", "train-2", ended=timedelta(hours=24))
    assert [deletion.name for deletion in scene.decide().deletions] == [
        scene.child(role) for role in ("check", "data", "train-1", "mine-1")
    ]


def test_it_stays_ready_when_only_the_last_child_is_left():
    scene = training().with_succeeded("train-2", ended=timedelta(days=300))
    assert told(scene.decide(), reasons.READY)[:2] == (True, "Succeeded")
    assert jobs(scene.decide()) == []
    assert scene.decide().deletions == ()


def test_a_somebody_elses_child_is_never_deleted():
    scene = nothing_but_data().with_child("data", Work.RUNNING, spec_hash="0ldc0ffe", ours=False)
    assert scene.decide().deletions == ()


WAKES: dict[str, tuple[Callable[[], Scene], float | None]] = {
    "a job that starts is looked at again": (lambda: nothing_but_data().with_child("data", Work.STARTING), 10.0),
    "a running job brings its own news": (lambda: nothing_but_data().with_child("data", Work.RUNNING), None),
    "a retry wakes at its time": (lambda: nothing_but_data().with_child("data", Work.FAILED, ended=timedelta(seconds=5)), 15.0),
    "a stalled dataset sleeps": (lambda: nothing_but_data().with_child("data", Work.FAILED, fault=Fault.INPUT), None),
    "a wrong spec sleeps": (lambda: nothing_but_data().with_raw(output={"url": "x"}), None),
}


@pytest.mark.parametrize(("scene", "seconds"), WAKES.values(), ids=WAKES.keys())
def test_wakes(scene, seconds):
    assert scene().decide().wake_after == seconds


def test_counters_of_another_revision_are_forgotten():
    scene = nothing_but_data().but(status={"revision": "0" * 12, "images": {"stored": 5}})
    assert scene.decide().desired_status.forget_progress
    assert not nothing_but_data().but(status={"revision": scene.revision}).decide().desired_status.forget_progress


# --- deletion -----------------------------------------------------------------------------------

KEEP = DATA_ONLY
DELETE = merged(DATA_ONLY, {"deletionPolicy": "Delete"})


def test_the_finalizer_comes_with_the_policy():
    assert Scene(DELETE).decide().finalizers == (names.FINALIZER,)
    assert Scene(KEEP).decide().finalizers is None


def test_the_finalizer_goes_when_the_policy_changes_and_other_peoples_stay():
    scene = Scene(KEEP).but(finalizers=("example.org/theirs", names.FINALIZER))
    assert scene.decide().finalizers == ("example.org/theirs",)


def test_with_retain_a_deleted_object_is_let_go():
    decision = Scene(KEEP).being_deleted().decide()
    assert decision.finalizers == ()
    assert (decision.desired_status, decision.creations) == (None, ())


def test_what_still_writes_is_stopped_before_the_data_goes():
    scene = Scene(DELETE).being_deleted().with_child("data", Work.RUNNING)
    decision = scene.decide()
    assert [deletion.name for deletion in decision.deletions] == [scene.child("data")]
    assert jobs(decision) == []
    assert told(decision, reasons.READY) == (
        False,
        "DeletingData",
        f"Waiting for RayJob {scene.child('data')} to stop before the data is deleted.",
    )


def test_then_a_job_deletes_the_data():
    scene = Scene(DELETE).being_deleted().with_succeeded("data")
    decision = scene.decide()
    assert jobs(decision) == [scene.child("delete")]
    assert decision.finalizers is None
    command = manifests(decision)["Job"]["spec"]["template"]["spec"]["containers"][0]["command"]
    assert command[:6] == ["negset", "job", "delete", "--file", "/etc/negset/dataset.yaml", "--cluster"]


def test_the_deleting_job_has_its_manifest_and_identity_even_where_they_were_collected_already():
    decision = Scene(DELETE).being_deleted().decide()
    assert [creation.manifest["kind"] for creation in decision.creations][:3] == ["ConfigMap", "NetworkPolicy", "ServiceAccount"]


def test_supporting_objects_that_are_collected_while_the_deleting_job_needs_them_are_made_again():
    decision = Scene(DELETE).being_deleted().with_child("delete", Work.STARTING).decide()
    assert [creation.manifest["kind"] for creation in decision.creations] == ["ConfigMap", "NetworkPolicy", "ServiceAccount"]


def test_when_the_data_is_gone_the_object_goes():
    decision = Scene(DELETE).being_deleted().with_child("delete", Work.SUCCEEDED).decide()
    assert decision.finalizers == ()


def test_what_the_deleting_job_left_alone_is_told_before_the_object_goes():
    scene = Scene(DELETE).being_deleted().with_child("delete", Work.SUCCEEDED)
    scene.children[-1] = msgspec.structs.replace(scene.children[-1], termination_message="left alone: s3://b/x")
    assert scene.decide().farewell == "left alone: s3://b/x"


def test_an_object_that_never_ran_needs_no_pod_to_go():
    scene = Scene(merged(DELETE, {"suspend": True}))
    assert scene.decide().finalizers is None
    scene.deleted_at = NOW
    assert (scene.decide().finalizers, scene.decide().creations) == (None, ())


@pytest.mark.parametrize(
    "status",
    [{"images": {"planned": 10}}, {"conditions": [{"type": "DataStored", "status": "True"}]}],
    ids=["images were counted", "the data was stored"],
)
def test_data_of_children_that_are_gone_is_still_the_objects(status):
    scene = Scene(merged(DELETE, {"suspend": True})).but(status=status)
    assert scene.decide().finalizers == (names.FINALIZER,)


LATE = NOW + timedelta(hours=1)


@pytest.mark.parametrize("work", [None, Work.STARTING, Work.RUNNING, Work.FAILED])
def test_a_deletion_ends_whatever_its_job_comes_to_and_says_where_the_data_lies(work):
    scene = Scene(DELETE).being_deleted().but(now=LATE)
    if work is not None:
        scene.with_child("delete", work)
    decision = scene.decide()
    assert decision.finalizers == ()
    assert decision.farewell == "The data was not deleted within 3600 seconds. The data is at s3://team-a/negatives/team-a/street."


def test_a_deletion_that_waits_looks_again_when_its_time_is_over():
    assert Scene(DELETE).being_deleted().with_child("delete", Work.RUNNING).decide().wake_after == 3600


def test_a_deletion_whose_pod_cannot_start_says_what_can_be_done():
    obstacle = Obstacle(reason="CreateContainerConfigError", message='Container delete of pod p cannot start: secret "s3" not found')
    decision = Scene(DELETE).being_deleted().with_child("delete", Work.STARTING, obstacle=obstacle).decide()
    assert told(decision, reasons.READY)[2] == (
        'Container delete of pod p cannot start: secret "s3" not found. To keep the data and delete the object now, set spec.deletionPolicy to Retain. '
        "At 13:00 UTC the object is deleted in any case, and the data is left in place."
    )


def test_data_that_cannot_be_deleted_holds_the_object_and_says_why():
    scene = Scene(DELETE).being_deleted().with_child("delete", Work.FAILED, message="Job d failed with exit code 1: access denied.")
    decision = scene.decide()
    assert decision.finalizers is None
    message = (
        "The data could not be deleted. Job d failed with exit code 1: access denied. To keep the data and delete the object now, "
        f"set spec.deletionPolicy to Retain. At 13:00 UTC the object is deleted in any case, and the data is left in place. {RETRY}"
    )
    assert told(decision, reasons.STALLED) == (True, "DeletionFailed", message)


def test_a_spec_that_cannot_be_used_does_not_lose_the_data_silently():
    decision = Scene(DELETE).being_deleted().with_raw(output={"url": "/tmp/x"}).decide()
    assert told(decision, reasons.STALLED)[1] == "DeletionFailed"
    assert decision.finalizers is None


def test_nor_does_it_hold_the_object_for_ever():
    decision = Scene(DELETE).being_deleted().with_raw(output={"url": "/tmp/x"}).but(now=LATE).decide()
    assert decision.finalizers == ()
    assert "was not deleted, because the spec cannot be used" in decision.farewell


def unavailable(attempts: int, *, role: str = "data", ended: timedelta = timedelta()) -> Scene:
    scene = nothing_but_data() if role == "data" else training().with_succeeded("check", "data")
    for attempt in range(1, attempts + 1):
        scene.with_child(
            role, Work.FAILED, attempt=attempt, fault=Fault.UNAVAILABLE, ended=ended, message="RayJob d waits: nothing answers."
        )
    return scene


@pytest.mark.parametrize("role", ["data", "train-1"])
def test_a_store_that_is_away_counts_as_no_attempt_and_is_tried_with_growing_pauses(role):
    assert [unavailable(attempts, role=role).decide().wake_after for attempts in (1, 2, 3, 4, 5, 6, 20)] == [20, 40, 80, 160, 320, 600, 600]
    later = unavailable(20, role=role, ended=timedelta(seconds=600))
    assert jobs(later.decide()) == [later.child(role, 21)]


def test_while_it_waits_it_says_what_is_away_and_when_it_asks_again():
    assert told(unavailable(4).decide(), reasons.READY) == (
        False,
        "Retrying",
        "RayJob d waits: nothing answers. The next attempt is at 2026-03-01T12:02:40Z.",
    )


def test_it_is_not_tried_for_ever():
    assert told(unavailable(60, ended=timedelta(hours=1)).decide(), reasons.STALLED)[1] == "AttemptsExhausted"


def test_an_interruption_is_not_tried_for_ever_either():
    scene = nothing_but_data()
    for attempt in range(1, 61):
        scene.with_child("data", Work.FAILED, attempt=attempt, fault=Fault.INTERRUPTION, ended=timedelta(hours=1))
    assert told(scene.decide(), reasons.STALLED)[1] == "AttemptsExhausted"


def test_attempts_that_another_follows_are_cleaned_up_and_failures_of_their_own_stay_to_be_counted():
    scene = nothing_but_data()
    for attempt, fault in enumerate((Fault.UNAVAILABLE, Fault.WORK, Fault.INTERRUPTION, Fault.UNAVAILABLE), start=1):
        scene.with_child("data", Work.FAILED, attempt=attempt, fault=fault)
    assert [deletion.name for deletion in scene.decide().deletions] == [scene.child("data"), scene.child("data", 3)]


def test_the_clock_is_an_argument():
    scene = nothing_but_data().with_child("data", Work.FAILED)
    assert jobs(scene.but(now=NOW + timedelta(minutes=1)).decide()) == [scene.child("data", 2)]


# --- a node that does not answer ----------------------------------------------------------------


def on_a_lost_node(role: str, work: Work, *, seconds_over: float, scene: Scene | None = None) -> Scene:
    """Return a scene with a child whose pod should have ended this many seconds ago."""
    pod = PodOnLostNode(name="pod-1", uid="uid-of-pod-1", node="node-7", until=NOW - timedelta(seconds=seconds_over))
    return (scene or nothing_but_data()).with_child(role, work, pods_on_lost_nodes=(pod,))


def test_a_pod_of_a_ray_cluster_is_given_up_with_its_node():
    (deletion,) = on_a_lost_node("data", Work.RUNNING, seconds_over=20).decide().deletions
    assert (deletion.kind, deletion.name, deletion.uid, deletion.at_once) == ("Pod", "pod-1", "uid-of-pod-1", True)


def test_a_node_has_a_moment_to_answer_and_the_condition_says_for_what_one_waits():
    decision = on_a_lost_node("data", Work.RUNNING, seconds_over=5).decide()
    assert decision.deletions == ()
    assert decision.wake_after == pytest.approx(15)
    status, reason, message = told(decision, reasons.READY)
    assert (status, reason) == (False, "NodeLost")
    assert message.startswith("Node node-7 does not answer. Pod pod-1 of RayJob ")
    assert message.endswith("The pod is deleted by force at 12:00:15 UTC and replaced.")


def test_a_training_pod_is_never_given_up_since_two_would_write_the_same_checkpoints():
    decision = on_a_lost_node("train-1", Work.STARTING, seconds_over=3600, scene=Scene(TRAINING).with_succeeded("data")).decide()
    assert decision.deletions == ()
    assert told(decision, reasons.READY)[1] == "NodeLost"
    assert "kubectl delete node node-7" in told(decision, reasons.READY)[2]


def test_a_pod_on_a_lost_node_does_not_hold_up_the_deletion_of_the_data():
    scene = on_a_lost_node("data", Work.RUNNING, seconds_over=5, scene=Scene(DELETE).being_deleted())
    assert [deletion.kind for deletion in scene.decide().deletions] == ["RayJob"]
    assert scene.decide().wake_after == pytest.approx(15)
    assert [deletion.kind for deletion in scene.but(now=NOW + timedelta(seconds=15)).decide().deletions] == ["RayJob", "Pod"]


def test_a_supporting_object_that_somebody_changed_is_put_right_while_work_goes_on():
    scene = nothing_but_data().with_child("data", Work.RUNNING)
    changed = {"Role", "ConfigMap"}  # the ConfigMap is immutable
    scene.supporting_objects = [msgspec.structs.replace(each, edited=each.kind in changed) for each in all_supporting_objects()]
    assert [(creation.manifest["kind"], creation.update) for creation in scene.decide().creations] == [("Role", True)]
