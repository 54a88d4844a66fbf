"""RayJobs, Jobs and their pods → children with the state of their work.

Only this module and `obstacles` know the states of other controllers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from negset_api import names
from negset_api.errors import NO_FAULT, InvalidInput, Unavailable
from negset_operator import naming, obstacles
from negset_operator.facts import OVERDUE, Child, Failure, Fault, Obstacle, Work
from negset_operator.kube.objects import Condition, Job, Pod, RayJob, Terminated
from negset_operator.obstacles import LONGEST_LINE, age, one_line

# The wording of ray/dashboard/modules/job/job_supervisor.py (2.60): "Job entrypoint command
# failed with exit code 1, last available logs …:\n<log>".
_RAY_EXIT = re.compile(r"failed with exit code (-?\d+)(?:, last available logs[^\n]*\n(?P<log>.*))?", re.DOTALL)
# The wording of Kubernetes for a matched pod failure policy, in
# pkg/controller/job/pod_failure_policy.go: "… failed with exit code 2 matching FailJob rule at
# index 1".
_JOB_EXIT = re.compile(r"failed with exit code (-?\d+) matching")

# https://docs.ray.io/en/latest/cluster/kubernetes/ and KubeRay's apis/ray/v1/rayjob_types.go
# (1.6.2)
_DEADLINE: Final = "DeadlineExceeded"  # of RayJobs and of Jobs (batch/v1 JobReasonDeadlineExceeded)
_ENDED: Final = frozenset({"Succeeded", "Failed"})
_NOT_BEGUN: Final = frozenset({Work.SUSPENDED, Work.NOT_PICKED_UP, Work.STARTING})
_RAY_FAILED: Final = frozenset({"Failed", "ValidationFailed"})


def ray_job(job: RayJob, pods: Iterable[Pod], owner_uid: str, now: datetime, not_picked_up_after: timedelta) -> Child:
    """Return a RayJob as a child.

    If KubeRay does not touch it for longer than `not_picked_up_after`, that is an obstacle.
    """
    status, pods = job.status, tuple(pods)
    work, failure = _ray_work(job, any_pods=bool(pods))
    obstacle = None
    conditions = status.ray_cluster_status.conditions
    if work in {Work.NOT_PICKED_UP, Work.STARTING}:
        obstacle = obstacles.of_ray_cluster(conditions, job.metadata.name, now) or obstacles.of_pods(pods)
    # KubeRay reports Running also for a cluster that has lost its head.
    elif work is Work.RUNNING and not job.spec.suspend:
        obstacle = obstacles.of_running_cluster(pods, conditions, job.metadata.name, now)
    # When a suspended job resumes, KubeRay resets its state but not its start time.
    if work is Work.NOT_PICKED_UP and status.start_time is None and age(job.metadata, now) > not_picked_up_after:
        obstacle = Obstacle(
            reason="NotPickedUp",
            message=f"RayJob {job.metadata.name} was created at {job.metadata.creation_timestamp:%H:%M:%S} UTC, and no controller has started it. "
            "Ask the administrator whether KubeRay runs and watches this namespace.",
        )
    if work in _NOT_BEGUN:
        obstacle = obstacles.of_multikueue(f"RayJob {job.metadata.name}", job.spec.managed_by) or obstacle
    return Child(
        kind="RayJob",
        metadata=job.metadata,
        work=work,
        suspended=job.spec.suspend,
        started=status.start_time,
        ended=status.end_time,
        failure=failure,
        obstacle=obstacle,
        began=obstacles.began(pod for pod in pods if obstacles.is_head(pod)),
        deadline=job.spec.active_deadline_seconds,
        pods_on_lost_nodes=obstacles.pods_on_lost_nodes(pods),
        **_identity(job, owner_uid),
    )


def job(job: Job, pods: Iterable[Pod], owner_uid: str, warning: str = "") -> Child:
    """Return a batch Job as a child.

    `warning` is the message of the newest event on why it has no pods, or empty.
    """
    pods = tuple(pods)
    conditions = {condition.type: condition for condition in job.status.conditions if condition.status == "True"}
    ended, failure, obstacle, last_failure, message = job.status.completion_time, None, None, "", ""
    if "Complete" in conditions:
        work, message = Work.SUCCEEDED, _termination_message(pods)
    elif failed := conditions.get("Failed"):
        work, ended, failure = Work.FAILED, failed.last_transition_time, _job_failure(job, failed, pods)
    else:
        work = _unfinished_work(job, conditions, pods)
    if not work.finished:
        obstacle, last_failure = obstacles.of_pods(pods), _last_failure(pods)
        if obstacle is None and work is Work.STARTING and warning:
            obstacle = Obstacle(reason="PodRefused", message=f"Job {job.metadata.name} cannot create its pods: {one_line(warning)}")
    if work in _NOT_BEGUN:
        obstacle = obstacles.of_multikueue(f"Job {job.metadata.name}", job.spec.managed_by) or obstacle
    return Child(
        kind="Job",
        metadata=job.metadata,
        work=work,
        suspended=job.spec.suspend,
        started=job.status.start_time,
        ended=ended,
        failure=failure,
        obstacle=obstacle,
        last_failure=last_failure,
        began=obstacles.began(pods),
        deadline=job.spec.active_deadline_seconds,
        termination_message=message,
        busy=any(pod.status.phase == "Running" for pod in pods),
        pods_on_lost_nodes=obstacles.pods_on_lost_nodes(pods),
        **_identity(job, owner_uid),
    )


def _identity(item: RayJob | Job, owner_uid: str) -> dict[str, Any]:
    """Return the fields of a child that come from its owner and its labels."""
    labels = item.metadata.labels
    generation, queue, place = (labels.get(name, "") for name in (names.LABEL_GENERATION, names.LABEL_QUEUE, names.LABEL_PLACE))
    attempt = labels.get(names.LABEL_ATTEMPT, "")
    # negset 0.1.0 set neither the label `place` nor `suspended`. It suspended no child in a queue.
    by_0_1_0 = item.spec.suspend and not place and not queue
    return {
        "ours": item.metadata.owned_by(owner_uid),
        "revision": labels.get(names.LABEL_REVISION, ""),
        "spec_hash": labels.get(names.LABEL_SPEC_HASH, ""),
        "role": labels.get(names.LABEL_ROLE, ""),
        # A child of negset 0.1.0 has the attempt only in its name.
        "attempt": int(attempt) if attempt.isdecimal() else naming.attempt_of(item.metadata.name),
        "generation": int(generation) if generation.isdecimal() else 0,
        "digest": labels.get(names.LABEL_DIGEST, ""),
        "place": place,
        "built": labels.get(names.LABEL_BUILT, ""),
        "retry": labels.get(names.LABEL_RETRY, ""),
        "pipeline": labels.get(names.LABEL_PIPELINE, ""),
        "queue": queue,
        "suspended_by_us": names.LABEL_SUSPENDED in labels or by_0_1_0,
        "counted": names.LABEL_COUNTED in labels,
    }


def _unfinished_work(job: Job, conditions: Mapping[str, Condition], pods: tuple[Pod, ...]) -> Work:
    status = job.status
    # A pod that still saves its checkpoint works. The Job controller counts it as terminating.
    if job.spec.suspend:
        alive = status.active or status.terminating or any(pod.status.phase not in _ENDED for pod in pods)
        return Work.RUNNING if alive else Work.SUSPENDED
    # The Job is ending and waits for its last pods.
    if "SuccessCriteriaMet" in conditions or "FailureTarget" in conditions:
        return Work.RUNNING
    # The pods report success a moment before the Job does.
    succeeded = max(status.succeeded, sum(pod.status.phase == "Succeeded" for pod in pods))
    at_work = (status.active or succeeded) and status.ready + succeeded >= job.spec.parallelism
    return Work.RUNNING if at_work else Work.STARTING


def _ray_work(job: RayJob, *, any_pods: bool) -> tuple[Work, Failure | None]:
    status = job.status
    deployment = status.job_deployment_status
    if deployment == "Complete" and status.job_status == "SUCCEEDED":
        return Work.SUCCEEDED, None
    if deployment == "Complete":  # KubeRay also reports a stopped job as complete
        return Work.FAILED, Failure(fault=Fault.INTERRUPTION, message=f"RayJob {job.metadata.name} was stopped from outside.")
    if deployment in _RAY_FAILED:
        return Work.FAILED, _ray_failure(job)
    # Its pods decide: KubeRay reports "Suspended" before the last pod ends, or seconds after.
    if job.spec.suspend:
        return (Work.RUNNING if any_pods else Work.SUSPENDED), None
    if deployment == "Running":
        return Work.RUNNING, None
    return (Work.STARTING if deployment else Work.NOT_PICKED_UP), None


def _ray_failure(job: RayJob) -> Failure:
    status = job.status
    if status.job_deployment_status == "ValidationFailed" or status.reason == "ValidationFailed":
        return Failure(fault=Fault.REFUSED, message=f"KubeRay rejected RayJob {job.metadata.name}: {one_line(status.message)}")
    if status.reason == _DEADLINE:
        return _overdue(f"RayJob {job.metadata.name}", job.spec.active_deadline_seconds)
    if match := _RAY_EXIT.search(status.message):
        code, line = int(match[1]), _last_line(match["log"] or "")
        return _exit_failure(f"RayJob {job.metadata.name}", code, line)
    # Without an exit code, the entrypoint did not end by itself: its node, its head or its actor
    # was lost, or it never started.
    cause = _last_line(status.message) or status.reason or "no reason given"
    return Failure(fault=Fault.INTERRUPTION, message=f"RayJob {job.metadata.name} was interrupted: {cause}")


def _job_failure(job: Job, condition: Condition, pods: tuple[Pod, ...]) -> Failure:
    name = job.metadata.name
    if condition.reason == _DEADLINE:
        return _overdue(f"Job {name}", job.spec.active_deadline_seconds)
    last = _last_terminated(pods)
    match = _JOB_EXIT.search(condition.message)
    code = int(match[1]) if match else (last.exit_code if last else None)
    if code is None:
        return Failure(fault=Fault.WORK, message=f"Job {name} failed: {one_line(condition.message) or condition.reason}", silent=True)
    return _exit_failure(f"Job {name}", code, _last_line(last.message) if last else "")


def _overdue(who: str, deadline: int | None) -> Failure:
    """Return the failure of a child that a deadline ended.

    The child was created with that deadline, or the operator set it because the child made no
    progress.
    """
    how = "made no progress and was stopped" if deadline == OVERDUE else f"ran for more than {deadline} seconds and was stopped"
    return Failure(fault=Fault.INTERRUPTION, message=f"{who} {how}.")


def _last_failure(pods: tuple[Pod, ...]) -> str:
    last = _last_terminated(pods)
    if last is None:
        return ""
    line = _last_line(last.message)
    how = "was stopped" if last.exit_code in NO_FAULT else f"failed with exit code {last.exit_code}"
    return f"Previous pod {how}" + (f": {line}" if line else ".")


def _termination_message(pods: tuple[Pod, ...]) -> str:
    """Return the last line of the termination message of a pod that succeeded."""
    ended = (status.state.terminated for pod in pods for status in pod.status.container_statuses)
    return next((_last_line(state.message) for state in ended if state is not None and not state.exit_code and state.message), "")


def _last_terminated(pods: tuple[Pod, ...]) -> Terminated | None:
    ended = [
        container.state.terminated
        for pod in pods
        for container in pod.status.container_statuses
        if container.state.terminated is not None and container.state.terminated.exit_code
    ]
    # The pod that failed first is the cause. Its peers end after it, with a code of NO_FAULT.
    return max(
        ended,
        key=lambda state: (state.exit_code not in NO_FAULT, state.finished_at.timestamp() if state.finished_at else 0.0),
        default=None,
    )


def _exit_failure(who: str, code: int, line: str) -> Failure:
    detail = f": {line}" if line else " and left no message."
    if code in NO_FAULT:
        fault, how = Fault.INTERRUPTION, "was stopped from outside"
    elif code == Unavailable.exit_code:
        fault, how = Fault.UNAVAILABLE, "ended because a store or a server cannot be reached"
    elif code == InvalidInput.exit_code:
        fault, how = Fault.INPUT, "reports that its input is invalid"
    else:
        fault, how = Fault.WORK, f"failed with exit code {code}"
    return Failure(fault=fault, message=f"{who} {how}{detail}", silent=not line)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:LONGEST_LINE] if lines else ""
