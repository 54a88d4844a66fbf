"""All watches of the process, as coroutines of one event loop in one thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

from negset_operator.kube.cache import Cache, Key
from negset_operator.kube.client import Kind
from negset_operator.kube.reflector import Reflector, Source
from negset_operator.kube.streams import Api

log = logging.getLogger(__name__)

SLOTS: Final = 4
"""How many lists and openings of watches of each kind may run at a time.

The API server's priority and fairness counts these, and not the open watches. Each kind has its own
slots, so that a kind without answers delays no other.
"""
_STOP_SECONDS: Final = 5.0


class Watches:
    """Runs reflectors while `api` is connected. It connects in the thread's event loop."""

    def __init__(self, api: Callable[[], AbstractAsyncContextManager[Api]]) -> None:
        self._api = api
        self._reflectors: list[Reflector[Any]] = []
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self._asked_to_stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)

    def add(
        self, source: Source, cache: Cache[Any], changed: Callable[[Key], None], clock: Callable[[], float] = time.monotonic
    ) -> Reflector[Any]:
        """Add a source that is watched from `start` on."""
        self._reflectors.append(Reflector(source, cache, changed, clock))
        return self._reflectors[-1]

    @property
    def ended(self) -> bool:
        """Whether the thread was started and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        self._runner.get_loop()  # so that `stop` finds it
        self._thread.start()

    def stop(self) -> None:
        """End the thread, even if watches wait for data."""
        if self._thread.ident is not None:
            # If the thread has ended by itself, the loop is closed.
            with contextlib.suppress(RuntimeError):
                self._runner.get_loop().call_soon_threadsafe(self._asked_to_stop.set)
            self._thread.join(timeout=_STOP_SECONDS)

    def _run(self) -> None:
        try:
            with self._runner:
                self._runner.run(self._reflect())
        except Exception:
            # From now on the liveness probe fails, so that Kubernetes restarts the pod.
            log.exception("bug: the thread of the watches ended by an exception")

    async def _reflect(self) -> None:
        slots: dict[Kind, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(SLOTS))
        async with self._api() as api:
            running: list[asyncio.Task[Any]] = [asyncio.create_task(self._asked_to_stop.wait())]
            running += [asyncio.create_task(each.run(api, slots[each.kind])) for each in self._reflectors]
            try:
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
            for task in ended:
                task.result()


def _new_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    # Names are resolved in another thread. One thread is enough for one API server.
    loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="resolver"))
    return loop
