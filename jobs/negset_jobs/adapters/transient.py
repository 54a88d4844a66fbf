"""Classify the errors of stores and servers: transient or permanent. Pure.

Transient errors end without any action: a store is unavailable or overloaded, or its name does not
resolve for some time. Wrong keys, wrong certificates and addresses that are not allowed are never
transient.

Every library has its own errors, and wraps those of other libraries. None of them is imported.
Errors are classified by common properties: the Python class, the system's error number and the HTTP
status. If there is none of these, the name of the class counts.
"""

from __future__ import annotations

import errno
import socket
from typing import Any, Final

from negset_jobs.adapters import causes

_NUMBERS: Final = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EPIPE,
        errno.ETIMEDOUT,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENETDOWN,
    }
)
_STATUSES: Final = frozenset({408, 425, 429, *range(500, 600)}) - {501, 505}
_CLASSES: Final = frozenset(
    {
        # aiohttp
        "ClientConnectionError",
        "ClientPayloadError",
        # requests, urllib3
        "ConnectionError",
        "Timeout",
        "MaxRetryError",
    }
)
_UNREACHED: Final = frozenset({"ClientConnectorError", "ProxyConnectionError", "gaierror", "ConnectionRefusedError"})
_NEVER: Final = frozenset({"SSLError", "ClientSSLError", "ClientConnectorCertificateError"})


def passes(error: BaseException) -> bool:
    """Return True if a retry may succeed without any change."""
    chain = tuple(causes.of(error))
    if any(isinstance(each, PermissionError) or _names(each) & _NEVER for each in chain):
        return False
    return any(_passes(each) for each in chain)


def is_of_reached_server(error: BaseException) -> bool:
    """Return True if `passes` does, and the server was reached: it answered, or hung up."""
    return passes(error) and not any(_names(each) & _UNREACHED for each in causes.of(error))


def is_refusal(error: BaseException) -> bool:
    """Return True if a store refuses these credentials, or if there are none.

    A retry would be refused too.
    """
    return any(isinstance(each, PermissionError) for each in causes.of(error))


def _passes(error: BaseException) -> bool:
    status = _status(error)
    if status:
        return status in _STATUSES
    if isinstance(error, (TimeoutError, ConnectionError, socket.gaierror)):
        return True
    return (isinstance(error, OSError) and error.errno in _NUMBERS) or bool(_names(error) & _CLASSES)


def _status(error: Any) -> int:
    """Return the status of a server's response; 0 if there was none."""
    for holder in (error, getattr(error, "response", None)):  # aiohttp, object_store_errors; requests
        for name in ("status", "status_code"):
            if isinstance(found := getattr(holder, name, None), int):
                return found
    return 0


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
