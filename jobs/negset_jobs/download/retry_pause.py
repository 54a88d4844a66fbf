"""The pause before a retry: exponential backoff with full jitter, and `Retry-After`.

Full jitter is a uniform draw between zero and the backoff. It spreads the clients of an overloaded
server best: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
"""

from __future__ import annotations

import datetime as dt
import email.utils
import re
from typing import Final

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 30.0
FIRST_PROBE_SECONDS: Final = 0.5
LONGEST_PROBE_SECONDS: Final = 10.0
"""The pauses between two requests to a host that is away.

The longest decides how soon its return is noticed.
"""

LONGEST_REQUESTED_SECONDS: Final = 86_400.0
"""A server that asks for a longer pause is understood to ask for a day."""

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?")


def wait_seconds(attempt: int, jitter: float, requested: float | None) -> float:
    """Return the seconds to wait after the failed attempt number `attempt` (from 1).

    `jitter` is a uniform draw from [0, 1). `requested` is the pause that the server asked for,
    which is then the minimum. The jitter is added, so that clients with the same pause do not
    return at the same time.
    """
    backoff = jitter * min(FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt - 1, 16), LONGEST_BACKOFF_SECONDS)
    return backoff if requested is None else requested + backoff


def probe_seconds(number: int, jitter: float) -> float:
    """Return the seconds before the probe `number` (from 1) of a host that is away.

    Half of it is jitter. There is always a pause, because each worker sends one probe at a time.
    """
    return (0.5 + jitter / 2) * min(FIRST_PROBE_SECONDS * 2.0 ** min(number - 1, 16), LONGEST_PROBE_SECONDS)


def retry_after(value: str | None, now: dt.datetime) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait; None if it is absent or invalid.

    It is a number of seconds or an HTTP date (RFC 9110, section 10.2.3). A fraction is accepted,
    because servers send it. The result is between 0 and `LONGEST_REQUESTED_SECONDS`.
    """
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return min(float(value), LONGEST_REQUESTED_SECONDS)
    try:
        when = email.utils.parsedate_to_datetime(value)
        seconds = ((when if when.tzinfo else when.replace(tzinfo=dt.UTC)) - now).total_seconds()
    except Exception:  # noqa: BLE001 - the parser raises many kinds of errors, such as OverflowError
        return None
    return min(max(0.0, seconds), LONGEST_REQUESTED_SECONDS)
