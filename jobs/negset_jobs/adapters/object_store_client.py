"""Connect obstore to a bucket, within a reach and with credentials."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Reach
from negset_jobs.adapters.address_guard import BlockedAddress
from negset_jobs.adapters.guard_proxy import proxy_for
from negset_jobs.adapters.object_store_errors import NoCredentialsError, may_be_refused, translated
from negset_jobs.adapters.store_options import StoreOptions

_CLIENT: Final = {
    "connect_timeout": "10s",
    # Of a whole request. A part at 70 kB/s, as four are sent at once over 2 Mbit/s, takes as long.
    "timeout": "120s",
}
_BACKOFF: Final = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=3), "base": 2.5}
"""A pause is drawn between the first one and the last one times the base: 16 take about 15 s."""
RETRIES: Final = {"max_retries": 16, "retry_timeout": timedelta(minutes=3), "backoff": _BACKOFF}
_PROBE_SECONDS: Final = 1
_PORTS: Final = {"http": 80, "https": 443}


def connected(store: Any, bucket: str, reach: Reach, retried: bool, *, given: StoreOptions) -> Any:
    """Return obstore's store of a bucket. `store` is its class.

    Raises `BlockedAddress` and `NoCredentialsError`.
    """
    if given.instance:
        _check_instance(given.instance)
    client = {**_CLIENT, "allow_http": given.endpoint.startswith("http://"), **given.client}
    if not reach.everywhere:
        client["proxy_url"] = proxy_for(reach).url
        _check_endpoint(given.endpoint)
    return store(
        bucket,
        config=given.config,
        client_options=client,
        retry_config={**RETRIES, **given.retry, **({} if retried else {"max_retries": 0})},
        credential_provider=given.credentials,
    )


@contextlib.contextmanager
def acting() -> Iterator[None]:
    """Translate obstore's errors, and the refusals of the address guard behind its proxy."""
    reach = address_guard.reach_here()
    proxy = None if reach.everywhere else proxy_for(reach)
    before = proxy.refusals if proxy else 0
    try:
        yield
    except Exception as error:
        if proxy and proxy.refusals > before and may_be_refused(error):
            raise BlockedAddress(proxy.refused, reach.option) from error
        cause = translated(error)
        if cause is error:
            raise
        raise cause from error


def _check_endpoint(endpoint: str) -> None:
    """Raise `BlockedAddress` at once if the guard refuses a store's endpoint.

    The guard's proxy refuses it as well, but obstore retries a refused tunnel for minutes.
    """
    parts = urlsplit(endpoint)
    if parts.hostname:
        _answers(parts.hostname, parts.port or _PORTS.get(parts.scheme, 0))


def _check_instance(host: str) -> None:
    """Raise `NoCredentialsError` if no metadata service answers at `host`.

    obstore asks it for credentials if it has no others, and retries that for minutes.
    """
    parts = urlsplit(f"//{host}")
    try:
        found = _answers(parts.hostname or "", parts.port or _PORTS["http"])
    except BlockedAddress:
        found = False
    if not found:
        raise NoCredentialsError(
            "there are no credentials, and no instance that gives any (for a public bucket set anonymous in spec.stores)"
        )


def _answers(host: str, port: int) -> bool:
    """Return whether a server accepts connections. Raises `BlockedAddress`."""
    try:
        socket.create_connection((host, port), timeout=_PROBE_SECONDS).close()
    except BlockedAddress:
        raise
    except OSError:
        return False
    return True
