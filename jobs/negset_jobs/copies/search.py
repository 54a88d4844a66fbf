"""Find pairs of hashes that differ in few bits. Pure.

A hash of 256 bits is 16 bands of 16 bits. If two hashes differ in 31 bits or fewer, they differ in
at most one bit in some band. Two bits in every band would be 32. So a hash is only compared with
hashes that share one of its 16 bands, unchanged or with one bit flipped. Of 65,536 random hashes,
these are 272.

Measured on random hashes, on one core: 100,000 against 1,000,000 take 13 s and 0.2 GB, and 400,000
against 2,000,000 take 115 s and 0.6 GB. A held-out image and a positive have 16 hashes, another
image has two: 20,000 negatives against 2,000 positives take 2 s, or 34 s if all of them look alike.
The computation of these hashes takes a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
"""A row of 4 words for each hash."""
Rows = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]

MOST_DISTANCE: Final = 31
"""The maximum number of bits in which the hashes of copies differ.

Hashes of `fingerprint` differ in an even number of bits, so the effective maximum is 30.

Measured on 80 images of COCO and, in brackets, on the demo's. Copies were saved again at quality 30
to 95 or as PNG, resized to 25 to 200 %, or made grey. Others were made 10 % brighter or given 20 %
more contrast. They differ in at most 10 bits (22). Copies cut by 1 to 3 % a side differ in at most
24 bits (16). Mirrored copies differ in no more bits. The smallest distance of two different images
is 96 in 3,160 pairs (54 in 2,736,630).
"""

BANDS: Final = 16
_KEYS: Final = 1 << 16
_FLIPS: Final = np.array([0, *(1 << bit for bit in range(16))], np.uint16)
_AT_ONCE: Final = 1 << 19
"""Pairs compared at a time: their words fit in the processor's cache."""
_HELD: Final = 1 << 22
"""Pairs collected before only the nearest are kept."""
_PAIR: Final = np.dtype([("wanted", np.int32), ("known", np.int32), ("distance", np.int16)])

Pairs = npt.NDArray[np.void]
"""Records of `wanted` and `known`, both rows, and `distance`."""


def pairs(wanted: Hashes, known: Hashes, *, most: int, distance: int = MOST_DISTANCE) -> Pairs:
    """Return the `most` nearest hashes of `known` within `distance` for each of `wanted`.

    They are in order of `wanted`, then of the distance. Once a hash has `most` neighbours, further
    bands are not searched for it. So many similar images are compared once and not 16 times, but
    the neighbours may not be the very nearest.
    """
    if not 0 <= distance <= MOST_DISTANCE:
        raise ValueError(f"distance: expected 0 to {MOST_DISTANCE}, got {distance}")
    found = np.empty(0, _PAIR)
    asking = np.arange(len(wanted), dtype=np.int32)
    for band in range(BANDS):
        if not len(asking) or not len(known):
            break
        more: list[Pairs] = []
        for chunk in _band(wanted, asking, _Sorted.by(known, band), band, distance):
            more.append(chunk)
            if sum(map(len, more)) > _HELD:
                found, more = _nearest([found, *more], most), []
        found = _nearest([found, *more], most)
        satisfied = np.bincount(found["wanted"], minlength=len(wanted)) >= most
        asking = asking[~satisfied[asking]]
    return found


def _nearest(parts: list[Pairs], most: int) -> Pairs:
    """Return each pair once, and only the `most` nearest pairs of each wanted hash."""
    found = np.concatenate(parts)
    found = found[np.lexsort((found["known"], found["distance"], found["wanted"]))]
    same = np.zeros(len(found), bool)
    same[1:] = (found["wanted"][1:] == found["wanted"][:-1]) & (found["known"][1:] == found["known"][:-1])
    found = found[~same]
    first = np.searchsorted(found["wanted"], found["wanted"])
    kept: Pairs = found[np.arange(len(found)) - first < most]
    return kept


class _Sorted(NamedTuple):
    """Hashes in the order of one band.

    `rows` are their rows, `columns` their words. Each word has its own array, so that words that
    are compared together are contiguous. Hashes whose band is `key` are from `starts[key]` to
    `starts[key + 1]`.
    """

    rows: Rows
    columns: Hashes
    starts: Places

    @classmethod
    def by(cls, hashes: Hashes, band: int) -> _Sorted:
        keys = _keys(hashes, band)
        rows = np.argsort(keys, kind="stable").astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=_KEYS))])
        return cls(rows, np.ascontiguousarray(hashes[rows].T), starts)


def _band(wanted: Hashes, asking: Rows, known: _Sorted, band: int, distance: int) -> Iterator[Pairs]:
    """Yield the near pairs that differ in at most one bit of a band, `_AT_ONCE` at a time."""
    probes = (_keys(wanted, band)[asking, None] ^ _FLIPS).reshape(-1)
    by_key = np.argsort(probes, kind="stable")
    probes, asking = probes[by_key], asking[by_key // len(_FLIPS)]
    starts = known.starts[probes]
    counts = known.starts[probes.astype(np.int64) + 1] - starts
    ends = np.cumsum(counts)
    words = np.ascontiguousarray(wanted.T)
    begin = done = 0
    while begin < len(probes):
        end = max(begin + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        sizes = counts[begin:end]
        left = np.repeat(asking[begin:end], sizes)
        right = np.repeat(starts[begin:end] - (ends[begin:end] - sizes - done), sizes) + np.arange(len(left))
        chunk = _compared(words, known, left, right, distance)
        if len(chunk):
            yield chunk
        begin, done = end, int(ends[end - 1])


def _compared(words: Hashes, known: _Sorted, left: Rows, right: Places, distance: int) -> Pairs:
    """Return the near pairs.

    Half of the bits reject nearly all others: at most 31 of 128 random bits differ once in 10^8.
    """
    half = _differing(words, known.columns, left, right, (0, 1))
    kept = np.flatnonzero(half <= distance)
    left, right = left[kept], right[kept]
    whole = half[kept] + _differing(words, known.columns, left, right, (2, 3))
    near = whole <= distance
    found = np.empty(int(near.sum()), _PAIR)
    found["wanted"], found["known"], found["distance"] = left[near], known.rows[right[near]], whole[near]
    return found


def _differing(words: Hashes, columns: Hashes, left: Rows, right: Places, chosen: tuple[int, int]) -> Places:
    """Return the number of bits that differ in two words.

    They are counted in parallel: in groups of two, four and eight bits, then added by a
    multiplication.
    """
    total = np.zeros(len(left), np.uint64)
    for word in chosen:
        bits = words[word].take(left)
        bits ^= columns[word].take(right)
        bits -= (bits >> _ONE) & _PAIRS
        total += (bits & _FOURS) + ((bits >> _TWO) & _FOURS)
    total = (total & _EIGHTS) + ((total >> _FOUR) & _EIGHTS)
    total *= _ONES
    return (total >> _TOP).astype(np.int64)


_ONE, _TWO, _FOUR, _TOP = (np.uint64(number) for number in (1, 2, 4, 56))
_PAIRS, _FOURS, _EIGHTS, _ONES = (np.uint64(byte * 0x0101010101010101) for byte in (0x55, 0x33, 0x0F, 0x01))


def _keys(hashes: Hashes, band: int) -> npt.NDArray[np.uint16]:
    """Return the band of each hash."""
    return np.ascontiguousarray(hashes.view(np.uint16)[:, band])
