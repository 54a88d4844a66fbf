"""Describe errors in foreign content without quoting it. Pure.

A message says where the content is wrong and what was expected.

A message contains no bytes of a file and no text of a server. See jobs/README.md.

The only exception are names of classes, images and licences, and ids of images and classes, from
their field in a document of the expected format. They go through `quoted`, which keeps them short
and on one line. Error texts of libraries go through the other functions here.
"""

from __future__ import annotations

import difflib
import http
import os
import re
import ssl
import traceback
from collections.abc import Iterator
from typing import Any, Final

from negset_jobs.adapters.object_store_errors import Answered, CannotUse, NoCredentialsError, Refused, Unanswered, Untrusted

_LONGEST_NAME: Final = 60
_PLACE: Final = re.compile(r'File "[^"]*/(negset_jobs/[\w/]+\.py)", line (\d+)')


def quoted(name: object) -> str:
    """Return a name from a document in quotes, on one line, and cut if it is too long."""
    text = str(name)
    return repr(text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…")


def quoted_id(number: int | str) -> str:
    """Return an id from a document: digits as they are, text like a name."""
    return quoted(number) if isinstance(number, str) else str(number)


def of_text_format(error: Exception) -> str:
    """Describe protobuf's `text_format.ParseError`, whose own text quotes the line."""
    text_error: Any = error
    line, column = text_error.GetLine(), text_error.GetColumn()
    fitting = ((words, match) for pattern, words in _TEXT_FORMAT if (match := pattern.search(str(error))))
    words = next((words.format(*map(_last, match.groups())) for words, match in fitting), "not in protobuf's text format")
    words += _near(str(error))
    return f"line {line}, column {column}: {words}" if line is not None else words


def _near(text: str) -> str:
    """Return a hint with the field of the schema that is similar to an unknown one; or nothing."""
    from google.protobuf import descriptor_pool

    match = re.search(r'Message type "([\w.]+)" has no field named "(\w+)"', text)
    try:
        message = descriptor_pool.Default().FindMessageTypeByName(match[1]) if match else None
    except KeyError:
        message = None
    near = difflib.get_close_matches(match[2], message.fields_by_name, n=1, cutoff=0.75) if match and message else ()
    return f"; did you mean {near[0]}?" if near else ""


def _last(name: str) -> str:
    return name.rpartition(".")[2]


_TEXT_FORMAT: Final = (  # the first match counts; the captured names are the schema's
    (re.compile(r'Message type "([\w.]+)" has no field named "'), "{} has no such field"),
    (re.compile(r'Enum type "([\w.]+)" has no value '), "expected a value of {}"),
    (re.compile(r'should not have multiple "(\w+)" fields'), "expected {} once"),
    (re.compile(r'another member of oneof "(\w+)"'), "expected one field of {}"),
    (re.compile(r'Expected "([^\w\s"])"\.'), "expected '{}'"),
    (re.compile(r"[Ii]nteger|out of range"), "expected a whole number"),
    (re.compile(r"float"), "expected a number"),
    (re.compile(r"bool|true|false"), "expected true or false"),
    (re.compile(r"[Ss]tring"), "expected a string in quotes"),
    (re.compile(r"[Ii]dentifier"), "expected the name of a field"),
)


def of_xml(error: Exception) -> str:
    """Describe the error of an XML parser: `xml.etree`'s `ParseError`, or defusedxml's errors."""
    from xml.parsers.expat import ErrorString

    code, position = getattr(error, "code", None), getattr(error, "position", None)
    if isinstance(code, int) and position is not None:
        return f"{ErrorString(code)}: line {position[0]}, column {position[1]}"
    return type(error).__name__


def of_yaml(error: Exception) -> str:
    """Return the position of a `yaml.YAMLError`."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "not text"


def of_backend(error: BaseException) -> str:
    """Describe the error of a back end of fsspec.

    Back ends are obstore, aiohttp, requests, the operating system and decompressors.
    """
    causes = list(_causes(error))
    for cause in causes:
        for describe in (_of_store, _of_http):
            if (text := describe(cause)) is not None:
                return text
    for cause in causes:
        if (text := _of_connection(cause)) is not None:
            return text
    text = next((words for kinds, words in _KINDS if _named(error) & kinds), "")
    return text or f"{type(error).__name__} (--debug shows more)"


def of_bug(error: BaseException, trace: str = "") -> str:
    """Describe an unexpected error by its class and where it was raised.

    Its text may contain foreign content. `trace` is the traceback, if the error lost it on the way
    from another process.
    """
    places = _PLACE.findall(trace or "".join(traceback.format_tb(error.__traceback__)))
    return f"{type(error).__name__}{' at {}:{}'.format(*places[-1]) if places else ''}"


def status_line(status: int) -> str:
    """Return an HTTP status with its standard phrase, not the server's."""
    try:
        return f"HTTP {status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, the outermost first."""
    at: BaseException | None = error
    for _ in range(20):
        if at is None:
            return
        yield at
        at = at.__cause__ or at.__context__


def _of_store(error: BaseException) -> str | None:
    """Describe an error of `object_store_errors`."""
    if isinstance(error, Unanswered | Untrusted | NoCredentialsError | CannotUse):
        return error.words
    if isinstance(error, Answered | Refused):
        return status_line(error.status) + (f" ({error.code})" if error.code else "")
    return None


def _of_http(error: BaseException) -> str | None:
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status_line(status) if isinstance(status, int) else None


def _of_connection(error: BaseException) -> str | None:
    """Return a text of the operating system."""
    inner = getattr(error, "os_error", error)
    if isinstance(inner, OSError) and inner.errno is not None:
        words = _of_number(inner)
        host = getattr(error, "host", None)
        return f"cannot connect to {quoted(host)}: {words}" if isinstance(host, str) else words
    if "range requests" in str(error):
        return "the server does not support range requests"
    return str(error) if isinstance(error, ImportError) else None


def _of_number(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's
        return f"no TLS connection ({error.reason})" if error.reason else "no TLS connection"
    # A resolver's error numbers are negative, and not the system's.
    return os.strerror(error.errno or 0) if (error.errno or 0) > 0 else "the name does not resolve"


def _named(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}


_KINDS: Final = (  # the first match counts
    ({"BadZipFile"}, "not a zip archive, or damaged or truncated"),
    ({"BadGzipFile"}, "damaged gzip data"),
    ({"EOFError"}, "the file ends early"),
    ({"error"}, "damaged compressed data"),  # zlib's and lzma's
    ({"TarError"}, "not a tar archive, or damaged or truncated"),
    ({"PermissionError"}, "access is denied"),
    ({"TimeoutError", "Timeout"}, "no complete response before the timeout"),
    ({"ServerDisconnectedError", "ClientPayloadError"}, "the server closed the connection early"),
    ({"ConnectionError"}, "cannot connect"),
)
