"""Write progress to the status of the job's NegativeDataset.

The job's ServiceAccount may patch this one object's status and nothing else. The operator owns the
conditions. The job writes counters that only the job knows. If the API server is unavailable, the
work continues.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from negset_api import names
from negset_api.spec import Metadata
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.progress import DOWNLOADING_NEGATIVES, Pace, Progress

_PAUSES: Final = (1, 2, 4, 8, 16, 30)  # seconds
_FINAL_PAUSES: Final = (30,) * 28
"""15 minutes together with `_PAUSES`: time to upgrade or restart an operator or an API server."""
_CONFLICTS: Final = 5
"""Maximum writes per attempt. After a conflict, the object is read and written again."""
_REQUEST_SECONDS: Final = 5
_FOR_GOOD: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})
"""The object was deleted, or its CRD has another version and rejects these fields."""
_LONGEST_MESSAGE: Final = 1000  # characters; Kubernetes keeps 4,096 bytes

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES: Final = 5.0
"""Often enough for a person who watches.

1,000 active datasets cause 200 small writes a second on the API server.
"""


def write_termination_message(text: str) -> None:
    """Write the text to the pod's status, where the operator reads it. Do nothing outside a pod.

    Kubernetes would otherwise show the last lines of the log there.
    """
    with contextlib.suppress(OSError), open(names.TERMINATION_LOG, "r+", encoding="utf-8") as stream:
        stream.write(text[:_LONGEST_MESSAGE])


class StatusWriter:
    """Writes fields of one object's status.

    Never raises: a failed write must not fail a job whose work succeeded.

    Each write names the resource version that this job saw last. So it cannot change another object
    of the same name. If `status.runs` no longer lists this run's spec hash, nothing is written. The
    response has the next version, so a write is one request unless another client writes too.
    """

    def __init__(self, metadata: Metadata, spec_hash: str = "", api: Any = None) -> None:
        """Connect to the pod's cluster, or use `api`, a `CustomObjectsApi`.

        `spec_hash` is the spec hash in `status.runs` that this job reports for; empty if the
        operator did not set it.
        """
        if api is None:
            from kubernetes import client, config

            config.load_incluster_config()
            api = client.CustomObjectsApi()
        self._api = api
        self._metadata, self._spec_hash = metadata, spec_hash
        self._version = ""
        """The resource version that this job saw last; empty if it must read the object again."""
        self._answered = False
        """True if the API server has ever responded. If not, this pod cannot reach it."""

    def write(self, status: Mapping[str, Any]) -> None:
        """Try one write. If it fails, a later write has newer numbers."""
        self._attempt(status)

    def write_last(self, status: Mapping[str, Any], *, final: bool = False) -> None:
        """Write this job's last status, and retry for about a minute.

        With `final`, no later step writes it, so retry for a quarter of an hour. If the operator
        has replaced the run meanwhile, it deletes the job, which ends the retries.
        """
        for pause in self._pauses(final=final):
            if self._attempt(status):
                return
            time.sleep(pause)
        if not self._attempt(status) and final:
            log.warning("failed to write the last results to the status; they are in the output")

    def _pauses(self, *, final: bool) -> Iterator[int]:
        yield from _PAUSES
        for pause in _FINAL_PAUSES if final else ():
            if not self._answered:
                return
            yield pause

    def _attempt(self, status: Mapping[str, Any]) -> bool:
        """Return True if a retry is pointless: it is written, or can never be written."""
        try:
            with address_guard.exempt():
                return self._written(status)
        except Exception as error:  # noqa: BLE001 - no error here may stop the work
            code = getattr(error, "status", None)
            log.warning("failed to write the status: %s", f"HTTP {code}" if code else type(error).__name__)
            return code in _FOR_GOOD

    def _written(self, status: Mapping[str, Any]) -> bool:
        """Return True if it is written or the object was deleted; False if a retry may succeed."""
        for _ in range(_CONFLICTS):
            if not self._version:
                found = self._get()
                if self._metadata.uid not in {"", found["metadata"]["uid"]}:
                    log.debug("the object of this job was deleted")
                    return True
                runs = (found.get("status") or {}).get("runs")
                if self._spec_hash and runs and self._spec_hash not in runs:
                    # Either the operator has not listed this run yet, or another run has replaced
                    # it.
                    log.debug("the spec hash %s is not in status.runs: %s", self._spec_hash, runs)
                    return False
                self._version = found["metadata"]["resourceVersion"]
            if self._patch(status):
                return True
        log.debug("gave up after %d conflicts with other writers of the object", _CONFLICTS)
        return False

    def _get(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get_namespaced_custom_object_status(*self._place(), _request_timeout=_REQUEST_SECONDS)
        self._answered = True
        return found

    def _patch(self, status: Mapping[str, Any]) -> bool:
        """Write once. Return False if another writer has changed the object since."""
        version, self._version = self._version, ""
        try:
            written = self._api.patch_namespaced_custom_object_status(
                *self._place(),
                {"metadata": {"resourceVersion": version}, "status": status},
                field_manager=names.JOBS_FIELD_MANAGER,
                _content_type="application/merge-patch+json",
                _request_timeout=_REQUEST_SECONDS,
            )
        except Exception as error:
            if getattr(error, "status", None) == HTTPStatus.CONFLICT:
                return False
            raise
        self._version = written["metadata"]["resourceVersion"]
        return True

    def _place(self) -> tuple[str, str, str, str, str]:
        return names.GROUP, names.VERSION, self._metadata.namespace, names.PLURAL, self._metadata.name


class StatusProgress:
    """Shows progress on `shown`, and writes it to the object's status periodically.

    `clock` measures the pace. `today` returns the time that is written to the status.
    """

    def __init__(
        self,
        write: Callable[[Mapping[str, Any]], None],
        shown: Progress,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._send = write
        self._shown = shown
        self._clock = clock
        self._today = today

    def start(self, stage: str, total: int, unit: str, *, done: int = 0) -> None:
        self._shown.start(stage, total, unit, done=done)
        self._stage, self._total, self._unit = stage, total, unit
        self._done, self._failed = done, 0
        self._loss: float | None = None
        self._pace = Pace(total)
        self._left: float | None = None
        self._advanced_at = self._today()
        self._write(self._clock())

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:
        self._shown.advance(done, failed=failed, loss=loss)
        self._done += done
        self._failed += failed
        if done:
            self._advanced_at = self._today()
        self._loss = self._loss if loss is None else loss
        now = self._clock()
        self._left = self._pace.seconds_left(self._done, now)
        if now - self._written >= SECONDS_BETWEEN_WRITES:
            self._write(now)

    def finish(self) -> None:
        self._shown.finish()
        self._left = 0
        self._advanced_at = self._today()
        self._write(self._clock())

    def _write(self, now: float) -> None:
        self._written = now
        progress: dict[str, Any] = {
            "percent": 100 * self._done // self._total if self._total else 100,
            "secondsLeft": None if self._left is None else round(self._left),
            "step": self._done if self._unit == "steps" else None,
            "loss": None if self._loss is None else f"{self._loss:.3f}",
            "updatedAt": self._advanced_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        status: dict[str, Any] = {"progress": progress}
        if self._stage == DOWNLOADING_NEGATIVES:
            # The number of transient failures is known at the end. That of an earlier run goes.
            status["images"] = {
                "planned": self._total,
                "stored": self._done - self._failed,
                "failed": self._failed,
                "transient": None,
            }
        self._send(status)
