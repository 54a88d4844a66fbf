"""Decides which positives are held out, by a seeded hash.

The same seed holds out the same images everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from negset_api.errors import InvalidInput


def held_out(families: Mapping[str, str], *, percent: int, seed: int) -> frozenset[str]:
    """Return the keys of the images that are never trained on.

    `families` has the family of each image by its key. Images of one family are copies of one
    original, so they are all held out or all trained on. Families are drawn until `percent` of the
    images are held out, rounded; at least one family, and never all. A family that would make them
    too many is passed over. Raises `InvalidInput` if there are fewer than two families.
    """
    members: dict[str, list[str]] = {}
    for key in sorted(families):
        members.setdefault(families[key], []).append(key)
    if len(members) < 2:  # noqa: PLR2004  # one to train on, one to measure on
        copies = f" in {len(families)} copies" if len(families) > len(members) else ""
        raise InvalidInput(
            f"spec.positives: expected at least two images with usable objects, one to train on and one held out to measure recall; found {len(members)}{copies}"
        )
    wanted = round(len(families) * percent / 100)
    drawn = sorted(members.values(), key=lambda keys: (_draw(keys[0], seed), keys[0]))
    chosen: list[str] = []
    for family in drawn[:-1]:
        if len(chosen) + len(family) // 2 < wanted:
            chosen += family
    smallest: list[str] = min(drawn, key=len)
    return frozenset(chosen or smallest)


def _draw(key: str, seed: int) -> bytes:
    return blake2b(key.encode(), digest_size=8, salt=seed.to_bytes(8, "little"), person=b"positives").digest()
