"""Copies: reads some of the pairs, and makes their sections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from negset_api import names
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
    """An image and its copy, with the encoded files of both."""

    pair: Pair
    image: bytes
    other: bytes


def shown_pairs(pairs: Sequence[Pair]) -> list[Pair]:
    """Return one pair for each of the first few held-out images, near copies first.

    A person has to judge near copies. Then follow the negatives that resemble a positive most.
    """
    held_out = _first_of_each(sorted(pairs, key=lambda pair: pair.exact), _held_out)
    negatives = _first_of_each(sorted(pairs, key=lambda pair: (not pair.exact, pair.distance)), _negative)
    return list(dict.fromkeys([*held_out, *negatives]))


def _first_of_each(pairs: Iterable[Pair], wanted: Callable[[Pair], Image | None]) -> list[Pair]:
    """Return the first pair of each of the first few images that are wanted."""
    first: dict[tuple[str, bool], Pair] = {}
    for pair in pairs:
        image = wanted(pair)
        if image is not None:
            first.setdefault((image.image_id, image.positive), pair)
    return list(first.values())[:SHOWN]


def _held_out(pair: Pair) -> Image | None:
    return pair.image if pair.held_out else None


def _negative(pair: Pair) -> Image | None:
    return pair.negative


def read_shown(store: Store, copies: Copies) -> tuple[CopiedPair, ...]:
    """Return the pairs to show, without those whose records are no longer readable."""
    if not copies.counts.total + copies.counts.measured_near + copies.like_positives:
        return ()
    pairs = shown_pairs(decode_pairs(store.read(copies.table)))
    wanted = [image for pair in pairs for image in (pair.image, pair.other)]
    encoded = parallel(lambda image: _encoded(store, image), wanted)
    both = zip(pairs, encoded[::2], encoded[1::2], strict=True)
    return tuple(CopiedPair(pair, image, other) for pair, image, other in both if image and other)


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
    wanted = _first_of_each([each.pair for each in shown], _held_out)
    cards = tuple(card for each in shown if each.pair in wanted and (card := _card(each)) is not None)
    if cards:
        blocks.append(Gallery(cards))
    return Section("copies", "Held-out copies", tuple(blocks))


def like_positives(copies: Copies, shown: Sequence[CopiedPair]) -> Section | None:
    """Return the negatives that a person should look at; None if there are none."""
    number = copies.like_positives
    if not number:
        return None
    subject = f"{wording.count(number, 'negative')} {'looks' if number == 1 else 'look'}"
    blocks: list[Block] = [
        Note(
            f"{subject} like a positive, apart from size, quality, brightness or a turn. If such a negative shows an object of the positive, the "
            "model learns the object as background, or its detection counts as a false positive."
        ),
        Paragraph(
            "Frames of a camera that does not move look alike with and without a small object, and are good negatives. So none is left out. Look at them, and "
            f"take those that show a class out of the source. {copies.table} lists all pairs (negative_id and other_id, or held_out_id), and the columns "
            f"near_copy_of and near_copy_kind of {names.MANIFEST} name the positive."
        ),
    ]
    wanted = _first_of_each([each.pair for each in shown], _negative)
    cards = tuple(card for each in shown if each.pair in wanted and (card := _card_of_negative(each)) is not None)
    if cards:
        blocks.append(Gallery(cards))
    return Section("like-positives", "Negatives that look like positives", tuple(blocks))


def _card(each: CopiedPair) -> Card | None:
    left, right = _name(each.pair.image), _name(each.pair.other)
    return _drawn(
        each.image,
        each.other,
        f"Held-out {left} next to its copy, {right}",
        f"{left} | {right}",
        f"Left: held out. Right: its copy. {_how(each.pair)}.",
    )


def _card_of_negative(each: CopiedPair) -> Card | None:
    pair = each.pair
    swapped = pair.image.positive
    left, right = (each.other, each.image) if swapped else (each.image, each.other)
    one, other = map(_name, (pair.other, pair.image) if swapped else (pair.image, pair.other))
    return _drawn(left, right, f"Left: {one}. Right: {other}, which it looks like", f"{one} | {other}", f"{_how(each.pair)}.")


def _name(image: Image) -> str:
    return f"{image.kind} {image.image_id}"


def _how(pair: Pair) -> str:
    return "Identical bytes" if pair.exact else f"{pair.distance} of 256 bits of their hashes differ"


def _drawn(left: bytes, right: bytes, described: str, title: str, line: str) -> Card | None:
    drawn = beside(left, right)
    if drawn is None:
        return None
    source, width, height = drawn
    return Card(source, described, width, height, title, (line,))
