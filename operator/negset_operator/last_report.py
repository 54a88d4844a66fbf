"""When the jobs last reported progress in the status."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def reported_at(status: Mapping[str, Any]) -> datetime | None:
    """Return when the jobs last reported progress, by their own clock.

    None if there is no report, or if its time cannot be read.
    """
    progress = status.get("progress")
    text = progress.get("updatedAt") if isinstance(progress, dict) else None
    try:
        reported = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return reported if reported is not None and reported.tzinfo is not None else None
