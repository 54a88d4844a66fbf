"""The causes of an error. Pure.

Libraries wrap the errors of other libraries as causes, in attributes and in arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def of(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and each of its causes once, in no particular order."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "os_error", None), getattr(each, "reason", None), *each.args]
