"""Decoding from any thread.

msgspec (0.21) collects the information about a type when the type is first decoded. A part of that
runs in Python, where another thread may take over. If that thread decodes the same type, it finds
incomplete information, and the process ends with a segmentation fault. So each type is first
prepared here, under one lock.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_collecting = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def from_json(data: bytes | msgspec.Raw, kind: type[T]) -> T:
    """Return the value of type `kind` in a JSON document.

    Raise `msgspec.ValidationError`, or `msgspec.DecodeError` if it is not JSON.
    """
    value: T = decoder(kind).decode(data)
    return value


def convert(value: Any, kind: type[T]) -> T:
    """Return the value of type `kind` from plain dicts, lists and scalars.

    Raise `msgspec.ValidationError`.
    """
    decoder(kind)
    return msgspec.convert(value, kind)


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the only decoder of a type."""
    known = _decoders.get(kind)
    if known is None:
        with _collecting:
            known = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    return known
