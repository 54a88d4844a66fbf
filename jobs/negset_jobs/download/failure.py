"""The failure of one image's download: outcome, detail, and whether a retry may help."""

from __future__ import annotations

from typing import Final

from negset_api.values import Outcome

_SILENT: Final = frozenset({Outcome.RATE_LIMITED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.UNREACHABLE})
_NO_ANSWER: Final = _SILENT | {Outcome.TRUNCATED, Outcome.CLIENT_ERROR, Outcome.BLOCKED_ADDRESS}


class Failed(Exception):
    """An attempt to download an image failed.

    `retryable` is True if a retry may succeed. `wait_seconds` is the pause that the server asked
    for. `outage` is True if the host may be away: then its other images would fail, too.
    """

    def __init__(
        self,
        outcome: Outcome,
        detail: str,
        *,
        retryable: bool | None = None,
        wait_seconds: float | None = None,
        outage: bool | None = None,
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail
        self.retryable = outcome.transient if retryable is None else retryable
        self.wait_seconds = wait_seconds
        self.outage = outcome in _SILENT if outage is None else outage

    @property
    def answered(self) -> bool:
        """True if the host must have answered, although the image cannot be stored."""
        return self.outcome not in _NO_ANSWER


def blocked(address: str) -> Failed:
    """Return the failure of an image whose address the guard refused."""
    return Failed(
        Outcome.BLOCKED_ADDRESS, f"{address} is not allowed: the address is private, loopback, link-local or otherwise not public"
    )
