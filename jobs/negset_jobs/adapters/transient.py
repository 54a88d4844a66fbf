"""Which errors of stores and servers pass by themselves: they are away, overloaded, or their name
does not resolve for a while. Pure.

Every library has errors of its own, and wraps those of others. They are told by what they have in
common, so that none of the libraries is imported: the class of Python that they are, the number
that the system gave, the status that a server answered, and names of classes where nothing else is
left. Wrong keys, certificates and addresses that may not be reached never pass.
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
        # What s3fs makes of SlowDown and ServiceUnavailable, and of InternalError (s3fs/errors.py).
        errno.EBUSY,
        errno.EREMOTEIO,
    }
)
_STATUSES: Final = frozenset({408, 425, 429, *range(500, 600)}) - {501, 505}
_CLASSES: Final = frozenset(
    {
        # botocore, which has its own base class for all
        "EndpointConnectionError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "ConnectionClosedError",
        "HTTPClientError",
        "ResponseStreamingError",
        # aiohttp
        "ClientConnectionError",
        "ClientPayloadError",
        # requests, urllib3
        "ConnectionError",
        "Timeout",
        "MaxRetryError",
    }
)
_NO_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"})
_NEVER: Final = frozenset({"SSLError", "ClientSSLError", "ClientConnectorCertificateError"}) | _NO_CREDENTIALS


def passes(error: BaseException) -> bool:
    """Whether the same may succeed later, without anybody doing anything."""
    chain = tuple(causes.of(error))
    if any(isinstance(each, PermissionError) or _names(each) & _NEVER for each in chain):
        return False
    return any(_passes(each) for each in chain)


def is_refusal(error: BaseException) -> bool:
    """Whether a store says that these credentials, or none, may not do this.

    The same question has the same answer.
    """
    return any(isinstance(each, PermissionError) or _names(each) & _NO_CREDENTIALS for each in causes.of(error))


def _passes(error: BaseException) -> bool:
    status = _status(error)
    if status:
        return status in _STATUSES
    if isinstance(error, (TimeoutError, ConnectionError, socket.gaierror)):
        return True
    return (isinstance(error, OSError) and error.errno in _NUMBERS) or bool(_names(error) & _CLASSES)


def _status(error: Any) -> int:
    """The status of a server's answer; 0 where there was none."""
    if isinstance(response := getattr(error, "response", None), dict):  # botocore
        return int((response.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)
    for holder in (error, response):  # aiohttp; requests
        for name in ("status", "status_code"):
            if isinstance(found := getattr(holder, name, None), int):
                return found
    return 0


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
