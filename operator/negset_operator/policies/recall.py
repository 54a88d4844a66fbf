"""The words of a failure whose pod is gone: the condition had them.

For people only; nothing is decided by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from negset_operator.facts import Child, Failure

# What `explain` adds to a failure.
_ADDED: Final = re.compile(
    r" (?:\d+ of \d+ attempts have failed\.|All \d+ attempts have failed\.|The next attempt is at |To retry: ).*$",
    re.DOTALL,
)


def message(failure: Failure, child: Child, stored: Iterable[Mapping[str, Any]]) -> str:
    """The failure's message; if its pod took the last words with it, those that a stored condition
    still has for this child.
    """
    if not failure.silent:
        return failure.message
    told = (entry.get("message") for entry in stored)
    start = f"{child.kind} {child.name} "
    return next((_ADDED.sub("", text) for text in told if isinstance(text, str) and text.startswith(start)), failure.message)
