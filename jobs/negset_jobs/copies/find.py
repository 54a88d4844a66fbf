"""Find the images that may be copies, from the fingerprints of two sets of images. Pure."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api.values import CopyCounts
from negset_jobs.copies import pixels, search
from negset_jobs.copies.fingerprint import UPRIGHT_HASHES, turned, turned_back

MOST_COPIES: Final = 4
"""Copies listed for one image. One is enough to exclude it."""

_MOST_NEAR: Final = 8  # neighbours of each hash
_MOST_COMPARED: Final = 36  # neighbours of each image whose pixels are compared


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

        If one of the parts has no turned hashes, the whole has none.
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
    def upright(self) -> Hashed:
        """The same images without turned hashes."""
        return msgspec.structs.replace(self, hashes=self.hashes[:, :UPRIGHT_HASHES])

    @property
    def plain(self) -> int:
        """The number of images without a hash."""
        return len(self.sha256) - len(self.rows)


class Candidate(NamedTuple):
    """Two images that may be copies, both as rows.

    `exact` is True if their bytes are the same. Otherwise the other image resembles this one after
    the turn.
    """

    image: int
    other: int
    distance: int = 0
    turn: int = 0
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

    @property
    def kind(self) -> str:
        return "positive" if self.positive else "negative"


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """An image and a copy of it.

    If `held_out`, the image is held out and the other one trains. If not, the image is a negative
    and the other one a positive.
    """

    image: Image
    other: Image
    exact: bool
    distance: int
    held_out: bool

    @property
    def negative(self) -> Image | None:
        """The negative, if the other one is a positive: it may show a class that is trained."""
        if self.image.positive == self.other.positive:
            return None
        return self.other if self.image.positive else self.image

    @property
    def positive(self) -> Image:
        """The positive, if there is a `negative`."""
        return self.image if self.image.positive else self.other


def candidates(held_out: Hashed, others: Hashed) -> Iterator[tuple[int, list[Candidate]]]:
    """Yield the possible copies of each held-out image: exact ones first, then the nearest.

    The held-out images must have turned hashes. Images without possible copies are not yielded.
    """
    return _by_image((*_exact(held_out, others), *_near(held_out, others.upright)))


def among_positives(negatives: Hashed, positives: Hashed) -> Iterator[tuple[int, list[Candidate]]]:
    """Yield the positives of which each negative may be a copy, in the order of `candidates`.

    The positives must have turned hashes. Each negative has its own nearest positives. So none is
    passed over where a positive has many copies.
    """
    return _by_image((*_exact(negatives, positives), *_near(negatives.upright, positives)))


def among(images: Hashed) -> Iterator[tuple[int, list[Candidate]]]:
    """Yield the possible near copies of each image among the others: the nearest first.

    The images must have turned hashes. Images without possible copies are not yielded.
    """
    return _by_image(candidate for candidate in _near(images, images.upright) if candidate.other != candidate.image)


def _by_image(every: Iterable[Candidate]) -> Iterator[tuple[int, list[Candidate]]]:
    found: dict[int, list[Candidate]] = collections.defaultdict(list)
    for candidate in every:
        found[candidate.image].append(candidate)
    return ((row, found[row][:_MOST_COMPARED]) for row in sorted(found))


def confirmed(found: Sequence[Candidate], images: Mapping[int, Seen], others: Mapping[int, Seen]) -> list[Candidate]:
    """Return the first few of one image's candidates that are copies.

    A candidate is a copy if its bytes are the same, or if a comparison of the pixels says so.
    """
    kept: dict[int, Candidate] = {}
    for candidate in found:
        if len(kept) == MOST_COPIES:
            break
        if candidate.other not in kept and (candidate.exact or _same(candidate, images, others)):
            kept[candidate.other] = candidate
    return list(kept.values())


def _same(candidate: Candidate, images: Mapping[int, Seen], others: Mapping[int, Seen]) -> bool:
    first, second = images[candidate.image].grey, others[candidate.other].grey
    if first is None or second is None:
        return False
    return pixels.same(turned(first, candidate.turn), second)


def copied(pairs: Iterable[Pair], *, positive: bool) -> tuple[str, ...]:
    """Return the ids of the held-out positives, or negatives, that have a copy."""
    return tuple(sorted({pair.image.image_id for pair in pairs if pair.held_out and pair.image.positive == positive}))


def like_positives(pairs: Iterable[Pair]) -> int:
    """Count the negatives that look like a positive."""
    return len({pair.negative.image_id for pair in pairs if pair.negative is not None})


def near_copies(pairs: Iterable[Pair]) -> dict[str, Image]:
    """Return the image that each negative looks like, by the negative's id.

    A positive goes first, because the negative may show its class. A negative with the same bytes
    is no near copy.
    """
    looks: dict[str, Image] = {}
    for pair in pairs:
        if pair.negative is None and not pair.image.positive and not pair.exact:
            looks.setdefault(pair.image.image_id, pair.other)
        elif pair.negative is not None and not looks.get(pair.negative.image_id, pair.negative).positive:
            looks[pair.negative.image_id] = pair.positive
    return looks


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


def _exact(images: Hashed, others: Hashed) -> Iterator[Candidate]:
    wanted: dict[bytes, list[int]] = collections.defaultdict(list)
    for row, sha256 in enumerate(images.sha256):
        wanted[sha256].append(row)
    named: collections.Counter[bytes] = collections.Counter()
    for other, sha256 in enumerate(others.sha256):
        if sha256 in wanted and named[sha256] < MOST_COPIES:
            named[sha256] += 1
            yield from (Candidate(row, other, exact=True) for row in wanted[sha256])


def _near(images: Hashed, others: Hashed) -> list[Candidate]:
    """Return the pairs with near hashes, the nearest first. One of both sides may have turned ones.

    A pair may occur with several turns: an image can resemble its own mirror image.
    """
    asked, known = (side.hashes.reshape(-1, 4) for side in (images, others))
    each_asked, each_known = images.hashes.shape[1], others.hashes.shape[1]
    found = search.pairs(asked, known, most=_MOST_NEAR)
    rows, other = images.rows[found["wanted"] // each_asked], others.rows[found["known"] // each_known]
    turns, back = found["wanted"] % each_asked // UPRIGHT_HASHES, found["known"] % each_known // UPRIGHT_HASHES
    first: dict[tuple[int, int, int], Candidate] = {}
    for index in np.argsort(found["distance"], kind="stable").tolist():
        key = (int(rows[index]), int(other[index]), int(turns[index]) or turned_back(int(back[index])))
        first.setdefault(key, Candidate(key[0], key[1], int(found["distance"][index]), key[2]))
    return list(first.values())
