"""The failure of one image's download: outcome, detail, and whether a retry may help."""

from __future__ import annotations

from negset_api.values import Outcome


class Failed(Exception):
    """An attempt to download an image failed.

    `retryable` is True if a retry may succeed. `wait_seconds` is the pause that the server asked
    for.
    """

    def __init__(self, outcome: Outcome, detail: str, *, retryable: bool | None = None, wait_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.retryable = outcome.transient if retryable is None else retryable
        self.wait_seconds = wait_seconds


def blocked(address: str) -> Failed:
    """Return the failure of an image whose address the guard refused."""
    return Failed(
        Outcome.BLOCKED_ADDRESS, f"{address} is not allowed: the address is private, loopback, link-local or otherwise not public"
    )
