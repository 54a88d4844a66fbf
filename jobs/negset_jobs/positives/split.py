"""Decides which positives are held out, by a seeded hash.

The same seed holds out the same images everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from negset_api.errors import InvalidInput


def held_out(keys: Iterable[str], *, percent: int, seed: int) -> frozenset[str]:
    """Return the keys of the images that are never trained on.

    They are `percent` of the distinct keys, rounded, but at least one and never all. A key that
    occurs twice is one image, in one split. Raises `InvalidInput` if there are fewer than two.
    """
    distinct = set(keys)
    if len(distinct) < 2:  # noqa: PLR2004  # one to train on, one to measure on
        raise InvalidInput(
            f"spec.positives: expected at least two images with usable objects, one to train on and one held out to measure recall; found {len(distinct)}"
        )
    wanted = min(max(round(len(distinct) * percent / 100), 1), len(distinct) - 1)
    return frozenset(sorted(distinct, key=lambda key: (_draw(key, seed), key))[:wanted])


def _draw(key: str, seed: int) -> bytes:
    return blake2b(key.encode(), digest_size=8, salt=seed.to_bytes(8, "little"), person=b"positives").digest()
