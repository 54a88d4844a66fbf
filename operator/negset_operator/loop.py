"""The loop: watches fill the caches and the queue, and workers empty the queue."""

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

_LOW_PRIORITY_PART: Final = 4
"""At any time, at most one worker in this many processes keys of low priority.

Low priority is what follows the creation of a child: supporting objects and the status.
"""

_STALE_SECONDS: Final = 60.0
"""How long a kind may be without a watch before the replica is not ready."""
_STOP_SECONDS: Final = 8.0
"""How long running reconciles may take to finish when the operator stops.

A Lease is valid for 15 seconds. If the API server answers, it was renewed at most 3 seconds ago.
"""
_LONGEST_PAUSE: Final = 30.0
"""Seconds between two requests for the API server's addresses while it does not answer."""

_LONGEST_CONFLICT: Final = 10.0
"""Conflicts are logged if the pause before the retry has at least this many seconds.

That is from the sixth conflict in a row. Usually the watch delivers the other write earlier.
"""

_INCOMPLETE_PAUSE: Final = 2.0
"""Seconds until a dataset is reconciled again if its namespace has not been listed yet."""

_CHILDREN: Final[dict[Any, Any]] = {RAY_JOB: RayJob, JOB: Job, POD: Pod}


class Operator:
    """The watches and workers of one replica.

    `watch` may start before this replica is the leader, so that it takes over within moments.
    `work` starts when it is.
    """

    def __init__(self, client: Client, config: Config) -> None:
        self._client, self._config = client, config
        self._queue: WorkQueue[Key] = WorkQueue(low_priority_at_once=max(config.workers // _LOW_PRIORITY_PART, 1))
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
            # A replica that does not lead fills its queue as well, but no dataset waits for it.
            depth=lambda: len(self._queue) if self.leading else 0,
            leading=lambda: self.leading,
            requests=client.requests,
            watches=self._watched,
        )
        self._reconciler = Reconciler(client, self._world, config, self.metrics, backlog=lambda: self._queue.normal_priority > 0)

    @property
    def synced(self) -> bool:
        """Whether everything has been listed at least once."""
        return all(map(_complete, self._by_namespace.values()))

    def problems(self) -> tuple[str, ...]:
        """Return what cannot be watched now, one sentence each."""
        return tuple(dict.fromkeys(reflector.problem for reflector in self._reflectors if reflector.problem))

    def not_ready(self) -> tuple[str, ...]:
        """Return why this replica is not ready, none if it is.

        Either the caches are not complete, or they are out of date. The replica is ready if it can
        work in one namespace: another may have been deleted, together with the operator's rights
        in it.
        """
        problems = [_problems(reflectors) for reflectors in self._by_namespace.values()]
        return tuple(dict.fromkeys(problem for found in problems for problem in found)) if all(problems) else ()

    def _watched(self) -> dict[str, Watched]:
        """Return how each kind is watched in all namespaces together, by its plural."""
        found: dict[str, Watched] = {}
        for reflector in self._reflectors:
            before = found.get(reflector.kind.plural, Watched())
            stale = max(before.stale_seconds, reflector.stale_seconds)
            found[reflector.kind.plural] = Watched(restarts=before.restarts + reflector.restarts, stale_seconds=stale)
        return found

    def ended_threads(self) -> tuple[str, ...]:
        """Return a sentence for each thread that ended too early. Then only a restart helps."""
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        ended += ["watches"] if self._watches.ended else []
        return () if self._stopped.is_set() else tuple(f"The thread {name!r} has ended." for name in ended)

    def watch(self) -> None:
        self._watches.start()

    def work(self) -> None:
        """Start the workers, which wait until the caches are complete. Return at once.

        With incomplete caches, an existing child would look missing.
        """
        self.leading = True
        self._threads = [threading.Thread(target=self._worker, name=f"worker {n}", daemon=True) for n in range(self._config.workers)]
        self._threads.append(threading.Thread(target=self._resync, name="resync", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Wait for running reconciles, and end every thread."""
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
        # Only one worker checks the watches, because there may be thousands of them.
        with self._gate:
            while not self._ready_to_work():
                if self._stopped.wait(0.02):
                    return
        while (key := self._queue.get()) is not None:
            try:
                self._reconcile(key)
            finally:
                self._queue.done(key)

    def _reconcile(self, key: Key) -> None:
        if not _complete(self._by_namespace.get(key[0]) or self._by_namespace.get("", ())):
            # A namespace that cannot be listed delays no other. In it, an existing child would look
            # missing.
            self._queue.add_after(key, _INCOMPLETE_PAUSE)
            return
        try:
            with self.metrics.reconciles.time():
                wake_after, done = self._reconciler.reconcile(key)
        except (ApiError, Unreachable) as error:
            pause = self._queue.failed(key, at_least=getattr(error, "seconds", 0.0))
            if conflict(error) and pause < _LONGEST_CONFLICT:
                log.debug("%s/%s was changed by another writer, retrying in %.1f seconds", *key, pause)
            else:
                self.metrics.errors.inc()
                log.warning("failed to reconcile %s/%s, retrying in %.1f seconds: %s", *key, pause, error)
        except Exception:
            # A bug in this program must delay one dataset only, and not stop the operator.
            self.metrics.errors.inc()
            log.exception("bug: reconciling %s/%s raised an exception, retrying in %.1f seconds", *key, self._queue.failed(key))
        else:
            self._queue.forget(key)
            for kind in done.children:
                self.metrics.children.labels(kind=kind).inc()
            if wake_after == 0:
                self._queue.add(key, low_priority=True)
            elif wake_after is not None:
                self._queue.add_after(key, wake_after)

    def _resync(self) -> None:
        """Reconcile every dataset at intervals, even without a change.

        So a missed change has an effect for one interval at most.
        """
        pause = 1.0
        while not self._locate_api_server():
            if self._stopped.wait(pause):
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
        while not self._stopped.wait(self._config.resync_seconds):
            self._locate_api_server()  # a managed control plane may change its addresses
            for dataset in self._world.caches[DATASET].all():
                self._queue.add(key_of_dataset(dataset))

    def _locate_api_server(self) -> bool:
        """Give the API server's addresses to the reconciler. Return False if they are unknown."""
        try:
            networks = api_server.locate(self._client, self._config.networks)
        except (ApiError, Unreachable) as error:
            log.warning("failed to read the API server's addresses: %s", error)
            return False
        self._reconciler.configure(msgspec.structs.replace(self._config, networks=networks))
        self._located.set()
        return True


def _complete(reflectors: tuple[Reflector[Any], ...]) -> bool:
    """Return True if everything that is watched in a namespace has been listed once.

    RayJobs are an exception: a cluster without KubeRay must still get its statuses. A RayJob that
    exists and is not in the cache is found by its name when it is created.
    """
    return all(reflector.synced or (reflector.kind == RAY_JOB and bool(reflector.problem)) for reflector in reflectors)


def _problems(reflectors: tuple[Reflector[Any], ...]) -> tuple[str, ...]:
    """Return why the operator cannot work in a namespace now."""
    if not _complete(reflectors):
        return tuple(reflector.problem for reflector in reflectors if reflector.problem) or ("The caches are not complete yet.",)
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
