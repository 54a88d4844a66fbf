"""The values on the arrows, as objects of a store.

A key that holds a value is its stage's commit marker. It is written last and never replaced, so it
exists if and only if the stage is done.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from negset_api.errors import WorkFailed
from negset_api.values import Value, decode, encode
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject

V = TypeVar("V", bound=Value)


def load(store: Store, key: str, kind: type[V]) -> V:
    """Return the value under `key`.

    Raises `MissingObject` if there is none, and `WorkFailed` if the object is not such a value.
    """
    try:
        return decode(store.read(key), kind)
    except msgspec.MsgspecError as error:
        raise WorkFailed(f"{store.location(key)}: expected a {kind.__name__} written by this version of negset: {error}") from error


def find(store: Store, key: str, kind: type[V]) -> V | None:
    """Return the value under `key`, or None if there is none. Raises as `load` does."""
    try:
        return load(store, key, kind)
    except MissingObject:
        return None


def commit(store: Store, key: str, value: V) -> V:
    """Write the value if there is none under `key`. Return the value that is there then.

    Of several attempts the first one counts, and all of them return its value.
    """
    return value if store.create(key, encode(value)) else load(store, key, type(value))
