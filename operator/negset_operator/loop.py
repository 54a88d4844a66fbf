"""The loop: watches fill caches and the queue, threads empty the queue."""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import Any, Final

import msgspec

from negset_api import names
from negset_operator.config import Config
from negset_operator.kube import api_server
from negset_operator.kube.answers import conflict
from negset_operator.kube.cache import Key
from negset_operator.kube.client import DATASET, JOB, POD, RAY_JOB, ApiError, Client, Unreachable
from negset_operator.kube.objects import AppliedObject, Dataset, Job, Pod, RayJob
from negset_operator.kube.reflector import Reflector, Source
from negset_operator.kube.streams import Streams
from negset_operator.kube.watches import Watches
from negset_operator.metrics import Metrics, Watched
from negset_operator.queue import WorkQueue
from negset_operator.reconcile import Reconciler
from negset_operator.world import SUPPORTING_KINDS, World, key_of_dataset

log = logging.getLogger(__name__)

_PATIENT_PART: Final = 4
"""One worker in so many may be at what comes after a child was made (its supporting_objects, the
status) while others wait for theirs.
"""

_STALE_SECONDS: Final = 60.0
"""For how long a kind may go without a watch before the replica is not ready."""
_STOP_SECONDS: Final = 8.0
"""For how long reconciles in hand may finish: less than what is left of a Lease that is no longer
renewed.
"""
_LONGEST_PAUSE: Final = 30.0
"""Seconds between two questions for the API server's addresses, while it does not answer."""

_LONGEST_CONFLICT: Final = 10.0
"""Seconds.

Conflicts are logged once the pause between them is this long, from the sixth in a row. Before, the
watch brings what somebody else wrote.
"""

_INCOMPLETE_PAUSE: Final = 2.0
"""Seconds until a dataset is looked at again whose namespace has not been listed yet."""

_CHILDREN: Final[dict[Any, Any]] = {RAY_JOB: RayJob, JOB: Job, POD: Pod}


class Operator:
    """Everything that runs.

    `watch` may begin before this replica leads, so that it takes over within moments; `work` begins
    when it does.
    """

    def __init__(self, client: Client, config: Config) -> None:
        self._client, self._config = client, config
        self._queue: WorkQueue[Key] = WorkQueue(patient_at_once=max(config.workers // _PATIENT_PART, 1))
        self._world = World()
        self._watches = Watches(partial(Streams.connected, client))
        self._by_namespace: dict[str, tuple[Reflector[Any], ...]] = {
            namespace: tuple(self._watches.add(source, self._world.caches[source.kind], self._queue.add) for source in _sources(namespace))
            for namespace in config.namespaces or ("",)
        }
        self._reflectors = [reflector for reflectors in self._by_namespace.values() for reflector in reflectors]
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()
        self._located = threading.Event()
        self._gate = threading.Lock()
        self.leading = False
        self.metrics = Metrics(
            datasets=self._world.caches[DATASET].all,
            # A replica that stands by fills its queue and leaves it to the day it leads: nothing
            # waits for it there.
            depth=lambda: len(self._queue) if self.leading else 0,
            leading=lambda: self.leading,
            requests=client.requests,
            watches=self._watched,
        )
        self._reconciler = Reconciler(client, self._world, config, self.metrics, backlog=lambda: self._queue.urgent > 0)

    @property
    def synced(self) -> bool:
        """Whether everything has been listed once."""
        return all(map(_complete, self._by_namespace.values()))

    def problems(self) -> tuple[str, ...]:
        """What cannot be watched at present, one sentence each."""
        return tuple(dict.fromkeys(reflector.problem for reflector in self._reflectors if reflector.problem))

    def not_ready(self) -> tuple[str, ...]:
        """Why this replica could not do its work now, none where it could: it does not know
        everything yet, or what it knows has grown old.

        If it can work in one namespace, it is ready: another may be gone, and the rights in it with
        it.
        """
        troubles = [_troubles(reflectors) for reflectors in self._by_namespace.values()]
        return tuple(dict.fromkeys(trouble for found in troubles for trouble in found)) if all(troubles) else ()

    def _watched(self) -> dict[str, Watched]:
        """How each kind is watched, by its plural: in all namespaces together."""
        found: dict[str, Watched] = {}
        for reflector in self._reflectors:
            before = found.get(reflector.kind.plural, Watched())
            stale = max(before.stale_seconds, reflector.stale_seconds)
            found[reflector.kind.plural] = Watched(restarts=before.restarts + reflector.restarts, stale_seconds=stale)
        return found

    def dead(self) -> tuple[str, ...]:
        """The threads that have ended although nobody stopped them: only a new process helps."""
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        ended += ["watches"] if self._watches.ended else []
        return () if self._stopped.is_set() else tuple(f"The thread {name!r} has ended." for name in ended)

    def watch(self) -> None:
        self._watches.start()

    def work(self) -> None:
        """Starts the workers as soon as the caches are complete; before, a child that exists would
        look missing. Returns at once.
        """
        self.leading = True
        self._threads = [threading.Thread(target=self._worker, name=f"worker {n}", daemon=True) for n in range(self._config.workers)]
        self._threads.append(threading.Thread(target=self._resync, name="resync", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets the reconciles in hand finish, and ends every thread."""
        self._stopped.set()
        self.leading = False
        self._queue.close()
        until = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(until - time.monotonic(), 0))
        self._watches.stop()

    def _ready_to_work(self) -> bool:
        listed = all(reflector.synced or reflector.problem for reflector in self._reflectors)
        return self._located.is_set() and listed and any(map(_complete, self._by_namespace.values()))

    def _worker(self) -> None:
        # One asks, the others wait for it: there may be thousands of watches to ask about.
        with self._gate:
            while not self._ready_to_work():
                if self._stopped.wait(0.02):
                    return
        while (key := self._queue.get()) is not None:
            try:
                self._one(key)
            finally:
                self._queue.done(key)

    def _one(self, key: Key) -> None:
        if not _complete(self._by_namespace.get(key[0]) or self._by_namespace.get("", ())):
            # One namespace that cannot be listed holds up no other. In it, a child that exists
            # would look missing.
            self._queue.add_after(key, _INCOMPLETE_PAUSE)
            return
        try:
            with self.metrics.reconciles.time():
                wake_after, done = self._reconciler.reconcile(key)
        except (ApiError, Unreachable) as error:
            pause = self._queue.failed(key, at_least=getattr(error, "seconds", 0.0))
            if conflict(error) and pause < _LONGEST_CONFLICT:
                log.debug("somebody else wrote %s/%s, trying again in %.1f seconds", *key, pause)
            else:
                self.metrics.errors.inc()
                log.warning("cannot reconcile %s/%s, trying again in %.1f seconds: %s", *key, pause, error)
        except Exception:
            # A mistake in this program must cost one dataset some time, not every dataset its
            # operator.
            self.metrics.errors.inc()
            log.exception("reconciling %s/%s failed, trying again in %.1f seconds", *key, self._queue.failed(key))
        else:
            self._queue.forget(key)
            for kind in done.children:
                self.metrics.children.labels(kind=kind).inc()
            if wake_after == 0:
                self._queue.add(key, low_priority=True)
            elif wake_after is not None:
                self._queue.add_after(key, wake_after)

    def _resync(self) -> None:
        """Looks at everything again from time to time, whatever the watches say: no mistake lasts
        longer than that.
        """
        pause = 1.0
        while not self._locate_api_server():
            if self._stopped.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
        while not self._stopped.wait(self._config.resync_seconds):
            self._locate_api_server()  # a managed control plane moves
            for dataset in self._world.caches[DATASET].all():
                self._queue.add(key_of_dataset(dataset))

    def _locate_api_server(self) -> bool:
        """Tells the reconciler where the API server is. Return False if it does not say so now."""
        try:
            networks = api_server.locate(self._client, self._config.networks)
        except (ApiError, Unreachable) as error:
            log.warning("failed to read the API server's addresses: %s", error)
            return False
        self._reconciler.configure(msgspec.structs.replace(self._config, networks=networks))
        self._located.set()
        return True


def _complete(reflectors: tuple[Reflector[Any], ...]) -> bool:
    """Whether everything that is watched in a namespace has been listed once.

    KubeRay's kind may be missing, and a cluster without it must still get its statuses: a RayJob
    that exists and is not known is found by its name when it is to be made.
    """
    return all(reflector.synced or (reflector.kind == RAY_JOB and bool(reflector.problem)) for reflector in reflectors)


def _troubles(reflectors: tuple[Reflector[Any], ...]) -> tuple[str, ...]:
    """Why nothing could be done in a namespace now."""
    if not _complete(reflectors):
        return tuple(reflector.problem for reflector in reflectors if reflector.problem) or ("The caches are being filled.",)
    return tuple(
        f"{reflector.kind.plural} have not been watched for {reflector.stale_seconds:.0f} seconds. {reflector.problem}".strip()
        for reflector in reflectors
        if reflector.synced and reflector.stale_seconds > _STALE_SECONDS
    )


def _sources(namespace: str) -> tuple[Source, ...]:
    ours = f"{names.LABEL_DATASET},app.kubernetes.io/managed-by={names.OPERATOR_FIELD_MANAGER}"
    return (
        Source(kind=DATASET, as_type=Dataset, namespace=namespace),
        *(Source(kind=kind, as_type=as_type, namespace=namespace, selector=ours) for kind, as_type in _CHILDREN.items()),
        *(Source(kind=kind, as_type=AppliedObject, namespace=namespace, selector=ours, metadata_only=True) for kind in SUPPORTING_KINDS),
    )
