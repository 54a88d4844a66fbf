"""Concurrent requests to a store, in threads."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

_THREADS: Final = 16  # concurrent small requests
T = TypeVar("T")
R = TypeVar("R")


def parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call the function for every item in threads. Return the results in order.

    For requests to the store, which mostly wait.
    """
    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(function, items))
