"""A running Ray: the cluster of a RayJob, or on a laptop a small one of our own for as long as the
work takes. With `ray_map` the only importer of ray.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import logging
import os
import shutil
import signal
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
_SETTINGS: Final = {  # Ray's own settings, where the user has none
    "RAY_USAGE_STATS_ENABLED": "0",
    # Work that claims no GPU may use what it sees: a laptop's Ray claims none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": f"{_START_SECONDS}",
    "RAY_agent_register_timeout_ms": f"{_START_SECONDS * 1000}",
    "RAY_worker_register_timeout_seconds": f"{_START_SECONDS}",
}
_FOLDER: Final = "negset-ray-"
_LOCK: Final = "in-use"
# Tasks and results are small; Ray's default is a third of the machine's memory.
_OBJECT_STORE_BYTES: Final = 128 << 20
_LEAST_ROOM: Final = 16 << 20
# Ray puts sockets below its folder, and a socket's path may have 107 characters.
_LONGEST_SOCKET_FOLDER: Final = 30


@contextlib.contextmanager
def session(workers: int) -> Iterator[None]:
    """A running Ray: the cluster that `RAY_ADDRESS` names, else one on this machine with `workers`
    CPUs, shut down at the end. Sessions can be nested.

    Raises `WorkFailed` where Ray cannot be started or reached.
    """
    for name, value in _SETTINGS.items():  # before the import, which reads some of them
        os.environ.setdefault(name, value)
    with _no_signal_lost():
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
        stack.callback(ray.shutdown)  # before the folder goes
        _start(**where)
        yield


def _start(**options: Any) -> None:
    """Starts Ray, again where that failed: a process that lost a race for a port or came up too
    late is reason enough to Ray to give up.
    """
    import ray

    for left in reversed(range(_STARTS)):
        try:
            with _patience(), _no_signal_lost(), _no_handlers_of_ray(), address_guard.exempt():
                ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:
            ray.shutdown()
            reason = " ".join(str(error).split())
            if not left:
                raise WorkFailed(f"cannot start Ray: {reason}") from error
            log.warning("Ray did not start, trying again: %s", reason)
        else:
            return


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Ray starts some eight processes, about 16 CPU seconds of imports, and gives up after 30
    seconds on the clock, which a busy laptop or CI machine exceeds. The number is fixed in
    ray/_private/node.py (raylet_start_wait_time_s), so what it waits for is made to wait longer.
    """
    import ray

    services: Any = ray._private.services  # noqa: SLF001
    get_node = services.get_node

    def get_node_patiently(*arguments: Any, **keywords: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return get_node(*arguments, **keywords)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_START_POLL_SECONDS)

    with _replaced(services, "get_node", get_node_patiently):
        yield


@contextlib.contextmanager
def _no_signal_lost() -> Iterator[None]:
    """What came by SIGINT or SIGTERM comes again at the end of the block: compiled code, which Ray
    is full of while it is imported and started, swallows what a handler raises or makes another
    error of it.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler is called
        yield
        return
    came: list[int] = []
    before = {int(number): handler for number in (signal.SIGINT, signal.SIGTERM) if callable(handler := signal.getsignal(number))}

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
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
    """Ray puts handlers of its own in place for SIGTERM, by which the process would end without a
    word and with an exit code that says that the work failed.
    """
    import ray

    with _replaced(ray._private.utils, "set_sigterm_handler", lambda _: None):  # noqa: SLF001
        yield


@contextlib.contextmanager
def _replaced(module: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, function)
    try:
        yield
    finally:
        setattr(module, name, before)


@contextlib.contextmanager
def _private_folder() -> Iterator[str]:
    """Where Ray keeps sockets and logs, gone at the end.

    What is left of sessions whose process was killed goes too: a folder is in use as long as
    somebody holds its lock, which the kernel lets go with the process. A process id would say
    nothing where containers share the folder above. Raises `WorkFailed` where the disk is full,
    which Ray would only tell by not coming up.
    """
    # Mkdtemp makes it private.
    parent = tempfile.gettempdir() if len(tempfile.gettempdir()) <= _LONGEST_SOCKET_FOLDER else "/tmp"  # noqa: S108
    for left in glob.glob(f"{glob.escape(parent)}/{_FOLDER}*"):
        with contextlib.suppress(OSError), open(f"{left}/{_LOCK}", "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    room = shutil.disk_usage(parent).free
    if room < _LEAST_ROOM:
        raise WorkFailed(
            f"cannot start Ray: {parent} has {room >> 20} MB free, expected at least {_LEAST_ROOM >> 20}; make room or set TMPDIR to another folder"
        )
    folder = tempfile.mkdtemp(prefix=_FOLDER, dir=parent)
    try:
        with open(f"{folder}/{_LOCK}", "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
