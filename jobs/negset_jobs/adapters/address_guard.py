"""The address guard: every connection of this process is checked where it is opened, below every
library, with the very address that is connected to.

A check of a URL, or of a name's addresses, can be passed by: a redirect leads elsewhere, a name
answers differently the second time (DNS rebinding), an endpoint comes from the environment. Python
raises an audit event for every connect of every socket, whoever opened it (aiohttp, urllib3,
http.client, botocore, paramiko), after names were resolved and before anything is sent; what a
hook raises ends the call (PEP 578). Sockets of C++ code (Ray's and TensorFlow's gRPC, libhdfs)
raise none. To replace the methods of `socket.socket` would cost less than the 0.2 us that a hook
adds to every audit event, but would miss the C type below it, `sendto` and `sendmsg`.

What may be reached depends on what a connection is for. That is a context variable, which asyncio,
`asyncio.to_thread` and fsspec's own thread carry along; without one the rule of the process holds.
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
_NO_ADDRESSES: Final = (socket.AF_UNIX, socket.AF_NETLINK)  # they do not leave the machine
_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


class _Going:
    """How far connections go in one context, and one that was refused."""

    __slots__ = ("reach", "refused")

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.refused: BlockedAddress | None = None


_here: ContextVar[_Going | None] = ContextVar("going", default=None)


class _Process:
    """What holds for the whole process."""

    access: Access | None = None
    hooked = False
    lock = threading.Lock()


class BlockedAddress(PermissionError):
    """The address may not be reached from here.

    An `OSError`, so that clients go on to the name's next address.

    The text is the same for every address: aiohttp keeps the type of an error only where all
    addresses failed with the same text.
    """

    def __init__(self, address: str, option: str) -> None:
        super().__init__(errno.EACCES, f"the address is private, loopback, link-local or otherwise not public, and not within {option}")
        self.address = address


def enforce(access: Access) -> None:
    """From now on connections of this process reach what `access` lets http(s) URLs reach, except
    where `reaching` or `exempt` says otherwise.
    """
    _hook()
    _Process.access = access


@contextlib.contextmanager
def enforced(access: Access) -> Iterator[None]:
    """`enforce` for the block."""
    before = _Process.access
    enforce(access)
    try:
        yield
    finally:
        _Process.access = before


def access_of_process() -> Access | None:
    """What is enforced, for a process that works for this one."""
    return _Process.access


def reaching(reach: Reach) -> contextlib.AbstractContextManager[None]:
    """Within the block, and in what it starts, connections reach this much.

    Never to be held over a `yield` to other code.

    Raises `BlockedAddress` where a file is said to be missing because a connection was refused:
    fsspec asks whether it exists, and takes any error for a no.
    """
    return _Reaching(reach)


class _Reaching(contextlib.AbstractContextManager[None]):
    """A class, because it is entered for every image: a generator costs four times as much."""

    __slots__ = ("_going", "_token")

    def __init__(self, reach: Reach) -> None:
        self._going = _Going(reach)

    def __enter__(self) -> None:
        if not _Process.hooked:
            _hook()
        self._token = _here.set(self._going)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        _here.reset(self._token)
        if self._going.refused is not None and isinstance(error, FileNotFoundError):
            raise self._going.refused from error


def exempt() -> contextlib.AbstractContextManager[None]:
    """For connections that no tenant has a say in: Ray's own, and the API server's."""
    return reaching(EVERYWHERE)


def reach_of(url: Url) -> Reach:
    """How far this process may go for a URL."""
    return EVERYWHERE if _Process.access is None else _Process.access.reach(url)


def blocked_address(error: BaseException) -> str | None:
    """The address that the guard refused, where that is why something failed."""
    return next((cause.address for cause in causes.of(error) if isinstance(cause, BlockedAddress)), None)


def _reach_of_process() -> Reach:
    return EVERYWHERE if _Process.access is None else _Process.access.web


def _hook() -> None:
    with _Process.lock:
        if not _Process.hooked:
            sys.addaudithook(_audit)
            _Process.hooked = True


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _EVENTS:
        _check(*arguments)


def _check(opened: socket.socket, address: Any) -> None:
    going = _here.get()
    reach = _reach_of_process() if going is None else going.reach
    if reach.everywhere or address is None or opened.family in _NO_ADDRESSES:
        return
    # A name is refused: what it resolves to would be looked up again, behind the check.
    host = address[0] if opened.family in _INTERNET and isinstance(address, tuple) else None
    if not isinstance(host, str) or not reach.permits(host):
        refusal = BlockedAddress(str(host), reach.option)
        if going is not None:
            going.refused = refusal
        raise refusal
