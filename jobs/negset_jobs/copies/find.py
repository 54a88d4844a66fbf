"""Find the images that may be copies, from fingerprints of held-out and other images. Pure."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.values import CopyCounts
from negset_jobs.copies import pixels, search

MOST_COPIES: Final = 4
"""Copies listed for one held-out image. One is enough to exclude it."""

_MOST_NEAR: Final = 8  # neighbours of each hash whose pixels are compared


class Hashed(msgspec.Struct, frozen=True):
    """The fingerprints of several images.

    `sha256` has a digest for each image. `hashes` has a row for each image with hashes, in the
    order of `Fingerprint`. `rows` has the indices of these images.
    """

    sha256: list[bytes]
    rows: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]

    @classmethod
    def joined(cls, parts: Iterable[Hashed]) -> Hashed:
        """Return the images of all parts, one part after another.

        If one of the parts has no mirrored hashes, the whole has none.
        """
        digests: list[bytes] = []
        rows, hashes = [np.empty(0, np.int32)], []
        for part in parts:
            rows.append(part.rows + np.int32(len(digests)))
            digests += part.sha256
            if len(part.rows):
                hashes.append(part.hashes)
        fewest = min((part.shape[1] for part in hashes), default=0)
        hashes = [part[:, :fewest] for part in hashes]
        return cls(digests, np.concatenate(rows), np.concatenate(hashes) if hashes else np.empty((0, 1, 4), np.uint64))

    @property
    def plain(self) -> int:
        """The number of images without a hash."""
        return len(self.sha256) - len(self.rows)


class Candidate(NamedTuple):
    """Two images that may be copies: a held-out one and another, both as rows.

    `exact` is True if their bytes are the same. `mirrored` is True if the other image resembles the
    mirrored held-out image.
    """

    held_out: int
    other: int
    distance: int = 0
    mirrored: bool = False
    exact: bool = False


class Seen(msgspec.Struct, frozen=True):
    """An image whose pixels are compared: its id, and its pixels if it has hashes."""

    image_id: str
    grey: pixels.Pixels | None


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image: its id, whether it is a positive, and the key of the file that holds its record."""

    image_id: str
    positive: bool
    records: str


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """A held-out image and a copy of it that trains."""

    held_out: Image
    other: Image
    exact: bool
    distance: int


def candidates(held_out: Hashed, others: Hashed) -> Iterator[tuple[int, list[Candidate]]]:
    """Yield the possible copies of each held-out image: exact ones first, then the nearest.

    Images without possible copies are not yielded.
    """
    found: dict[int, list[Candidate]] = collections.defaultdict(list)
    for candidate in (*_exact(held_out, others), *_near(held_out, others)):
        found[candidate.held_out].append(candidate)
    return ((row, found[row]) for row in sorted(found))


def among(images: Hashed) -> Iterator[tuple[int, list[Candidate]]]:
    """Yield the possible near copies of each image among the others: the nearest first.

    The images must have mirrored hashes. Images without possible copies are not yielded.
    """
    if not len(images.rows):
        return iter(())
    known = msgspec.structs.replace(images, hashes=images.hashes[:, : images.hashes.shape[1] // 2])
    found: dict[int, list[Candidate]] = collections.defaultdict(list)
    for candidate in _near(images, known):
        if candidate.other != candidate.held_out:
            found[candidate.held_out].append(candidate)
    return ((row, found[row]) for row in sorted(found))


def confirmed(found: Sequence[Candidate], held_out: Mapping[int, Seen], others: Mapping[int, Seen]) -> list[Candidate]:
    """Return the first few of one image's candidates that are copies.

    A candidate is a copy if its bytes are the same, or if a comparison of the pixels says so.
    """
    kept: dict[int, Candidate] = {}
    for candidate in found:
        if len(kept) == MOST_COPIES:
            break
        if candidate.other not in kept and (candidate.exact or _same(candidate, held_out, others)):
            kept[candidate.other] = candidate
    return list(kept.values())


def _same(candidate: Candidate, held_out: Mapping[int, Seen], others: Mapping[int, Seen]) -> bool:
    first, second = held_out[candidate.held_out].grey, others[candidate.other].grey
    if first is None or second is None:
        return False
    return pixels.same(first[:, ::-1] if candidate.mirrored else first, second)


def copied(pairs: Iterable[Pair], *, positive: bool) -> tuple[str, ...]:
    """Return the ids of the held-out positives, or negatives, that have a copy."""
    return tuple(sorted({pair.held_out.image_id for pair in pairs if pair.held_out.positive == positive}))


def counts(pairs: Sequence[Pair]) -> CopyCounts:
    """Count the held-out images that have an exact copy, and those that have only near ones."""
    exact = [pair for pair in pairs if pair.exact]
    (negatives, positives), (exact_negatives, exact_positives) = (
        tuple(len(copied(some, positive=positive)) for positive in (False, True)) for some in (pairs, exact)
    )
    return CopyCounts(
        exact_negatives=exact_negatives,
        near_negatives=negatives - exact_negatives,
        exact_positives=exact_positives,
        near_positives=positives - exact_positives,
    )


def _exact(held_out: Hashed, others: Hashed) -> Iterator[Candidate]:
    wanted: dict[bytes, list[int]] = collections.defaultdict(list)
    for row, sha256 in enumerate(held_out.sha256):
        wanted[sha256].append(row)
    named: collections.Counter[bytes] = collections.Counter()
    for other, sha256 in enumerate(others.sha256):
        if sha256 in wanted and named[sha256] < MOST_COPIES:
            named[sha256] += 1
            yield from (Candidate(row, other, exact=True) for row in wanted[sha256])


def _near(held_out: Hashed, others: Hashed) -> list[Candidate]:
    """Return the pairs with near hashes, the nearest first.

    A pair may occur twice, unchanged and mirrored: an image can resemble its own mirror image.
    """
    asked, known = (side.hashes.reshape(-1, 4) for side in (held_out, others))
    each_asked, each_known = held_out.hashes.shape[1], others.hashes.shape[1]
    found = search.pairs(asked, known, most=_MOST_NEAR)
    rows, other = held_out.rows[found["wanted"] // each_asked], others.rows[found["known"] // each_known]
    mirrored = found["wanted"] % each_asked >= each_asked // 2
    first: dict[tuple[int, int, bool], Candidate] = {}
    for index in np.argsort(found["distance"], kind="stable").tolist():
        key = (int(rows[index]), int(other[index]), bool(mirrored[index]))
        first.setdefault(key, Candidate(key[0], key[1], int(found["distance"][index]), key[2]))
    return list(first.values())
