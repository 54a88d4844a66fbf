"""The message of a failure whose pod was deleted, from the condition that had it.

It is for people only. No decision depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from negset_operator.facts import Child, Failure

# What `explain` appends to the message of a failure.
_ADDED: Final = re.compile(
    r" (?:\d+ of \d+ attempts have failed\.|All \d+ attempts have failed\.|The next attempt is at |To retry: ).*$",
    re.DOTALL,
)


def of(failure: Failure, child: Child, stored: Iterable[Mapping[str, Any]]) -> str:
    """Return the failure's message.

    If it is lost with its pod, return the message that a stored condition has for this child.
    """
    if not failure.silent:
        return failure.message
    messages = (entry.get("message") for entry in stored)
    start = f"{child.kind} {child.name} "
    return next((_ADDED.sub("", text) for text in messages if isinstance(text, str) and text.startswith(start)), failure.message)
