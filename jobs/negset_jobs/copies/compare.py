"""Compare the images of records files, by fingerprints that are stored beside them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from negset_api import names
from negset_api.values import digest
from negset_jobs.adapters import work
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.threads import parallel
from negset_jobs.copies.find import Candidate, Hashed, Image, Pair, Seen, among, among_positives, candidates, confirmed
from negset_jobs.copies.fingerprint import VERSION, fingerprint
from negset_jobs.copies.tables import decode_hashes, decode_seen, encode_fingerprints
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored_images import image_id, read_images

log = logging.getLogger(__name__)

_Search = Callable[[Hashed, Hashed], Iterator[tuple[int, list[Candidate]]]]

_LOOKED_AT: Final = 256
"""Images whose pixels are compared at a time.

Each has at most 36 candidates of 16 KiB in memory: 150 MB if all have as many.
"""


class File(msgspec.Struct, frozen=True):
    """A records file: its key, its kind and its split."""

    records: str
    positive: bool
    held_out: bool

    @property
    def fingerprints(self) -> str:
        """The key of its fingerprints."""
        return names.fingerprints(digest(VERSION), self.records)


class _Task(msgspec.Struct, frozen=True):
    """A file whose fingerprints are to be made."""

    store_url: str
    file: File


class Side(msgspec.Struct, frozen=True):
    """The images of some files, with their fingerprints.

    The images of `files[i]` start in row `starts[i]`.
    """

    files: tuple[File, ...]
    starts: tuple[int, ...]
    hashed: Hashed

    def file_of(self, row: int) -> int:
        return int(np.searchsorted(self.starts, row, side="right")) - 1


def make_fingerprints(store: Store, files: Sequence[File], *, workers: int, progress: Progress) -> None:
    """Write the fingerprints of every file to the store.

    Their keys contain the digest of the records, so fingerprints of an earlier run are reused.
    """
    made = frozenset(store.keys(names.FINGERPRINTS_FOLDER))
    missing = [file for file in files if file.fingerprints not in made]
    progress.start("Looking for copies", len(files), "files")
    progress.advance(len(files) - len(missing))
    for _ in work.map_unordered(_fingerprint_file, [_Task(store.url, file) for file in missing], workers=workers):
        progress.advance()
    progress.finish()


def _fingerprint_file(task: _Task, _: work.Report) -> None:
    """Run in a worker. The round that reads an unreadable record reports it; here it is logged."""
    store, file = Store(task.store_url), task.file
    with store.reading(file.records) as stream:
        images = [
            (image_id(features), fingerprint(features[od_keys.ENCODED][0], turns=file.positive or file.held_out))
            for _, features, _ in read_images(stream, file.records, log.debug)
        ]
    store.write(file.fingerprints, encode_fingerprints(images))


def side(store: Store, files: Sequence[File]) -> Side:
    """Return the images of the files, with turned hashes if all files have them."""
    parts = parallel(lambda file: decode_hashes(store.read(file.fingerprints)), files)
    ends = itertools.accumulate(len(part.sha256) for part in parts)
    return Side(tuple(files), (0, *ends)[:-1], Hashed.joined(parts))


def pairs(store: Store, held_out: Side, others: Side) -> Iterator[Pair]:
    """Yield every held-out image and its copies, in the order of the held-out images."""
    log.info("comparing %d held-out images with %d others", len(held_out.hashed.sha256), len(others.hashed.sha256))
    return _pairs(store, held_out, others, candidates, held_out=True)


def pairs_with_positives(store: Store, negatives: Side, positives: Side) -> Iterator[Pair]:
    """Yield every negative and the positives of which it is a copy, in the order of negatives."""
    log.info("comparing %d negatives with %d positives", len(negatives.hashed.sha256), len(positives.hashed.sha256))
    return _pairs(store, negatives, positives, among_positives, held_out=False)


def _pairs(store: Store, images: Side, others: Side, search: _Search, *, held_out: bool) -> Iterator[Pair]:
    """Yield the pairs that the search finds and the pixels confirm."""
    for batch in _batches(search(images.hashed, others.hashed)):
        found = [candidate for _, each in batch for candidate in each]
        seen = _seen(store, images, [candidate.image for candidate in found])
        known = _seen(store, others, [candidate.other for candidate in found])
        for _, each in batch:
            for candidate in confirmed(each, seen, known):
                yield Pair(
                    image=_image(images, candidate.image, seen),
                    other=_image(others, candidate.other, known),
                    exact=candidate.exact,
                    distance=candidate.distance,
                    held_out=held_out,
                )


def _batches(found: Iterator[tuple[int, list[Candidate]]]) -> Iterator[list[tuple[int, list[Candidate]]]]:
    while batch := list(itertools.islice(found, _LOOKED_AT)):
        yield batch


def _seen(store: Store, side: Side, rows: Sequence[int]) -> dict[int, Seen]:
    """Return the images in these rows. Each file is read once."""
    by_file = {number: list(members) for number, members in itertools.groupby(sorted(set(rows)), side.file_of)}

    def read(item: tuple[int, list[int]]) -> list[Seen]:
        number, members = item
        return decode_seen(store.read(side.files[number].fingerprints), [row - side.starts[number] for row in members])

    images = parallel(read, by_file.items())
    return {row: image for members, part in zip(by_file.values(), images, strict=True) for row, image in zip(members, part, strict=True)}


def _image(side: Side, row: int, seen: dict[int, Seen]) -> Image:
    file = side.files[side.file_of(row)]
    return Image(image_id=seen[row].image_id, positive=file.positive, records=file.records)


def alike(store: Store, images: Side) -> Iterator[tuple[str, str]]:
    """Yield the ids of every two images that are near copies, confirmed by their pixels.

    All files must be positives: they have turned hashes.
    """
    for batch in _batches(among(images.hashed)):
        found = [candidate for _, each in batch for candidate in each]
        seen = _seen(store, images, [row for candidate in found for row in (candidate.image, candidate.other)])
        for _, each in batch:
            for candidate in confirmed(each, seen, seen):
                yield seen[candidate.image].image_id, seen[candidate.other].image_id
