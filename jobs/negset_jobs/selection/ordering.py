"""The order in which candidates are drawn.

The order does not depend on the count, so a larger set begins with the smaller one.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_jobs.formats.coco import Ids

Keys = npt.NDArray[np.uint64]

UNANNOTATED: Final = -1
"""The stratum of the images without annotations. Other strata are category ids."""


def keys(image_ids: Ids, *, seed: int, purpose: str) -> Keys:
    """Return a pseudo-random number in [0, 2**64) for each image id, distinct for distinct ids.

    It is `mix` of the id plus an offset: the first 8 bytes, little-endian, of the BLAKE2b digest of
    "<purpose>:<seed>". It is the same on every machine.
    """
    offset = int.from_bytes(blake2b(f"{purpose}:{seed}".encode(), digest_size=8).digest(), "little")
    return mix(image_ids.astype(np.uint64) + np.uint64(offset))


def mix(z: Keys) -> Keys:
    """Apply the finaliser of SplitMix64, a bijection of 64-bit numbers.

    Source: Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014. The
    constants are those of https://prng.di.unimi.it/splitmix64.c.
    """
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class Drawn(NamedTuple):
    """The order in which candidates are drawn, and their ranks.

    `order` has positions of candidates. `ranks` has the rank of each candidate within its stratum,
    from 0, indexed by position and not by place in the order.
    """

    order: npt.NDArray[np.intp]
    ranks: npt.NDArray[np.intp]


def at_random(hashes: Keys) -> Drawn:
    """Order by hash alone: every candidate has the same chance."""
    order = np.argsort(hashes, kind="stable")
    return Drawn(order, _inverse(order))


def stratified(hashes: Keys, strata: Ids) -> Drawn:
    """Draw one image of every stratum, then a second of every stratum that has one, and so on.

    Images are ordered by hash within a stratum and within a turn.
    """
    grouped = np.lexsort((hashes, strata))
    sorted_strata = strata[grouped]
    starts = np.flatnonzero(np.r_[True, sorted_strata[1:] != sorted_strata[:-1]]) if grouped.size else np.empty(0, np.intp)
    sizes = np.diff(np.r_[starts, grouped.size])
    ranks = np.empty(grouped.size, np.intp)
    ranks[grouped] = np.arange(grouped.size) - np.repeat(starts, sizes)
    return Drawn(np.lexsort((hashes, ranks)), ranks)


def rarest_classes(count: int, positions: npt.NDArray[np.intp], category_ids: Ids) -> Ids:
    """Return the stratum of each of `count` candidates.

    Of the classes that an image shows, it is the one that the fewest candidates show; of equals,
    the smallest id. It is `UNANNOTATED` if the image shows none. `positions` and `category_ids`
    have one entry per annotation.
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
