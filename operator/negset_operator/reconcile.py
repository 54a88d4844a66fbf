"""One reconcile: observe, decide, apply, then write the status and record events.

It keeps no state between reconciles, and may be interrupted anywhere.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import msgspec

from negset_api import names
from negset_operator import pipelines, reasons, status
from negset_operator.apply import Done, Writer
from negset_operator.config import Config
from negset_operator.decide import decide
from negset_operator.decision import Decision, DesiredStatus, Finished, without_deferrable
from negset_operator.facts import Facts
from negset_operator.kube.answers import conflict, namespace_terminating
from negset_operator.kube.cache import Key
from negset_operator.kube.client import DATASET, EVENT, NOT_FOUND, ApiError, Client, Unreachable
from negset_operator.kube.objects import Dataset, Object
from negset_operator.observe import newest_warning, observe, why_queued
from negset_operator.policies import ending, verdict
from negset_operator.world import World

log = logging.getLogger(__name__)

REFUSED_AGAIN_AFTER: Final = 30.0
"""Seconds until the operator retries an object that the API server refused.

The cause is a quota, an admission policy or an object that does not belong to the dataset. No watch
reports when that changes.
"""


def _now() -> datetime:
    return datetime.now(UTC)


class Meter(Protocol):
    """Counts events for Prometheus.

    Each event is counted once, even if the leader changes (`policies.counting`).
    """

    def warned(self, reason: str) -> None: ...
    def failed(self, step: str, fault: str) -> None: ...
    def finished(self, step: str, seconds: float) -> None: ...


class Reconciler:
    """Reconciles one dataset at a time, from any thread."""

    def __init__(
        self,
        client: Client,
        world: World,
        config: Config,
        meter: Meter,
        *,
        backlog: Callable[[], bool] = lambda: False,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """`backlog` returns True if other datasets wait for a reconcile."""
        self._client, self._world, self._config, self._now = client, world, config, now
        self._backlog, self._meter = backlog, meter
        self._writer = Writer(client, world)

    def configure(self, config: Config) -> None:
        """Use this configuration from the next reconcile on."""
        self._config = config

    def reconcile(self, key: Key) -> tuple[float | None, Done]:
        """Reconcile one dataset once.

        Return the seconds until the next reconcile (None: at the next change), and what was done.
        Raise `ApiError` or `Unreachable` if a request failed; the caller retries.
        """
        started, config = time.monotonic(), self._config
        dataset = self._world.dataset(key)
        if dataset is None:
            return None, Done(actions=())
        facts = observe(
            self._world,
            dataset,
            config,
            self._now(),
            warning_of=lambda metadata: newest_warning(self._client, metadata),
            queue_message=lambda metadata: why_queued(self._client, metadata),
            pipeline_in=lambda namespace, name: pipelines.read(self._client, namespace, name),
        )
        decision = decide(facts, config)
        if self._backlog():
            # Each of many datasets that are applied at once gets its child soon.
            decision = without_deferrable(decision)
        try:
            done = self._carry_out(facts, decision)
            if done.refusal is not None and done.refusal.reason == reasons.NAMESPACE_ENDING and dataset.metadata.deletion_timestamp:
                decision = ending.abandon(facts)
                done = self._carry_out(facts, decision)
        except (ApiError, Unreachable) as error:
            if not conflict(error):
                self._report_failure(facts, decision, error)
            raise
        if done.children and done.refusal is None:
            # The next reconcile writes the status. Datasets that wait for a child go first.
            _log_line(facts, done, decision.desired_status, written=False, seconds=time.monotonic() - started)
            return 0.0, done
        desired_status, wake_after = decision.desired_status, decision.wake_after
        if desired_status is not None and done.refusal is not None:
            desired_status = verdict.blocked(desired_status, done.refusal.reason, done.refusal.message, permanent=done.refusal.permanent)
            wake_after = min(wake_after or REFUSED_AGAIN_AFTER, REFUSED_AGAIN_AFTER)
        written = desired_status is not None and self._write(dataset, desired_status, decision.finished)
        _log_line(facts, done, desired_status, written=written, seconds=time.monotonic() - started)
        return wake_after, done

    def _carry_out(self, facts: Facts, decision: Decision) -> Done:
        if decision.final_event:  # before the object is deleted
            log.warning("%s/%s: %s", facts.dataset.metadata.namespace, facts.dataset.metadata.name, decision.final_event)
            note = status.Note(warning=True, reason=reasons.DATA_LEFT, message=decision.final_event[: status.LONGEST_NOTE])
            # Once, also if the deletion is refused and retried: of one name there is one event.
            self._record(facts.dataset, note, facts.dataset.metadata.uid)
        for each in decision.failed:  # before the child is deleted
            if self._writer.mark_counted(facts.dataset.metadata.namespace, each):
                self._meter.failed(each.step, each.fault.value)
        return self._writer.carry_out(facts, decision)

    def _write(self, dataset: Dataset, desired_status: DesiredStatus, finished: tuple[Finished, ...]) -> bool:
        meta = dataset.metadata
        # The finalizers may have been written just now. The cache has the newest resource version.
        current = self._world.caches[DATASET].get(meta.namespace, meta.name)
        if current is None or current.metadata.uid != meta.uid:
            return False
        change = status.change(desired_status, current.status, meta.generation, self._now())
        if change is None:
            return False
        try:
            written = self._writer.write_status(current, change)
        except ApiError as error:
            if error.status == NOT_FOUND:  # deleted meanwhile
                return False
            raise
        for each in finished:
            self._meter.finished(each.step, each.seconds)
        for note in status.notes(desired_status, current.status):
            if note.warning:
                self._meter.warned(note.reason)
            self._record(dataset, note)
        self._writer.remove_leftovers(written, change)
        return True

    def _report_failure(self, facts: Facts, decision: Decision, error: ApiError | Unreachable) -> None:
        """Write the failure of a request into the status, if the API server accepts that.

        The caller raises the error.
        """
        if decision.desired_status is None:
            return
        desired_status = verdict.blocked(
            decision.desired_status, reasons.NOT_APPLIED, f"A request to the API server failed and is retried: {error}", permanent=False
        )
        with contextlib.suppress(ApiError, Unreachable):
            self._write(facts.dataset, desired_status, decision.finished)

    def _record(self, dataset: Dataset, note: status.Note, suffix: str = "") -> None:
        """Record an event. A failure is only logged.

        `suffix` ends its name; by default it is random.

        A terminating namespace accepts no events. Then the event is about the namespace itself.
        """
        meta = dataset.metadata
        involved = {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        suffix = suffix or secrets.token_hex(8)
        try:
            try:
                self._client.create(EVENT, _event(note, involved, meta.namespace, suffix, self._now()), Object)
            except ApiError as error:
                if not namespace_terminating(error):
                    raise
                # The namespace of events about cluster-scoped objects (client-go's tools/record).
                involved = {"apiVersion": "v1", "kind": "Namespace", "name": meta.namespace}
                note = msgspec.structs.replace(note, message=f"{names.KIND} {meta.name}: {note.message}"[: status.LONGEST_NOTE])
                self._client.create(EVENT, _event(note, involved, names.DEFAULT_NAMESPACE, suffix, self._now()), Object)
        except (ApiError, Unreachable) as error:
            if conflict(error):  # it is there
                return
            log.info("failed to record event %s for %s/%s: %s", note.reason, meta.namespace, meta.name, error)


def _event(note: status.Note, involved: dict[str, str], namespace: str, suffix: str, now: datetime) -> dict[str, Any]:
    moment = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "metadata": {"name": f"{involved['name'][:200]}.{suffix}", "namespace": namespace},
        "involvedObject": involved,
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "message": note.message,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
        "source": {"component": names.OPERATOR_FIELD_MANAGER},
        "reportingComponent": f"{names.GROUP}/{names.OPERATOR_FIELD_MANAGER}",
        "reportingInstance": names.OPERATOR_FIELD_MANAGER,
    }


def _log_line(facts: Facts, done: Done, desired_status: DesiredStatus | None, *, written: bool, seconds: float) -> None:
    meta = facts.dataset.metadata
    ready = desired_status.condition(reasons.READY) if desired_status else None
    children = [f"{child.kind} {child.name} {'terminating' if child.terminating else child.work.value}" for child in facts.children]
    fields = {
        "namespace": meta.namespace,
        "name": meta.name,
        "generation": meta.generation,
        "revision": facts.revision,
        "seen": children,
        "decided": {"stage": desired_status.stage, "reason": ready.reason if ready else "", "message": ready.message if ready else ""}
        if desired_status
        else None,
        "done": [*done.actions, *(["wrote status"] if written else [])],
        "seconds": round(seconds, 4),
    }
    # A reconcile that found nothing to do is logged for debugging only.
    log.log(logging.INFO if fields["done"] or done.refusal else logging.DEBUG, "reconciled", extra={"fields": fields})
