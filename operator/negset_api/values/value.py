"""What every value is, and how it becomes bytes."""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import msgspec

from negset_api import decoding


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of what stages hand on: immutable, camelCase in JSON."""


T = TypeVar("T")


def encode(value: Value) -> bytes:
    """The value as JSON, deterministic: the same value is always the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0) + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """The value from its JSON. Raises `msgspec.ValidationError` where the bytes are not one."""
    return decoding.from_json(data, kind)


def digest(*parts: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of the parts' canonical JSON (keys sorted)."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:16]


ImageId = int | str
"""COCO's integer id, or the file name where the annotations have no ids (Pascal VOC)."""
