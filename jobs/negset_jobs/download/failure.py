"""How the fetching of one image fails: an outcome, a detail for a person, and whether asking again
may help.
"""

from __future__ import annotations

from negset_api.values import Outcome


class Failed(Exception):
    """One image could not be had.

    `again` says whether another request may end differently; `wait_seconds` is how long the server
    asked to be left alone.
    """

    def __init__(self, outcome: Outcome, detail: str, *, again: bool | None = None, wait_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.again = outcome.transient if again is None else again
        self.wait_seconds = wait_seconds


def blocked(address: str) -> Failed:
    """What it means for an image that the guard refused an address."""
    return Failed(Outcome.BLOCKED_ADDRESS, f"{address} may not be reached: private, loopback, link-local or otherwise not public")
