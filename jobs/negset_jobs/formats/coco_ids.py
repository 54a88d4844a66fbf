"""Ids of images and categories as 64-bit keys, so that annotations can be columns of numbers. Pure.

The key of a number is the number. The key of text is a digest, the same in every file.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Final

import numpy as np
import numpy.typing as npt

from negset_api.values import ImageId

Ids = npt.NDArray[np.int64]

UNREADABLE: Final = -(2**63)
"""The key of an id that has no reading. No id has it."""

_KEY_BYTES: Final = 8
_ENDING: Final = re.compile(r"\.(?:bmp|gif|jpe?g|png|tiff?|webp)$")


def key_of(number: ImageId) -> int:
    """Return the key of an id; of text, a number in [0, 2**63)."""
    if isinstance(number, int):
        return number
    return int.from_bytes(blake2b(number.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest(), "little") >> 1


def keys_of(ids: Iterable[ImageId]) -> Ids:
    listed = list(ids)
    if all(type(number) is int for number in listed):  # the usual case, at a third of the time
        return np.array(listed, np.int64)
    return np.array([key_of(number) for number in listed], np.int64)


def digits_of(number: ImageId) -> int | None:
    """Return the value of an id that is written in digits, such as 7 of "0007"."""
    if isinstance(number, int):
        return number
    return int(number) if number.isascii() and number.isdigit() and len(number) < len(str(2**63)) else None


def by_digits(known: Iterable[ImageId]) -> dict[int, int]:
    """Return the keys of the ids that are written in digits, by their value.

    A value that two ids share is left out, because it names neither.
    """
    found: dict[int, int] = {}
    shared: set[int] = set()
    for number in known:
        value = digits_of(number)
        if value is not None:
            shared.update({value} & found.keys())
            found[value] = key_of(number)
    return {value: key for value, key in found.items() if value not in shared}


def file_key(name: str) -> str:
    """Return an image's name as one of its spellings, without an image's ending."""
    plain = unicodedata.normalize("NFC", name.strip()).replace("\\", "/").casefold()
    return _ENDING.sub("", plain)


def by_spelling(names: Iterable[tuple[str, int]], spelling: Callable[[str], str]) -> dict[str, int]:
    """Return the keys by the spelling of their names. A spelling of two keys is left out."""
    found: dict[str, int] = {}
    shared: set[str] = set()
    for name, key in names:
        spelt = spelling(name)
        if found.setdefault(spelt, key) != key:
            shared.add(spelt)
    return {spelt: key for spelt, key in found.items() if spelt not in shared}


def matched(
    keys: Ids, texts: Mapping[int, str], known: Iterable[ImageId], names: Mapping[str, int], spelling: Callable[[str], str] = file_key
) -> Ids:
    """Return the keys, those that are not `known` replaced by the known ids that they mean.

    "0007" means 7, and the other way round, and a name means the id that `names` gives. So does an
    id or a name in another `spelling`, if only one id has it. `texts` has the text of each key that
    is of text.
    """
    listed = tuple(known)
    if not texts and not any(isinstance(number, str) for number in listed):
        return keys
    strange = np.setdiff1d(keys, keys_of(listed))
    digits = by_digits(listed)
    spelt: dict[str, int] = {}
    if not texts.keys().isdisjoint(strange.tolist()):
        ids = ((number, key_of(number)) for number in listed if isinstance(number, str))
        spelt = by_spelling([*ids, *names.items()], spelling)
    meant: dict[int, int] = {}
    for key in strange.tolist():
        name = texts.get(key, key)
        found = digits.get(value) if (value := digits_of(name)) is not None else None
        if found is None and isinstance(name, str):
            found = names.get(name, spelt.get(spelling(name)))
        if found is not None:
            meant[key] = found
    if not meant:
        return keys
    old = np.array(sorted(meant), np.int64)
    new = np.array([meant[key] for key in old.tolist()], np.int64)
    places = np.minimum(np.searchsorted(old, keys), old.size - 1)
    return np.where(old[places] == keys, new[places], keys)
