"""Leader election by a Lease (coordination.k8s.io/v1): one of several replicas works.

It follows client-go's rules. A lease is expired if its holder has not renewed it for its duration,
by the clock of the replica that reads it. A leader that cannot renew in time stops before another
replica may start. The official client's `LeaderElection` does not suffice: see operator/README.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from negset_operator.kube.client import CONFLICT, LEASE, NOT_FOUND, ApiError, Client, Unreachable
from negset_operator.kube.objects import Object, ObjectMeta

log = logging.getLogger(__name__)

DURATION: Final = 15
"""Seconds that a lease is valid: how long other replicas wait after its holder has crashed."""
RENEW: Final = 3.0
"""Seconds between two renewals, and between two attempts to acquire the lease."""
DEADLINE: Final = 10.0
"""Seconds without a renewal after which a leader ends, even during a request.

The rest of DURATION is for its running reconciles.
"""


class LeaseSpec(Object, frozen=True, kw_only=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Object, frozen=True, kw_only=True):
    metadata: ObjectMeta
    spec: LeaseSpec = LeaseSpec()


class Leadership:
    """One replica's part in the election. Each replica needs a different `identity`."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        *,
        deadline: float = DEADLINE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._deadline, self._clock = deadline, clock
        self._seen = LeaseSpec()
        self._seen_at = float("-inf")
        self._renewed_at = float("-inf")
        self._lost = threading.Event()
        self._stopped = threading.Event()

    def acquire(self) -> bool:
        """Wait until this replica is the leader. Return False if `stop` was called first."""
        while not self._stopped.is_set():
            began = self._clock()
            if self._try():
                log.info("%s is the leader", self._identity)
                self._renewed_at = began
                return True
            self._stopped.wait(RENEW)
        return False

    def hold(self) -> bool:
        """Renew the lease. Return True after `stop`, or False if the lease is lost.

        After False, the process must end at once, because another replica may be the leader. A
        separate thread renews, so that a request that hangs does not delay this one.
        """
        threading.Thread(target=self._renew, name="lease", daemon=True).start()
        while not self._stopped.wait(min(RENEW, self._deadline) / 10):
            if self._lost.is_set() or self._clock() - self._renewed_at > self._deadline:
                log.error("%s has lost the lease and is no longer the leader", self._identity)
                self.stop()  # so that the thread does not renew any more
                return False
        return True

    def _renew(self) -> None:
        while not self._stopped.wait(min(RENEW, self._deadline / 3)):
            # The time before the request: the API server may write at once and answer late.
            began = self._clock()
            if self._try() and not self._stopped.is_set():
                self._renewed_at = began
            elif self._seen.holder_identity != self._identity:
                self._lost.set()
                return

    def stop(self) -> None:
        self._stopped.set()

    def release(self) -> None:
        """Release the lease, so that another replica need not wait until it expires."""
        try:
            lease = self._client.get(LEASE, self._namespace, self._name, Lease)
            if lease.spec.holder_identity == self._identity:
                # One second, as in client-go: the API server refuses zero. A successor that ignores
                # the empty holder waits no longer than that.
                self._write(
                    lease, holder="", duration=1, acquired=lease.spec.acquire_time or _now(), transitions=lease.spec.lease_transitions or 0
                )
                log.info("%s released the lease", self._identity)
        except (ApiError, Unreachable) as error:
            log.warning("failed to release the lease, it expires in %d seconds: %s", DURATION, error)

    def _try(self) -> bool:
        """Acquire or renew the lease. Return True if this replica holds it now."""
        try:
            lease = self._client.get(LEASE, self._namespace, self._name, Lease)
        except ApiError as error:
            return error.status == NOT_FOUND and self._create()
        except Unreachable as error:
            log.warning("failed to read the lease: %s", error)
            return False
        if lease.spec != self._seen:
            self._seen, self._seen_at = lease.spec, self._clock()
        mine = lease.spec.holder_identity == self._identity
        expires = self._seen_at + (lease.spec.lease_duration_seconds or DURATION)
        if lease.spec.holder_identity and not mine and self._clock() < expires:
            return False
        acquired = lease.spec.acquire_time if mine else None
        transitions = (lease.spec.lease_transitions or 0) + (0 if mine else 1)
        return self._attempt(lambda: self._write(lease, holder=self._identity, acquired=acquired or _now(), transitions=transitions))

    def _create(self) -> bool:
        now = _now()
        body = self._body(holder=self._identity, duration=DURATION, acquired=now, renewed=now, transitions=0)
        return self._attempt(lambda: self._client.create(LEASE, body, Lease))

    def _write(self, lease: Lease, *, holder: str, acquired: str, transitions: int, duration: int = DURATION) -> Lease:
        body = self._body(holder=holder, duration=duration, acquired=acquired, renewed=_now(), transitions=transitions)
        # With the resource version, only one of two simultaneous writes succeeds.
        body["metadata"]["resourceVersion"] = lease.metadata.resource_version
        return self._client.replace(LEASE, body, Lease)

    def _attempt(self, write: Callable[[], Lease]) -> bool:
        try:
            self._seen, self._seen_at = write().spec, self._clock()
        except ApiError as error:
            if error.status != CONFLICT:
                log.warning("failed to acquire the lease: %s", error)
            return False
        except Unreachable as error:
            log.warning("failed to acquire the lease: %s", error)
            return False
        return True

    def _body(self, *, holder: str, duration: int, acquired: str, renewed: str, transitions: int) -> dict[str, Any]:
        return {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": holder,
                "leaseDurationSeconds": duration,
                "acquireTime": acquired,
                "renewTime": renewed,
                "leaseTransitions": transitions,
            },
        }


def _now() -> str:
    """Return the time as MicroTime, the format of Leases."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
