"""Download images from web servers: one request returns the body or raises `Failed`."""

from __future__ import annotations

import datetime as dt
import socket
from http import HTTPStatus
from typing import Final, Self

import aiohttp

from negset_api.spec import Download
from negset_api.values import Outcome
from negset_api.version import version
from negset_jobs.adapters import address_guard, causes, web
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.quoting import of_backend, status_line
from negset_jobs.download.failure import Failed, blocked
from negset_jobs.download.retry_pause import retry_after
from negset_jobs.formats.pictures import is_signed

_OPT_OUTS: Final = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
_OUTCOMES: Final[dict[int, Outcome]] = {
    HTTPStatus.NOT_FOUND: Outcome.NOT_FOUND,
    HTTPStatus.GONE: Outcome.NOT_FOUND,
    HTTPStatus.UNAUTHORIZED: Outcome.FORBIDDEN,
    HTTPStatus.FORBIDDEN: Outcome.FORBIDDEN,
    HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: Outcome.FORBIDDEN,
    HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS: Outcome.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT: Outcome.TIMEOUT,
    HTTPStatus.TOO_EARLY: Outcome.RATE_LIMITED,
    HTTPStatus.TOO_MANY_REQUESTS: Outcome.RATE_LIMITED,
}
_VALUED: Final = frozenset(
    {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
)  # directives that take a value after a colon
_MIB: Final = 1 << 20
# Bytes that one connection buffers before it stops reading. Most images fit.
_READ_AHEAD: Final = 1 << 18


class WebImages:
    """Download images over http(s) inside one event loop; an asynchronous context manager.

    It keeps no cookies, and requests no content encoding: images are already compressed.
    """

    def __init__(self, download: Download, access: Access) -> None:
        self._reach = access.web
        self._max_bytes = download.max_image_mebibytes * _MIB
        self._honour_robots = download.robots_tag == "Honour"
        self._session = web.session(
            self._reach,
            limit=0,
            limit_per_host=download.connections_per_host,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent(download.contact), "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=download.timeout_seconds),
            read_bufsize=_READ_AHEAD,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, url: str) -> bytes:
        """Return the body of one response. Raises `Failed`.

        The caller limits the requests to one host. The connector's limit only holds for hosts that
        others redirect to.
        """
        try:
            with address_guard.reaching(self._reach):
                async with self._session.get(web.exact(url)) as response:
                    self._check(response, url)
                    return await self._body(response)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise _as_failed(error) from error

    def _check(self, response: aiohttp.ClientResponse, url: str) -> None:
        failure = failure_of_status(response.status, response.reason or "", response.headers.get("Retry-After"))
        if failure is not None:
            raise of_signature(failure, url)
        if self._honour_robots and opted_out(response.headers.getall("X-Robots-Tag", [])):
            raise Failed(Outcome.OPTED_OUT, "the X-Robots-Tag header forbids the use of the image")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Return the body. Stop as soon as it is known to be too large."""
        if (response.content_length or 0) > self._max_bytes:
            raise self._too_large(f"{response.content_length} bytes")
        parts, size = [], 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise self._too_large(f"more than {size} bytes")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, size: str) -> Failed:
        return Failed(Outcome.TOO_LARGE, f"expected at most {self._max_bytes} bytes, got {size}")


def user_agent(contact: str) -> str:
    """Return the User-Agent header: negset, its version and the contact of its user."""
    product = f"negset/{version()}"
    return f"{product} (+{contact})" if contact else product


def failure_of_status(status: int, reason: str, retry_after_header: str | None) -> Failed | None:
    """Return the failure for an HTTP status; None if the response has the image."""
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return None
    # S3, and so COCO's own host, uses 503 "Slow Down" instead of 429.
    if status == HTTPStatus.SERVICE_UNAVAILABLE and reason.lower() == "slow down":
        outcome = Outcome.RATE_LIMITED
    else:
        outcome = _OUTCOMES.get(status, Outcome.CLIENT_ERROR if status < HTTPStatus.INTERNAL_SERVER_ERROR else Outcome.SERVER_ERROR)
    wait = retry_after(retry_after_header, dt.datetime.now(dt.UTC)) if outcome.transient else None
    return Failed(outcome, status_line(status), wait_seconds=wait)


def of_signature(failure: Failed, url: str) -> Failed:
    """Return the failure with the likely reason if a store refuses a signed URL: its age."""
    if failure.outcome not in (Outcome.FORBIDDEN, Outcome.CLIENT_ERROR) or not is_signed(url):
        return failure
    return Failed(failure.outcome, f"{failure.detail}; the signature of the URL may have expired, make a new list of URLs")


def opted_out(values: list[str]) -> bool:
    """Return True if `X-Robots-Tag` headers forbid the use of the image.

    A header may be addressed to one robot ("otherbot: noai"). Headers for other robots do not
    count.
    """
    for value in values:
        robot, separator, rest = (part.strip().lower() for part in value.partition(":"))
        addressed = bool(separator) and "," not in robot and robot not in _VALUED
        if addressed and robot not in ("negset", "*"):
            continue
        directives = rest if addressed else value.lower()
        if _OPT_OUTS & {directive.strip() for directive in directives.split(",")}:
            return True
    return False


def _as_failed(error: Exception) -> Failed:
    """Return the failure of an image for an error of aiohttp."""
    if (address := address_guard.blocked_address(error)) is not None:
        return blocked(address)
    outcome, detail = next((outcome, detail) for kinds, outcome, detail in _ERRORS if isinstance(error, kinds))
    return Failed(outcome, detail or of_backend(error), outage=False if _has_no_address(error) else None)


def _has_no_address(error: Exception) -> bool:
    """Return True if the host's name does not exist. That is no outage, which others would end."""
    return any(isinstance(cause, socket.gaierror) and cause.errno in _NO_SUCH_NAME for cause in causes.of(error))


_NO_SUCH_NAME: Final = frozenset(getattr(socket, name) for name in ("EAI_NONAME", "EAI_NODATA") if hasattr(socket, name))
_ERRORS: Final = (  # the first that fits
    (aiohttp.ClientConnectorCertificateError, Outcome.CLIENT_ERROR, "the certificate of the server is not valid"),
    (aiohttp.NonHttpUrlRedirectClientError, Outcome.BLOCKED_ADDRESS, "redirected to a URL that is not http or https"),
    (aiohttp.TooManyRedirects, Outcome.CLIENT_ERROR, "redirected in a circle, or too often"),
    ((aiohttp.InvalidURL, ValueError), Outcome.CLIENT_ERROR, "not a valid URL"),
    (TimeoutError, Outcome.TIMEOUT, "no complete response before the timeout"),
    (aiohttp.ClientPayloadError, Outcome.TRUNCATED, "the response ended early"),
    (aiohttp.ClientResponseError, Outcome.SERVER_ERROR, "not a valid HTTP response"),
    (Exception, Outcome.UNREACHABLE, ""),
)
