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
_CODE: Final = re.compile(r"<Code>([A-Za-z]{1,40})</Code>")
_SERVER: Final = re.compile(r"\n\s+(https?://[\w.:\[\]-]{1,200})/")
_EXPIRED: Final = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""S3's codes, of status 400, for a session token that it refuses."""
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})
_RANGE_STATUS: Final = 416
_FORBIDDEN: Final = 403
_NOT_IMPLEMENTED: Final = 501
_NO_CONDITION: Final = frozenset(range(400, 500)) - {408, 409, 413, 425, 429}
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


class Untrusted(ssl.SSLError):
    """A server's certificate is not trusted. `words` is for the user."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = f"{words}; SSL_CERT_FILE can name the certificate of its authority"


def translated(error: Exception) -> Exception:
    """Return the error of Python that says the same; other errors unchanged."""
    text = str(error)
    if isinstance(error, ValueError) and "Could not parse path" in text:
        return CannotUse("obstore cannot use a key with an empty part, '.' or '..' between its slashes")
    if type(error).__name__ == "RustPanic":
        return CannotUse("obstore panicked, as it does over a line break in a token's file; check the variables of the store")
    return _translated(error, text) if "Debug source:" in text else error


def _translated(error: Exception, text: str) -> Exception:
    found = _STATUS.search(text)
    status = int(found[1]) if found else 0
    if type(error).__name__ == "AlreadyExistsError":
        return FileExistsError(status)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(_code(text))
    if status and status != UNREACHABLE:
        return _answered(status, _code(text))
    if type(error).__name__ in ("UnauthenticatedError", "PermissionDeniedError"):
        return NoCredentialsError("the credentials cannot be renewed")
    server = _SERVER.search(text)
    host = server[1] if server else "the server"
    return next((make(host) for sign, make in _SIGNS if sign.search(text)), error)


def _answered(status: int, code: str) -> Exception:
    if status in (401, 403) or code in _EXPIRED:
        return Refused(status, code)
    if status in (404, 410):
        return FileNotFoundError(code)
    if status == _NO_PASSWORD or status in _REDIRECTS:
        return CannotUse("the store redirects to another server, which is not followed")
    return Answered(status, code)


_SIGNS: Final = (  # of an error without a response; the first match counts
    (re.compile(r"\n\s+source: StartTooLarge \{\n"), lambda _: Answered(_RANGE_STATUS, "")),  # Azurite sends the whole object
    (re.compile(r"\n\s+source: BadScheme,\n"), lambda _: CannotUse("a URL in the store's variables does not start with https://")),
    (
        re.compile(r"\n\s+source: (InvalidAccessKey|\"Failed to read token file)|\b(DecodeCredentials|OpenCredentials|AzureCli) \{\n"),
        lambda _: NoCredentialsError("the credentials cannot be read"),
    ),
    (re.compile(rf"\n\s+status: {UNREACHABLE},\n"), lambda host: Unanswered(f"cannot connect to {host}")),
    (re.compile(r"\n\s+inner: BareRedirect"), lambda _: CannotUse("the bucket is in another region; set AWS_REGION to it")),
    (re.compile(r"InvalidCertificate|invalid peer certificate"), lambda host: Untrusted(f"the certificate of {host} is not trusted")),
    (re.compile(r"\n\s+kind: (Timeout|TimedOut),\n"), lambda _: TimeoutError()),
    (re.compile(r"failed to lookup address"), lambda host: Unanswered(f"cannot connect to {host}: the name does not resolve")),
    (re.compile(r"\n\s+kind: ConnectionRefused,\n"), lambda host: Unanswered(f"cannot connect to {host}: Connection refused")),
    (re.compile(r"\n\s+kind: Connect,\n"), lambda host: Unanswered(f"cannot connect to {host}")),
    (_KIND, lambda _: Unanswered("the server closed the connection early")),
    (
        re.compile(r"\n\s+source: (Header|NotPartial|NoContentRange|MissingLastModified|MissingEtag)"),
        lambda _: CannotUse("the server does not respond as an object store"),
    ),
)


def may_be_refused(error: Exception) -> bool:
    """Return True if this may be the refusal of a connection by `guard_proxy`.

    Of a refused tunnel obstore says only that no connection came about.
    """
    status, kind = _STATUS.search(str(error)), _KIND.search(str(error))
    return (status is not None and int(status[1]) == REFUSED) or (kind is not None and kind[1] == "Connect")


def may_refuse_condition(error: OSError) -> bool:
    """Return True if a store may refuse a request because it is to create an object exclusively.

    501 and 400 were seen. A server before the store may drop the header, which breaks the signature
    (403). Whoever asks without the condition then sees if there is another reason.
    """
    if isinstance(error, Refused):
        return error.status == _FORBIDDEN and error.code not in _EXPIRED
    return isinstance(error, Answered) and (error.status in _NO_CONDITION or error.status == _NOT_IMPLEMENTED)


def is_missing_bucket(error: FileNotFoundError) -> bool:
    """Return True if not the object is missing, but its bucket."""
    return bool(error.args) and error.args[0] in _NO_BUCKET


def is_empty_range(error: BaseException) -> bool:
    """Return True if a store has none of the bytes asked for, as of an empty object."""
    return isinstance(error, Answered) and error.status == _RANGE_STATUS


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""
