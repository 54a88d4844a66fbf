"""Translate obstore's errors to those of Python. Pure.

obstore has an own class for few errors only. The status of a response, and the kind of a failed
connection, stand in the debug text of the Rust library, which every error ends with:
https://github.com/developmentseed/obstore/blob/main/pyo3-object_store/src/error.rs. They are found
at the start of a line. A newline of a key or of a server is escaped there.
"""

from __future__ import annotations

import re
import ssl
from typing import Final

from negset_jobs.adapters.guard_proxy import REFUSED, UNREACHABLE

_STATUS: Final = re.compile(r"\n\s+status: (\d{3}),\n")
_KIND: Final = re.compile(r"\n\s+kind: (Timeout|Connect|Interrupted|Request|Decode|Unknown),\n")
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_FOREIGN: Final = re.compile(r"\n\s+source: (Header|NotPartial|NoContentRange|MissingLastModified|MissingEtag)")
_RANGE_STATUS: Final = 416
_REDIRECTS: Final = range(300, 400)
_NO_PASSWORD: Final = 407
"""`guard_proxy` responds so to a request that was redirected: obstore takes the password out."""


class Answered(OSError):
    """A store responded with an error. `code` is the store's own, such as NoSuchBucket."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.code = code


class Refused(PermissionError):
    """A store refuses these credentials."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.code = code


class NoCredentialsError(PermissionError):
    """There are no credentials. `words` is for the user."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class CannotUse(OSError):
    """What was asked cannot be done, now or later. `words` is for the user."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Unanswered(ConnectionError):
    """No response came. `words` is for the user."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def translated(error: Exception) -> Exception:
    """Return the error of Python that says the same; other errors unchanged."""
    text, name = str(error), type(error).__name__
    if isinstance(error, ValueError) and "Could not parse path" in text:
        return CannotUse("obstore cannot use a key with an empty part, '.' or '..' between its slashes")
    if "Debug source:" not in text:
        return error
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(*_code(text))
    status = _STATUS.search(text)
    if name == "AlreadyExistsError":
        return FileExistsError(int(status[1]) if status else 0)
    if status and int(status[1]) != UNREACHABLE:
        return _answered(int(status[1]), text)
    if name in ("PermissionDeniedError", "UnauthenticatedError"):
        return Refused(403 if name.startswith("Permission") else 401, "")
    if "BareRedirect" in text:
        return CannotUse("the bucket is in another region; set AWS_REGION to it")
    return _unanswered(text, error, unreachable=status is not None)


def _answered(status: int, text: str) -> Exception:
    code = next(iter(_code(text)), "")
    if status in (401, 403):
        return Refused(status, code)
    if status == _NO_PASSWORD or status in _REDIRECTS:
        return CannotUse("the store redirects to another server, which is not followed")
    if status in (404, 410):
        return FileNotFoundError(code)
    return Answered(status, code)


def _unanswered(text: str, error: Exception, *, unreachable: bool) -> Exception:
    kind = _KIND.search(text)
    if unreachable:
        return Unanswered("cannot connect")
    if kind is None:
        return CannotUse("the server does not respond as an object store") if _FOREIGN.search(text) else error
    if "InvalidCertificate" in text or "invalid peer certificate" in text:
        return ssl.SSLCertVerificationError("the server's certificate is not trusted")
    if kind[1] == "Timeout" or "TimedOut" in text:
        return TimeoutError()
    if "failed to lookup address" in text or "dns error" in text:
        return Unanswered("cannot connect: the name does not resolve")
    if kind[1] == "Connect":
        return Unanswered("cannot connect: Connection refused" if "ConnectionRefused" in text else "cannot connect")
    return Unanswered("the server closed the connection early")


def may_be_refused(error: Exception) -> bool:
    """Return True if this may be the refusal of a connection by `guard_proxy`.

    Of a refused tunnel obstore says only that no connection came about.
    """
    status, kind = _STATUS.search(str(error)), _KIND.search(str(error))
    return (status is not None and int(status[1]) == REFUSED) or (kind is not None and kind[1] == "Connect")


def is_empty_range(error: BaseException) -> bool:
    """Return True if a store has none of the bytes asked for, as of an empty object."""
    return isinstance(error, Answered) and error.status == _RANGE_STATUS


def _code(text: str) -> tuple[str, ...]:
    found = _CODE.search(text)
    return (found[1],) if found else ()
