"""Held-out images excluded as copies: reads some of them, and makes their section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from negset_api.values import Copies
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.threads import parallel
from negset_jobs.copies.find import Image, Pair
from negset_jobs.copies.tables import decode_pairs
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored_images import image_id, read_images
from negset_jobs.reporting import wording
from negset_jobs.reporting.blocks import Block, Card, Gallery, Note, Paragraph, Section, Table
from negset_jobs.reporting.sentences import copies_sentence
from negset_jobs.reporting.thumbnails import beside

SHOWN: Final = 6


class CopiedPair(msgspec.Struct, frozen=True):
    """A held-out image and its copy, with the encoded files of both."""

    pair: Pair
    held_out: bytes
    other: bytes


def shown_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Return one pair for each of the first few held-out images, near copies first.

    A person has to judge near copies.
    """
    first: dict[tuple[str, bool], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: pair.exact):
        first.setdefault((pair.held_out.image_id, pair.held_out.positive), pair)
    return list(first.values())[:SHOWN]


def read_shown(store: Store, copies: Copies) -> tuple[CopiedPair, ...]:
    """Return the pairs to show, without those whose records are no longer readable."""
    if not copies.counts.total + copies.counts.measured_near:
        return ()
    pairs = shown_pairs(decode_pairs(store.read(copies.table)))
    wanted = [image for pair in pairs for image in (pair.held_out, pair.other)]
    encoded = parallel(lambda image: _encoded(store, image), wanted)
    both = zip(pairs, encoded[::2], encoded[1::2], strict=True)
    return tuple(CopiedPair(pair, held_out, other) for pair, held_out, other in both if held_out and other)


def _encoded(store: Store, image: Image) -> bytes:
    with store.reading(image.records) as stream:
        found = (
            features[od_keys.ENCODED][0] for _, features, _ in read_images(stream, image.records) if image_id(features) == image.image_id
        )
        return next(found, b"")


def section(copies: Copies, shown: Sequence[CopiedPair]) -> Section | None:
    """Return how many held-out images were excluded, and why; None if nothing was compared."""
    if not copies.held_out:
        return None
    compared = f"{wording.count(copies.held_out, 'held-out image')} {'was' if copies.held_out == 1 else 'were'} compared with {wording.count(copies.others, 'image')} of the training set and the pool."
    plain = (
        f" {wording.count(copies.plain, 'image')} {'has' if copies.plain == 1 else 'have'} too little detail for a visual comparison, so only bytes were compared."
        if copies.plain
        else ""
    )
    blocks: list[Block] = [Paragraph(f"{compared}{plain}")]
    counts = copies.counts
    if not counts.total + counts.measured_near:
        return Section("copies", "Held-out copies", (*blocks, Paragraph("None is a copy, so none was excluded.")))
    rows = (
        ("Held-out negatives", f"{counts.exact_negatives:,}", f"{counts.near_negatives:,}"),
        ("Held-out positives", f"{counts.exact_positives:,}", f"{counts.near_positives:,}"),
    )
    blocks += [
        Note(f"{copies_sentence(counts)} {copies.table} lists them."),
        Table("Excluded copies", ("Images", "Exact", "Near"), rows, frozenset({1, 2})),
    ]
    cards = tuple(card for each in shown if (card := _card(each)) is not None)
    if cards:
        blocks.append(Gallery(cards))
    return Section("copies", "Held-out copies", tuple(blocks))


def _card(each: CopiedPair) -> Card | None:
    drawn = beside(each.held_out, each.other)
    if drawn is None:
        return None
    source, width, height = drawn
    left, right = (f"{'positive' if image.positive else 'negative'} {image.image_id}" for image in (each.pair.held_out, each.pair.other))
    how = "Identical bytes" if each.pair.exact else f"{each.pair.distance} of 256 bits of their hashes differ"
    return Card(
        source,
        f"Held-out {left} next to its copy, {right}",
        width,
        height,
        f"{left} | {right}",
        (f"Left: held out. Right: its copy. {how}.",),
    )
