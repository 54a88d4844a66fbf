"""The address guard: check the address of every connection of this process when it is opened.

It is an audit hook: see jobs/README.md. Sockets of C++ code (Ray's and TensorFlow's gRPC, libhdfs)
raise no audit events.

The allowed addresses depend on the purpose of a connection. This is a context variable, which
asyncio, `asyncio.to_thread` and fsspec's own thread inherit. Without it, the process's rule holds.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

from negset_jobs.adapters import causes
from negset_jobs.adapters.access import EVERYWHERE, Access, Reach
from negset_jobs.adapters.urls import Url

_EVENTS: Final = ("socket.connect", "socket.sendto", "socket.sendmsg")
# They do not leave the machine. Not every operating system has them.
_NO_ADDRESSES: Final = tuple(getattr(socket, name) for name in ("AF_UNIX", "AF_NETLINK") if hasattr(socket, name))
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class _Context:
    """The reach of the connections in one context, and the last refusal."""

    __slots__ = ("reach", "refused")

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.refused: BlockedAddress | None = None


_here: ContextVar[_Context | None] = ContextVar("context", default=None)


class _Process:
    """The state of the whole process."""

    access: Access | None = None
    hooked = False
    lock = threading.Lock()


class BlockedAddress(PermissionError):
    """A connection to this address is not allowed.

    It is an `OSError`, so that clients try the name's next address. Its text is the same for every
    address: aiohttp keeps the type of an error only if all addresses failed with the same text.
    """

    def __init__(self, address: str, option: str) -> None:
        super().__init__(errno.EACCES, f"the address is private, loopback, link-local or otherwise not public, and not within {option}")
        self.address = address


def enforce(access: Access) -> None:
    """Limit connections of this process to what `access` allows for http(s) URLs.

    `reaching` and `exempt` change the limit for a block.
    """
    if not hasattr(socket, "AF_UNIX"):
        # On Windows, a new event loop connects to itself over the loopback. fsspec uses one loop.
        from fsspec.asyn import get_loop

        get_loop()
    _hook()
    _Process.access = access


@contextlib.contextmanager
def enforced(access: Access) -> Iterator[None]:
    """Call `enforce` for the block only."""
    before = _Process.access
    enforce(access)
    try:
        yield
    finally:
        _Process.access = before


def access_of_process() -> Access | None:
    """Return the enforced access, to enforce it in worker processes too."""
    return _Process.access


def reaching(reach: Reach) -> contextlib.AbstractContextManager[None]:
    """Limit the connections of the block, and of the tasks it starts, to `reach`.

    Never `yield` to other code within the block.

    Raises `BlockedAddress` if fsspec reports a missing file because a connection was refused: its
    existence check treats any error as a missing file.
    """
    return _Reaching(reach)


class _Reaching(contextlib.AbstractContextManager[None]):
    """A class, because it is entered for every image: a generator costs four times as much."""

    __slots__ = ("_context", "_token")

    def __init__(self, reach: Reach) -> None:
        self._context = _Context(reach)

    def __enter__(self) -> None:
        if not _Process.hooked:
            _hook()
        self._token = _here.set(self._context)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        _here.reset(self._token)
        if self._context.refused is not None and isinstance(error, FileNotFoundError):
            raise self._context.refused from error


def exempt() -> contextlib.AbstractContextManager[None]:
    """Allow all connections in the block: Ray's own and the API server's, not a tenant's."""
    return reaching(EVERYWHERE)


def reach_of(url: Url) -> Reach:
    """Return the reach of this process for a URL."""
    return EVERYWHERE if _Process.access is None else _Process.access.reach(url)


def reach_here() -> Reach:
    """Return the reach of the connections that this context opens."""
    context = _here.get()
    return _reach_of_process() if context is None else context.reach


def blocked_address(error: BaseException) -> str | None:
    """Return the address that the guard refused, if that caused the error."""
    return next((cause.address for cause in causes.of(error) if isinstance(cause, BlockedAddress)), None)


def _reach_of_process() -> Reach:
    return EVERYWHERE if _Process.access is None else _Process.access.web


def _hook() -> None:
    with _Process.lock:
        if not _Process.hooked:
            sys.addaudithook(_audit)
            _Process.hooked = True


def _audit(event: str, arguments: tuple[Any, ...], events: tuple[str, ...] = _EVENTS) -> None:
    # The events are an argument, because Python clears a module's names before its last events.
    if event in events:
        _check(*arguments)


def _check(opened: socket.socket, address: Any) -> None:
    context, reach = _here.get(), reach_here()
    if reach.everywhere or address is None or opened.family in _NO_ADDRESSES:
        return
    # A name is refused, because it would be resolved again after this check.
    host = address[0] if opened.family in _INTERNET and isinstance(address, tuple) else None
    if not isinstance(host, str) or not reach.permits(host):
        refusal = BlockedAddress(str(host), reach.option)
        if context is not None:
            context.refused = refusal
        raise refusal
