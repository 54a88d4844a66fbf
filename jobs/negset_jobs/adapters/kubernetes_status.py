"""Progress into the status of the object that a job works for.

The job's ServiceAccount may patch this one object's status and nothing else.

The operator owns the conditions; what is written here are the counters that only the job knows. It
is a courtesy: where the API server cannot be reached the work goes on.
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
"""Together with those a quarter of an hour: an operator, or an API server, is upgraded or restarted
meanwhile.
"""
_CONFLICTS: Final = 5
"""How many writes one attempt makes at most: after a conflict it reads again and writes again."""
_REQUEST_SECONDS: Final = 5
_FOR_GOOD: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY})
"""The object is gone, or its CRD is of another version and refuses what this one writes."""
_LONGEST_MESSAGE: Final = 1000  # characters; Kubernetes keeps 4,096 bytes

log = logging.getLogger(__name__)

SECONDS_BETWEEN_WRITES: Final = 5.0
"""Often enough for a person who watches; 1,000 datasets that work at the same time cost the API
server 200 small writes a second.
"""


def tell_pod(text: str) -> None:
    """Puts the text into the pod's status, where the operator reads it, in place of the log's last
    line. Nothing where there is no pod.
    """
    with contextlib.suppress(OSError), open(names.TERMINATION_LOG, "r+", encoding="utf-8") as stream:
        stream.write(text[:_LONGEST_MESSAGE])


class StatusWriter:
    """Writes fields of one object's status.

    Never raises: a job whose work succeeds has succeeded, whatever its status says.

    Each write names the resource version that this job saw last. So it cannot change another object
    of the same name, nor the status of a dataset whose `status.runs` no longer lists this run: it
    is dropped. The answer brings the next version, so a write is one request while nobody else
    writes.
    """

    def __init__(self, metadata: Metadata, spec_hash: str = "", api: Any = None) -> None:
        """`spec_hash` is the hash that this job reports for, as in `status.runs`; empty if the operator did not say.

        `api` is a `CustomObjectsApi`, by default the pod's cluster.
        """
        if api is None:
            from kubernetes import client, config

            config.load_incluster_config()
            api = client.CustomObjectsApi()
        self._api = api
        self._metadata, self._spec_hash = metadata, spec_hash
        self._version = ""
        """The resource version that this job saw last, while its run might report; empty if it must
        read again.
        """
        self._answered = False
        """Whether the API server has ever answered. If it never has, this pod cannot reach it."""

    def write(self, status: Mapping[str, Any]) -> None:
        """Writes once: what comes later says more."""
        self._attempt(status)

    def write_last(self, status: Mapping[str, Any], *, final: bool = False) -> None:
        """Writes what this job has to say last, and tries for about a minute.

        `final`: no later step says it either. Then it tries for a quarter of an hour. A run that
        the operator has replaced does not wait so long: its job is deleted.
        """
        for pause in self._pauses(final=final):
            if self._attempt(status):
                return
            time.sleep(pause)
        if not self._attempt(status) and final:
            log.warning("the status lacks what was measured last; it is in the output")

    def _pauses(self, *, final: bool) -> Iterator[int]:
        yield from _PAUSES
        for pause in _FINAL_PAUSES if final else ():
            if not self._answered:
                return
            yield pause

    def _attempt(self, status: Mapping[str, Any]) -> bool:
        """Whether there is no point in trying again: it is written, or never will be."""
        try:
            with address_guard.exempt():
                return self._written(status)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the work
            code = getattr(error, "status", None)
            log.warning("cannot write to the status: %s", f"HTTP {code}" if code else type(error).__name__)
            return code in _FOR_GOOD

    def _written(self, status: Mapping[str, Any]) -> bool:
        """Return True if it is written, or if the object is gone; False if a later attempt may
        succeed.
        """
        for _ in range(_CONFLICTS):
            if not self._version:
                found = self._get()
                if self._metadata.uid not in {"", found["metadata"]["uid"]}:
                    log.debug("the object of this job is gone")
                    return True
                runs = (found.get("status") or {}).get("runs")
                if self._spec_hash and runs and self._spec_hash not in runs:
                    # Either the operator has not listed this run yet, or another run has replaced
                    # it.
                    log.debug("the run %s may not report: the status lists %s", self._spec_hash, runs)
                    return False
                self._version = found["metadata"]["resourceVersion"]
            if self._patch(status):
                return True
        log.debug("others write to the object all the time")
        return False

    def _get(self) -> dict[str, Any]:
        found: dict[str, Any] = self._api.get_namespaced_custom_object_status(*self._place(), _request_timeout=_REQUEST_SECONDS)
        self._answered = True
        return found

    def _patch(self, status: Mapping[str, Any]) -> bool:
        """Return False if somebody else has written the object since."""
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
    """Shows progress on `shown`, and writes it into the object's status now and then.

    `clock` measures the pace; `today` is the time that people read.
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
        self._news = self._today()
        self._write(self._clock())

    def advance(self, done: int = 1, *, failed: int = 0, loss: float | None = None) -> None:
        self._shown.advance(done, failed=failed, loss=loss)
        self._done += done
        self._failed += failed
        if done:
            self._news = self._today()
        self._loss = self._loss if loss is None else loss
        now = self._clock()
        self._left = self._pace.seconds_left(self._done, now)
        if now - self._written >= SECONDS_BETWEEN_WRITES:
            self._write(now)

    def finish(self) -> None:
        self._shown.finish()
        self._left = 0
        self._news = self._today()
        self._write(self._clock())

    def _write(self, now: float) -> None:
        self._written = now
        progress: dict[str, Any] = {
            "percent": 100 * self._done // self._total if self._total else 100,
            "secondsLeft": None if self._left is None else round(self._left),
            "step": self._done if self._unit == "steps" else None,
            "loss": None if self._loss is None else f"{self._loss:.3f}",
            "updatedAt": self._news.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        status: dict[str, Any] = {"progress": progress}
        if self._stage == DOWNLOADING_NEGATIVES:
            status["images"] = {"planned": self._total, "stored": self._done - self._failed, "failed": self._failed}
        self._send(status)
