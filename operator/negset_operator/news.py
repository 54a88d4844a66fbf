"""What the jobs say in the status about their progress: when they had news."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def told_at(status: Mapping[str, Any]) -> datetime | None:
    """When the jobs had news last, by their own clock.

    None if they have not said, or not in a way that can be read.
    """
    progress = status.get("progress")
    text = progress.get("updatedAt") if isinstance(progress, dict) else None
    try:
        told = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return told if told is not None and told.tzinfo is not None else None
