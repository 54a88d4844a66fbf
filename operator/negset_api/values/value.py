"""The base of every value, its encoding and its digest."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from negset_api import decoding


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of the values that stages write: immutable, camelCase in JSON."""


T = TypeVar("T")


def encode(value: Value) -> bytes:
    """Return the value as JSON. The same value always has the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0) + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """Return the value of its JSON.

    Raise `msgspec.ValidationError`, or `msgspec.DecodeError` if the bytes are not JSON.
    """
    return decoding.from_json(data, kind)


def digest(*parts: Any) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the parts' canonical JSON (sorted keys)."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:16]


ImageId = int | str
"""COCO's integer id, or the file name where the annotations have no ids (Pascal VOC)."""
