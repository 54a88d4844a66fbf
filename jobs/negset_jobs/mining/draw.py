"""Random negatives, as many as were mined, for the comparison. Pure."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable


def draw(image_ids: Iterable[str], count: int, *, seed: int) -> frozenset[str]:
    """Return `count` of the ids, drawn by a seeded hash; all ids if there are fewer.

    A larger count contains the smaller one, so drawn images stay drawn in later rounds.
    """
    return frozenset(heapq.nsmallest(count, image_ids, key=lambda image_id: _hash(image_id, seed)))


def _hash(image_id: str, seed: int) -> bytes:
    return hashlib.blake2b(f"random-negatives:{seed}:{image_id}".encode(), digest_size=16).digest()
