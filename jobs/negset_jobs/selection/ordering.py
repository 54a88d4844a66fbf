"""The order in which candidates are drawn.

It never depends on how many are wanted, so a larger set begins with the smaller one.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_jobs.formats.coco import Ids

Keys = npt.NDArray[np.uint64]

UNANNOTATED: Final = -1
"""The stratum of the images that show none of the classes; category ids are in its place otherwise."""


def keys(image_ids: Ids, *, seed: int, purpose: str) -> Keys:
    """A pseudo-random number in [0, 2**64) for each image id; distinct ids have distinct numbers.

    It is `mix` of the id plus an offset: the first 8 bytes, little-endian, of the BLAKE2b digest of
    "<purpose>:<seed>". The same on every machine.
    """
    offset = int.from_bytes(blake2b(f"{purpose}:{seed}".encode(), digest_size=8).digest(), "little")
    return mix(image_ids.astype(np.uint64) + np.uint64(offset))


def mix(z: Keys) -> Keys:
    """The finaliser of SplitMix64, a bijection of 64-bit numbers (Steele, Lea, Flood: "Fast
    splittable pseudorandom number generators", OOPSLA 2014; the constants are those of
    https://prng.di.unimi.it/splitmix64.c).
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Drawn(NamedTuple):
    """Positions of candidates in the order they are drawn, and for each position (not: place in the
    order) its rank within its stratum, from 0.
    """

    order: npt.NDArray[np.intp]
    ranks: npt.NDArray[np.intp]


def at_random(hashes: Keys) -> Drawn:
    """By hash alone: every candidate has the same chance."""
    order = np.argsort(hashes, kind="stable")
    return Drawn(order, _inverse(order))


def stratified(hashes: Keys, strata: Ids) -> Drawn:
    """First one image of every stratum, then a second of every stratum that has one, and so on; by
    hash within a stratum and within a turn.
    """
    grouped = np.lexsort((hashes, strata))
    sorted_strata = strata[grouped]
    starts = np.flatnonzero(np.r_[True, sorted_strata[1:] != sorted_strata[:-1]]) if grouped.size else np.empty(0, np.intp)
    sizes = np.diff(np.r_[starts, grouped.size])
    ranks = np.empty(grouped.size, np.intp)
    ranks[grouped] = np.arange(grouped.size) - np.repeat(starts, sizes)
    return Drawn(np.lexsort((hashes, ranks)), ranks)


def rarest_classes(count: int, positions: npt.NDArray[np.intp], category_ids: Ids) -> Ids:
    """The stratum of each of `count` candidates: of the classes it shows, the one that the fewest
    candidates show (of equals, the smallest id); `UNANNOTATED` where it shows none. `positions` and
    `category_ids` are what is annotated, one entry each per annotation.
    """
    strata = np.full(count, UNANNOTATED, np.int64)
    if not positions.size:
        return strata
    classes, indices = np.unique(category_ids, return_inverse=True)
    shown = np.unique(positions.astype(np.int64) * classes.size + indices)
    frequency = np.bincount(shown % classes.size, minlength=classes.size)
    rarity = _inverse(np.lexsort((classes, frequency)))
    best = np.full(count, classes.size, np.intp)
    np.minimum.at(best, shown // classes.size, rarity[shown % classes.size])
    by_rarity = classes[np.argsort(rarity)]
    annotated = best < classes.size
    strata[annotated] = by_rarity[best[annotated]]
    return strata


def _inverse(permutation: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    inverse = np.empty(permutation.size, np.intp)
    inverse[permutation] = np.arange(permutation.size)
    return inverse
