"""What an error came of.

Libraries wrap the errors of others, in each other, in attributes and among their arguments. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def of(error: BaseException) -> Iterator[BaseException]:
    """The error, and each that it came of once, in no order to rely on."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        each = waiting.pop()
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "os_error", None), getattr(each, "reason", None), *each.args]
