"""A Ray session: the cluster of a RayJob, or on a laptop a small temporary cluster.

Only this module and `ray_map` import ray.
"""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from negset_api.errors import WorkFailed
from negset_jobs.adapters import address_guard

log = logging.getLogger(__name__)
_STARTS: Final = 3
_START_SECONDS: Final = 60
_START_POLL_SECONDS: Final = 0.1
_SETTINGS: Final = {  # Ray's settings, unless the user has set them
    "RAY_USAGE_STATS_ENABLED": "0",
    # Work that claims no GPU may use all visible ones. On a laptop, no work claims a GPU.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{_START_SECONDS}",
    "RAY_agent_register_timeout_ms": f"{_START_SECONDS * 1000}",
    "RAY_worker_register_timeout_seconds": f"{_START_SECONDS}",
}
_FOLDER: Final = "negset-ray-"
_LOCK: Final = "in-use"
# Tasks and results are small. Ray's default is a third of the machine's memory.
_OBJECT_STORE_BYTES: Final = 128 << 20
_LEAST_ROOM: Final = 16 << 20
_LONGEST_SOCKET_PATH: Final = 103  # on macOS; 107 on Linux
_RAYS_PART: Final = len("/negset-ray-12345678/session_2026-11-26_13-01-29_123456_4194304/sockets/plasma_store")
"""What mkdtemp and Ray append to the folder for their longest socket. A process id has 7 digits."""


def is_open() -> bool:
    """Return True if this process is connected to Ray. Does not import it."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


@contextlib.contextmanager
def session(workers: int) -> Iterator[None]:
    """Connect to the cluster in `RAY_ADDRESS`, or start Ray on this machine with `workers` CPUs.

    It is shut down at the end. Sessions can be nested. Raises `WorkFailed` if Ray cannot be started
    or reached.
    """
    for name, value in _SETTINGS.items():  # before the import, which reads some of them
        os.environ.setdefault(name, value)
    with _signals_at_end():
        import ray

    if ray.is_initialized():
        yield
        return
    with contextlib.ExitStack() as stack:
        where: dict[str, Any] = {"address": "auto"}
        if not os.environ.get("RAY_ADDRESS"):
            where = {
                "address": "local",
                "num_cpus": workers,
                "num_gpus": 0,
                "include_dashboard": False,
                "object_store_memory": _OBJECT_STORE_BYTES,
                "_temp_dir": stack.enter_context(_private_folder()),
            }
        stack.callback(_shut_down)  # before the folder is removed
        _start(**where)
        yield


def _start(**options: Any) -> None:
    """Start Ray, and retry if that failed.

    Ray gives up if one of its processes loses a race for a port or starts too late.
    """
    import ray

    for left in reversed(range(_STARTS)):
        try:
            with _longer_start(), _signals_at_end(), _no_handlers_of_ray(), address_guard.exempt():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:
            _shut_down()
            reason = " ".join(str(error).split())
            if not left:
                raise WorkFailed(f"cannot start Ray: {reason}") from error
            log.warning("failed to start Ray, retrying: %s", reason)
        else:
            return


@contextlib.contextmanager
def _longer_start() -> Iterator[None]:
    """Make Ray wait longer for its processes to start.

    Ray starts about eight processes, with 16 CPU seconds of imports, and gives up after 30 seconds.
    A busy laptop or CI machine needs longer. The limit is fixed in ray/_private/node.py
    (raylet_start_wait_time_s), so the function that it calls is made to wait.
    """
    import ray

    services: Any = ray._private.services  # noqa: SLF001
    get_node = services.get_node

    def get_node_when_ready(*arguments: Any, **keywords: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return get_node(*arguments, **keywords)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_START_POLL_SECONDS)

    with _replaced(services, "get_node", get_node_when_ready):
        yield


@contextlib.contextmanager
def _signals_at_end() -> Iterator[None]:
    """Delay a SIGINT or SIGTERM to the end of the block. A second signal is not delayed.

    While Ray is imported and started, its compiled code swallows the exception of a handler, turns
    it into another error, or waits for ever for a thread of an object that was not finished.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run there only
        yield
        return
    came: list[int] = []
    before = {int(number): handler for number in (signal.SIGINT, signal.SIGTERM) if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            before[number](number, frame)

    try:
        for number in before:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for again in came[:1]:
            signal.raise_signal(again)


@contextlib.contextmanager
def _no_handlers_of_ray() -> Iterator[None]:
    """Keep Ray from installing its own handlers for SIGTERM.

    With the one in Python, the process would end without a message, and with the exit code of
    failed work. With the one in C++, it would abort.
    """
    import ray

    compiled: Any = ray._raylet  # noqa: SLF001
    make = compiled.CoreWorker

    def made(*arguments: Any, **keywords: Any) -> Any:
        with _sigterm_kept():
            return make(*arguments, **keywords)

    with (
        _replaced(ray._private.utils, "set_sigterm_handler", lambda _: None),  # noqa: SLF001
        _replaced(compiled, "CoreWorker", made),
    ):
        yield


def _shut_down() -> None:
    import ray

    with _sigterm_kept():
        ray.shutdown()


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Install the handler for SIGTERM again at the end of the block.

    Ray's compiled code replaces it when it starts, and resets it to the default when it shuts down.
    Then the process would end without a message, and not wait for its children (see
    `InstallFailureSignalHandler` and `UninstallSignalAction` in src/ray/util/logging.cc).
    """
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextlib.contextmanager
def _replaced(module: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)


def socket_parent(folder: str) -> str:
    """Return the folder, or /tmp if the paths of Ray's sockets in it would be too long. Pure."""
    return folder if len(os.fsencode(folder)) + _RAYS_PART <= _LONGEST_SOCKET_PATH else "/tmp"  # noqa: S108


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """Yield a folder for Ray's sockets and logs, and remove it at the end.

    Folders of killed processes are removed too. A folder is in use as long as a process holds its
    lock, which the kernel releases when the process ends. A process id would not work if containers
    share the parent folder. Raises `WorkFailed` if the disk is full: Ray would not start, without
    this reason.
    """
    import fcntl  # here, because Windows has none

    # mkdtemp creates a folder that only this user can read.
    parent = socket_parent(tempfile.gettempdir())
    for left in glob.glob(f"{glob.escape(parent)}/{_FOLDER}*"):
        with contextlib.suppress(OSError), open(f"{left}/{_LOCK}", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    room = shutil.disk_usage(parent).free
    if room < _LEAST_ROOM:
        raise WorkFailed(
            f"cannot start Ray: expected at least {_LEAST_ROOM >> 20} MB free in {parent}, got {room >> 20}; free some space or set TMPDIR to another folder"
        )
    folder = tempfile.mkdtemp(prefix=_FOLDER, dir=parent)
    try:
        with open(f"{folder}/{_LOCK}", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
