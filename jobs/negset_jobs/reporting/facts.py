"""The input of the report as one value.

It holds the values of the stages, and the few images that the page shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import (
    Box,
    Copies,
    ImageResult,
    Labels,
    Mining,
    Outcome,
    Plan,
    PlannedImage,
    Positives,
    Records,
    Round,
    ScoredImage,
    ShardResult,
)
from negset_jobs.reporting.coco_results import HeldOutImage
from negset_jobs.reporting.copied import CopiedPair
from negset_jobs.reporting.evidence import Evidence

EXAMPLES: Final = 24
"""The number of chosen negatives that are shown."""

WORST: Final = 12
"""The number of false positives that are shown per model."""

HARD: Final = 12
REVIEW: Final = 48
FAILURES_EACH: Final = 3
"""The number of failed images that are named per outcome."""


class Failure(msgspec.Struct, frozen=True):
    """An image that was not stored."""

    image: PlannedImage
    result: ImageResult


class Image(msgspec.Struct, frozen=True):
    """An image to show: the encoded file as it was stored, and its size in pixels."""

    encoded: bytes
    width: int
    height: int


class Example(msgspec.Struct, frozen=True):
    """A positive with its true boxes, to show what the detector must find."""

    image_id: str
    image: Image
    boxes: tuple[Box, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The report's only input.

    `trained` holds the rounds of the arm `Mined` in order, `others` those of the other arms.
    `mined` holds the minings in the order of the rounds. `failures` holds a few per outcome,
    `shown` the ids of the negatives in the gallery.

    `evidence` is of every round in `trained`, in order, and of the last round of each other arm;
    all were measured on the same images. `held_out` are the held-out negatives by id as text.
    `annotated` are the boxes on them, which may be unknown. `copies` says which held-out images
    were excluded as copies of training images, and how many negatives look like positives; `copied`
    holds a few of both to show.

    `planned` and `encoded_images` hold, by id as text, what is known of every negative that appears
    anywhere. An image that could not be read is absent from `encoded_images`. `versions` maps a
    component to its version.
    """

    dataset: NegativeDataset
    revision: str
    location: str
    plan: Plan
    records: Records
    positives: Positives | None = None
    labels: Labels | None = None
    trained: tuple[Round, ...] = ()
    others: tuple[Round, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    held_out: dict[str, HeldOutImage] = {}
    annotated: dict[str, tuple[Box, ...]] = {}
    copies: Copies = Copies(input_digest="")
    copied: tuple[CopiedPair, ...] = ()
    mined: tuple[Mining, ...] = ()
    failures: tuple[Failure, ...] = ()
    shown: tuple[str, ...] = ()
    planned: dict[str, PlannedImage] = {}
    encoded_images: dict[str, Image] = {}
    objects: tuple[Example, ...] = ()
    versions: dict[str, str] = {}


def worst_rounds(trained: Sequence[Round], others: Sequence[Round]) -> tuple[Round, ...]:
    """Return the rounds whose worst false positives are shown, before and after.

    Training without negatives comes before; without that arm, round 1.
    """
    if not trained:
        return ()
    without = next((each for each in others if each.arm == names.NO_NEGATIVES), trained[0])
    return (without, trained[-1]) if without is not trained[-1] else (trained[-1],)


def scored_to_show(rounds: Sequence[Round], mined: Sequence[Mining]) -> Iterator[ScoredImage]:
    """Yield every scored image that the report shows. `rounds` are those of `worst_rounds`."""
    for each in rounds:
        yield from each.worst[:WORST]
    if mined:
        yield from mined[-1].hardest[:HARD]
        yield from mined[-1].review[:REVIEW]


def spread(images: Iterable[PlannedImage], wanted: int) -> list[PlannedImage]:
    """Return up to `wanted` images, in turn from each stratum.

    The strata are in the order in which they first appear. So a gallery shows every stratum, and
    not only the most common one.
    """
    strata: dict[str, list[PlannedImage]] = {}
    for image in images:
        strata.setdefault(image.stratum, []).append(image)
    chosen: list[PlannedImage] = []
    depth = 0
    while len(chosen) < wanted and (layer := [images[depth] for images in strata.values() if depth < len(images)]):
        chosen += layer
        depth += 1
    return chosen[:wanted]


def first_failures(images: Iterable[tuple[PlannedImage, ImageResult]], each: int) -> tuple[Failure, ...]:
    """Return the first `each` failed images of every outcome, in plan order."""
    seen: dict[Outcome, int] = {}
    failures = []
    for image, result in images:
        if result.outcome is not Outcome.STORED and seen.get(result.outcome, 0) < each:
            seen[result.outcome] = seen.get(result.outcome, 0) + 1
            failures.append(Failure(image, result))
    return tuple(failures)


def pairs(plan: Plan, results: Iterable[ShardResult]) -> Iterator[tuple[PlannedImage, ImageResult]]:
    """Yield every planned image with its result, in plan order."""
    for shard, result in zip(plan.shards, results, strict=True):
        yield from zip(shard.images, result.results, strict=True)


def held_out_images(plan: Plan, results: Iterable[ShardResult]) -> dict[str, HeldOutImage]:
    """Return the stored held-out negatives by id as text, with the size of the stored image."""
    return {
        str(image.image_id): HeldOutImage(image.image_id, image.file_name, ended.width or image.width, ended.height or image.height)
        for shard, result in zip(plan.shards, results, strict=True)
        if shard.split == names.HELD_OUT
        for image, ended in zip(shard.images, result.results, strict=True)
        if ended.outcome is Outcome.STORED
    }
