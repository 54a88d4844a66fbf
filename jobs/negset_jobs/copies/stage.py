"""Find held-out copies of training images, and negatives that look like positives."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset
from negset_api.values import Copies, Positives, Records, digest
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.adapters.threads import parallel
from negset_jobs.copies import compare
from negset_jobs.copies.find import Pair, copied, counts, like_positives, near_copies
from negset_jobs.copies.fingerprint import VERSION
from negset_jobs.copies.tables import decode_ids, decode_pairs, encode_pairs
from negset_jobs.download.manifest import with_near_copies
from negset_jobs.formats.stored import commit

log = logging.getLogger(__name__)


def copies_stage(store: Store, dataset: NegativeDataset, records: Records, positives: Positives, progress: Progress) -> Copies:
    """Find the held-out images that a model may know from its training.

    Also find the negatives that look like a positive, held out or not: their annotations may lack
    an object. They are kept, because the frames of a fixed camera look alike without one too.

    Writes `copies.parquet`, the columns of the manifest and, last, the marker. After an
    interruption, the next run continues with the files that have no fingerprints yet. Raises
    `InvalidInput` if all held-out negatives, or all held-out positives, are exact copies: there
    would be nothing to measure.
    """
    input_digest = copies_input_digest(records, positives)
    files = _files(records, positives)
    compare.make_fingerprints(store, files, workers=dataset.spec.ray.workers, progress=progress)
    held_out, others = (compare.side(store, [file for file in files if file.held_out == wanted]) for wanted in (True, False))
    pairs = list(compare.pairs(store, held_out, others))
    pairs += _with_positives(store, files, pairs)
    store.write(names.COPIES_TABLE, encode_pairs(pairs))
    _name_near_copies(store)
    excluded, measured_near = _excluded(store, held_out, pairs)
    found = Copies(
        input_digest=input_digest,
        negatives=copied(excluded, positive=False),
        positives=copied(excluded, positive=True),
        counts=msgspec.structs.replace(counts(excluded), measured_near=measured_near),
        held_out=len(held_out.hashed.sha256),
        others=len(others.hashed.sha256),
        plain=held_out.hashed.plain + others.hashed.plain,
        table=names.COPIES_TABLE,
        like_positives=like_positives(pairs),
    )
    value = commit(store, names.COPIES, found)
    store.remove(store.keys(names.FINGERPRINTS_FOLDER))
    _warn(value)
    return value


def copies_input_digest(records: Records, positives: Positives) -> str:
    """Return the digest of all inputs of the search for copies."""
    return digest(VERSION, records.files, positives.files)


def complete_reused(store: Store) -> None:
    """Do the rest of the stage after its table was copied from another revision."""
    _name_near_copies(store)
    store.remove(store.keys(names.FINGERPRINTS_FOLDER))  # the positives' are there


def _name_near_copies(store: Store) -> None:
    """Write the near copies of `copies.parquet` to the manifest, if nobody has removed it."""
    looks = near_copies(decode_pairs(store.read(names.COPIES_TABLE)))
    near = {negative: (other.image_id, other.kind) for negative, other in looks.items()}
    with contextlib.suppress(MissingObject):
        store.write(names.MANIFEST, with_near_copies(store.read(names.MANIFEST), near))


def _with_positives(store: Store, files: Sequence[compare.File], known: Sequence[Pair]) -> list[Pair]:
    """Return the pairs of a negative and a positive that are not known yet."""
    listed = {(pair.negative.image_id, pair.positive.image_id) for pair in known if pair.negative is not None}
    negatives, positives = (compare.side(store, [file for file in files if file.positive == wanted]) for wanted in (False, True))
    found = compare.pairs_with_positives(store, negatives, positives)
    return [pair for pair in found if (pair.image.image_id, pair.other.image_id) not in listed]


def _excluded(store: Store, held_out: compare.Side, pairs: Sequence[Pair]) -> tuple[list[Pair], int]:
    """Return the pairs whose held-out image is excluded, and how many others have a near copy.

    If all held-out negatives are copies, as frames of a camera that does not move are, only those
    with an exact copy are excluded; and so for positives. Raises `InvalidInput` if all have one.
    """
    excluded: list[Pair] = []
    measured = 0
    for positive, kind in ((False, "negatives"), (True, "positives")):
        of_kind = [pair for pair in pairs if pair.held_out and pair.image.positive == positive]
        tables = [file.fingerprints for file in held_out.files if file.positive == positive]
        ids = [image_id for table in parallel(lambda key: decode_ids(store.read(key)), tables) for image_id in table]
        copies = copied(of_kind, positive=positive)
        if ids and frozenset(copies).issuperset(ids):
            of_kind = [pair for pair in of_kind if pair.exact]
            exact = copied(of_kind, positive=positive)
            if frozenset(exact).issuperset(ids):
                raise InvalidInput(
                    f"spec.training: expected held-out {kind} to measure with, but all {len(ids):,} are copies of training images; remove the copies that "
                    f"{store.location(names.COPIES_TABLE)} lists from the sources, or raise spec.{'positives' if positive else 'training'}.heldOutPercent"
                )
            measured += len(copies) - len(exact)
        excluded += of_kind
    return excluded, measured


def _files(records: Records, positives: Positives) -> tuple[compare.File, ...]:
    return tuple(
        compare.File(key, positive, split == names.HELD_OUT)
        for value, positive in ((records, False), (positives, True))
        for split, keys in value.files.items()
        for key in keys
    )


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
    if value.counts.measured_near:
        log.warning(
            "%d held-out images look like training images, and are measured all the same, because no others would be left; %s lists them",
            value.counts.measured_near,
            names.COPIES_TABLE,
        )
    if value.like_positives:
        log.warning(
            "%d negatives look like positives, so they may show a class that is trained; they are kept. Look at them: %s and the column near_copy_of of %s list them",
            value.like_positives,
            names.COPIES_TABLE,
            names.MANIFEST,
        )
