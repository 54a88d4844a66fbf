"""Find the held-out images that are copies of training images."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset
from negset_api.values import Copies, Positives, Records, digest
from negset_jobs.adapters import work
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.threads import parallel
from negset_jobs.copies.find import Candidate, Hashed, Image, Pair, Seen, candidates, confirmed, copied, counts
from negset_jobs.copies.fingerprint import VERSION, fingerprint
from negset_jobs.copies.tables import decode_hashes, decode_ids, decode_seen, encode_fingerprints, encode_pairs
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored import commit
from negset_jobs.formats.stored_images import image_id, read_images

log = logging.getLogger(__name__)

_LOOKED_AT: Final = 256
"""Held-out images whose pixels are compared at a time.

Each has at most 36 candidates of 16 KiB in memory: 150 MB if all have as many.
"""


class _File(msgspec.Struct, frozen=True):
    """A records file: its key, its kind and split, and the key of its fingerprints."""

    records: str
    positive: bool
    held_out: bool
    fingerprints: str


class _Task(msgspec.Struct, frozen=True):
    """A file whose fingerprints are to be made."""

    store_url: str
    file: _File


class _Side(msgspec.Struct, frozen=True):
    """The held-out images or the others, with their fingerprints.

    The images of `files[i]` start in row `starts[i]`.
    """

    files: tuple[_File, ...]
    starts: tuple[int, ...]
    hashed: Hashed

    def file_of(self, row: int) -> int:
        return int(np.searchsorted(self.starts, row, side="right")) - 1


def copies_stage(store: Store, dataset: NegativeDataset, records: Records, positives: Positives, progress: Progress) -> Copies:
    """Find the held-out images that a model may know from its training.

    Negatives are compared with positives too. Writes `copies.parquet` and, last, the marker. After
    an interruption, the next run continues with the files that have no fingerprints yet. Raises
    `InvalidInput` if all held-out negatives, or all held-out positives, are copies: there would be
    nothing to measure.
    """
    input_digest = copies_input_digest(records, positives)
    files = _files(records, positives, input_digest)
    _make_fingerprints(store, dataset, files, progress)
    held_out, others = (_side(store, [file for file in files if file.held_out == wanted]) for wanted in (True, False))
    pairs = list(_pairs(store, held_out, others))
    store.write(names.COPIES_TABLE, encode_pairs(pairs))
    found = Copies(
        input_digest=input_digest,
        negatives=copied(pairs, positive=False),
        positives=copied(pairs, positive=True),
        counts=counts(pairs),
        held_out=len(held_out.hashed.sha256),
        others=len(others.hashed.sha256),
        plain=held_out.hashed.plain + others.hashed.plain,
        table=names.COPIES_TABLE,
    )
    _require_measurable(store, held_out, found)
    value = commit(store, names.COPIES, found)
    store.remove(store.keys(names.FINGERPRINTS_FOLDER))
    _warn(value)
    return value


def copies_input_digest(records: Records, positives: Positives) -> str:
    """Return the digest of all inputs of the search for copies."""
    return digest(VERSION, records.files, positives.files)


def _require_measurable(store: Store, held_out: _Side, found: Copies) -> None:
    """Raise `InvalidInput` if all held-out negatives, or all held-out positives, are copies."""
    for positive, kind, copies in ((False, "negatives", found.negatives), (True, "positives", found.positives)):
        tables = [file.fingerprints for file in held_out.files if file.positive == positive]
        ids = [image_id for table in parallel(lambda key: decode_ids(store.read(key)), tables) for image_id in table]
        if ids and frozenset(copies).issuperset(ids):
            raise InvalidInput(
                f"spec.training: expected held-out {kind} to measure with, but all {len(ids):,} are copies of training images; remove the copies that "
                f"{store.location(names.COPIES_TABLE)} lists from the sources, or raise spec.{'positives' if positive else 'training'}.heldOutPercent"
            )


def _files(records: Records, positives: Positives, input_digest: str) -> tuple[_File, ...]:
    return tuple(
        _File(key, positive, split == names.HELD_OUT, names.fingerprints(input_digest, key))
        for value, positive in ((records, False), (positives, True))
        for split, keys in value.files.items()
        for key in keys
    )


def _make_fingerprints(store: Store, dataset: NegativeDataset, files: Sequence[_File], progress: Progress) -> None:
    """Write the fingerprints of every file to the store.

    Their keys contain the input digest, so fingerprints of an earlier run are reused.
    """
    made = frozenset(store.keys(names.FINGERPRINTS_FOLDER))
    missing = [file for file in files if file.fingerprints not in made]
    progress.start("Looking for copies", len(files), "files")
    progress.advance(len(files) - len(missing))
    for _ in work.map_unordered(_fingerprint_file, [_Task(store.url, file) for file in missing], workers=dataset.spec.ray.workers):
        progress.advance()
    progress.finish()


def _fingerprint_file(task: _Task, _: work.Report) -> None:
    """Run in a worker. The round that reads an unreadable record reports it; here it is logged."""
    store, file = Store(task.store_url), task.file
    with store.reading(file.records) as stream:
        images = [
            (image_id(features), fingerprint(features[od_keys.ENCODED][0], mirrored=file.held_out))
            for _, features, _ in read_images(stream, file.records, log.debug)
        ]
    store.write(file.fingerprints, encode_fingerprints(images))


def _side(store: Store, files: Sequence[_File]) -> _Side:
    parts = parallel(lambda file: decode_hashes(store.read(file.fingerprints)), files)
    ends = itertools.accumulate(len(part.sha256) for part in parts)
    return _Side(tuple(files), (0, *ends)[:-1], Hashed.joined(parts))


def _pairs(store: Store, held_out: _Side, others: _Side) -> Iterator[Pair]:
    """Yield every pair that is confirmed by its pixels, in the order of the held-out images."""
    log.info("comparing %d held-out images with %d others", len(held_out.hashed.sha256), len(others.hashed.sha256))
    for batch in _batches(candidates(held_out.hashed, others.hashed)):
        found = [candidate for _, each in batch for candidate in each]
        seen = _seen(store, held_out, [candidate.held_out for candidate in found])
        known = _seen(store, others, [candidate.other for candidate in found])
        for _, each in batch:
            for candidate in confirmed(each, seen, known):
                yield Pair(
                    held_out=_image(held_out, candidate.held_out, seen),
                    other=_image(others, candidate.other, known),
                    exact=candidate.exact,
                    distance=candidate.distance,
                )


def _batches(found: Iterator[tuple[int, list[Candidate]]]) -> Iterator[list[tuple[int, list[Candidate]]]]:
    while batch := list(itertools.islice(found, _LOOKED_AT)):
        yield batch


def _seen(store: Store, side: _Side, rows: Sequence[int]) -> dict[int, Seen]:
    """Return the images in these rows. Each file is read once."""
    by_file = {number: list(members) for number, members in itertools.groupby(sorted(set(rows)), side.file_of)}

    def read(item: tuple[int, list[int]]) -> list[Seen]:
        number, members = item
        return decode_seen(store.read(side.files[number].fingerprints), [row - side.starts[number] for row in members])

    images = parallel(read, by_file.items())
    return {row: image for members, part in zip(by_file.values(), images, strict=True) for row, image in zip(members, part, strict=True)}


def _image(side: _Side, row: int, seen: dict[int, Seen]) -> Image:
    file = side.files[side.file_of(row)]
    return Image(image_id=seen[row].image_id, positive=file.positive, records=file.records)


def _warn(value: Copies) -> None:
    if value.negatives or value.positives:
        log.warning(
            "%d held-out negatives and %d held-out positives are copies of training images: %d exact and %d near; they are excluded from every number; %s lists them",
            value.counts.negatives,
            value.counts.positives,
            value.counts.exact_negatives + value.counts.exact_positives,
            value.counts.near_negatives + value.counts.near_positives,
            names.COPIES_TABLE,
        )
