"""Makes the cards of images from the facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from negset_api import names
from negset_api.values import Box, Detection, ScoredImage
from negset_jobs.reporting import wording
from negset_jobs.reporting.blocks import Card, Cell, Mark, link
from negset_jobs.reporting.facts import Example, Facts
from negset_jobs.reporting.thumbnails import thumbnail

_MOST_MARKS = 6  # more boxes hide the image


def chosen_cards(facts: Facts) -> tuple[Card, ...]:
    """Return the cards of the negatives in the gallery."""
    return tuple(card for name in facts.shown if (card := _card(facts, name, f"Negative {name}")) is not None)


def scored_cards(facts: Facts, images: Iterable[ScoredImage], threshold: float) -> tuple[Card, ...]:
    """Return cards of negatives with the detections at or above the threshold, or the best one."""
    return tuple(card for image in images if (card := _scored_card(facts, image, threshold)) is not None)


def object_cards(examples: Sequence[Example]) -> tuple[Card, ...]:
    """Return cards of positives with their true boxes."""
    cards = []
    for example in examples:
        source = thumbnail(example.image.encoded)
        if source is not None:
            marks = tuple(_mark(box, box.class_name) for box in example.boxes[:_MOST_MARKS])
            described = wording.count(len(example.boxes), "annotated object")
            alt = f"Positive {example.image_id} with {described}"
            cards.append(Card(source, alt, example.image.width, example.image.height, example.image_id, (described,), marks))
    return tuple(cards)


def attribution(facts: Facts, name: str) -> tuple[Cell, ...]:
    """Return the image's licence and source page, if the annotations name them."""
    image = facts.planned.get(name)
    if image is None:
        return ()
    license_ = next((each for each in facts.plan.licenses if each.id == image.license), None)
    lines = [link(license_.name, license_.url)] if license_ is not None else []
    return (*lines, link("Source", image.page)) if image.page.startswith(("http://", "https://")) else tuple(lines)


def _scored_card(facts: Facts, image: ScoredImage, threshold: float) -> Card | None:
    firing = [found for found in image.detections if found.score >= threshold] or list(image.detections[:1])
    marks = tuple(_mark(found, f"{found.score:.2f}") for found in firing[:_MOST_MARKS])
    classes = wording.listing(sorted({found.class_name for found in firing}))
    alt = f"Negative {image.image_id}, {wording.count(len(firing), 'detection')} of {classes}, the best with score {image.score:.2f}"
    return _card(facts, image.image_id, alt, marks, (f"{classes}, score {image.score:.2f}",))


def _card(facts: Facts, name: str, alt: str, marks: tuple[Mark, ...] = (), lines: tuple[Cell, ...] = ()) -> Card | None:
    encoded_image = facts.encoded_images.get(name)
    source = None if encoded_image is None else thumbnail(encoded_image.encoded)
    if encoded_image is None or source is None:
        return None
    image = facts.planned.get(name)
    stratum = (image.stratum,) if image is not None and image.stratum and not lines else ()
    # An image without annotations has a number that its owner does not know.
    file_name = (image.file_name,) if image is not None and image.proof == names.USER_WORD else ()
    return Card(
        source, alt, encoded_image.width, encoded_image.height, name, (*lines, *stratum, *file_name, *attribution(facts, name)), marks
    )


def _mark(box: Box | Detection, label: str) -> Mark:
    left, top, right, bottom = (min(1.0, max(0.0, corner)) for corner in (box.xmin, box.ymin, box.xmax, box.ymax))
    return Mark(100 * left, 100 * top, 100 * max(0.0, right - left), 100 * max(0.0, bottom - top), label)
