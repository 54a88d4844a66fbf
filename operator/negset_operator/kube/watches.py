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

TURNS: Final = 4
"""Lists and openings of watches at a time, for each kind. The API server's priority and fairness
counts these, and not the watches that are open. Each kind has its own turns, so that one whose
answers hang holds up no other.
"""
_STOP_SECONDS: Final = 5.0


class Watches:
    """Runs reflectors while `api` is connected, which happens in the thread's event loop."""

    def __init__(self, api: Callable[[], AbstractAsyncContextManager[Api]]) -> None:
        self._api = api
        self._reflectors: list[Reflector[Any]] = []
        self._runner = asyncio.Runner(loop_factory=_new_loop)
        self._asked_to_stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="watches", daemon=True)

    def add(
        self, source: Source, cache: Cache[Any], changed: Callable[[Key], None], clock: Callable[[], float] = time.monotonic
    ) -> Reflector[Any]:
        """Watches one more source, from `start` on."""
        self._reflectors.append(Reflector(source, cache, changed, clock))
        return self._reflectors[-1]

    @property
    def ended(self) -> bool:
        """Whether it was started and its thread is gone."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def start(self) -> None:
        self._runner.get_loop()  # so that `stop` finds it
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, whatever the watches wait for."""
        if self._thread.ident is not None:
            # The loop is closed: the thread has ended by itself.
            with contextlib.suppress(RuntimeError):
                self._runner.get_loop().call_soon_threadsafe(self._asked_to_stop.set)
            self._thread.join(timeout=_STOP_SECONDS)

    def _run(self) -> None:
        try:
            with self._runner:
                self._runner.run(self._reflect())
        except Exception:
            # A bug in this program. Liveness fails from now on, so that Kubernetes restarts the
            # pod.
            log.exception("the thread of the watches has ended")

    async def _reflect(self) -> None:
        turns: dict[Kind, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(TURNS))
        async with self._api() as api:
            running: list[asyncio.Task[Any]] = [asyncio.create_task(self._asked_to_stop.wait())]
            running += [asyncio.create_task(each.run(api, turns[each.kind])) for each in self._reflectors]
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
    # Names are resolved in a thread beside the loop's; one is enough for one API server.
    loop.set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="resolver"))
    return loop
