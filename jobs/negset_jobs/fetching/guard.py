"""The address guard: every connection is checked at the moment it is opened, with the very address that is connected to.

A check of the URL or of a name's addresses beforehand can be passed by: a redirect leads elsewhere, or a name answers differently the second time (DNS
rebinding). aiohttp asks the socket factory for each address it is about to connect to, after resolution, for literals and for every redirect alike, so there
is nothing between the check and the connection. A pooled connection was checked when it was opened, and is pooled by host and port.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from negset_jobs.access import Access

if TYPE_CHECKING:
    import aiohttp


class BlockedAddress(PermissionError):
    """The address may not be reached from here. An `OSError`, so that aiohttp goes on to the name's next address.

    The text is the same for every address: aiohttp keeps the type of an error only where all addresses failed with the same text.
    """

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, "the address is private, loopback, link-local or otherwise not public")
        self.address = address


def guarded_connector(access: Access, **options: Any) -> aiohttp.TCPConnector:
    """A connector that opens connections only to addresses that `access` permits; `options` are `aiohttp.TCPConnector`'s.

    Of a name with several addresses only the permitted ones are tried. Where none is permitted the request fails with `aiohttp.ClientConnectorError`, whose
    `os_error` is a `BlockedAddress`.
    """
    import aiohttp

    def open_socket(address_info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if not access.permits(address[0]):
            raise BlockedAddress(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)

    return aiohttp.TCPConnector(socket_factory=open_socket, **options)


def blocked_address(error: BaseException) -> str | None:
    """The address that the guard refused, where that is why a request failed."""
    cause: BaseException | None = error
    while cause is not None:
        os_error = getattr(cause, "os_error", None)
        for candidate in (cause, os_error):
            if isinstance(candidate, BlockedAddress):
                return candidate.address
        cause = cause.__cause__
    return None
