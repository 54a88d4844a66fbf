"""Everything the report is made from, as one value: the stages' values, and the few pictures that are shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from negset_api.spec import NegativeDataset
from negset_api.values import (
    Box,
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

EXAMPLES: Final = 24
"""Chosen negatives that are shown."""

WORST: Final = 12
"""False positives that are shown per round."""

HARD: Final = 12
REVIEW: Final = 48
FAILURES_EACH: Final = 3
"""Failed pictures that are named per outcome."""


class Failure(msgspec.Struct, frozen=True):
    """A picture that could not be stored."""

    image: PlannedImage
    result: ImageResult


class Picture(msgspec.Struct, frozen=True):
    """A picture to show: the encoded file as it was stored, and its size in pixels."""

    encoded: bytes
    width: int
    height: int


class Example(msgspec.Struct, frozen=True):
    """A positive with its true boxes, so that a reader sees what the detector looks for."""

    image_id: str
    picture: Picture
    boxes: tuple[Box, ...]


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The report's only input. `mined` holds the minings in the order of the rounds, `failures` a few per outcome, `shown` the ids of the negatives in the gallery.

    `planned` and `pictures` hold, by id as text, what is known of every negative that appears anywhere; a picture that could not be read is absent from `pictures`.
    `versions` maps a component to its version.
    """

    dataset: NegativeDataset
    revision: str
    location: str
    plan: Plan
    records: Records
    positives: Positives | None = None
    labels: Labels | None = None
    trained: tuple[Round, ...] = ()
    mined: tuple[Mining, ...] = ()
    failures: tuple[Failure, ...] = ()
    shown: tuple[str, ...] = ()
    planned: dict[str, PlannedImage] = {}
    pictures: dict[str, Picture] = {}
    objects: tuple[Example, ...] = ()
    versions: dict[str, str] = {}


def worst_rounds(trained: Sequence[Round]) -> tuple[Round, ...]:
    """The rounds whose worst false positives are shown: the first and the last."""
    return (trained[0], trained[-1]) if len(trained) > 1 else tuple(trained)


def scored_to_show(trained: Sequence[Round], mined: Sequence[Mining]) -> Iterator[ScoredImage]:
    """Every scored picture that the report shows."""
    for each in worst_rounds(trained):
        yield from each.worst[:WORST]
    if mined:
        yield from mined[-1].hardest[:HARD]
        yield from mined[-1].review[:REVIEW]


def spread(images: Iterable[PlannedImage], wanted: int) -> list[PlannedImage]:
    """Up to `wanted` pictures, in turn from each scene in the order in which scenes first appear, so that a gallery shows what there is instead of the commonest."""
    scenes: dict[str, list[PlannedImage]] = {}
    for image in images:
        scenes.setdefault(image.scene, []).append(image)
    chosen: list[PlannedImage] = []
    depth = 0
    while len(chosen) < wanted and (layer := [images[depth] for images in scenes.values() if depth < len(images)]):
        chosen += layer
        depth += 1
    return chosen[:wanted]


def first_failures(images: Iterable[tuple[PlannedImage, ImageResult]], each: int) -> tuple[Failure, ...]:
    """The first `each` failed pictures of every outcome, in plan order."""
    seen: dict[Outcome, int] = {}
    failures = []
    for image, result in images:
        if result.outcome is not Outcome.STORED and seen.get(result.outcome, 0) < each:
            seen[result.outcome] = seen.get(result.outcome, 0) + 1
            failures.append(Failure(image, result))
    return tuple(failures)


def pairs(plan: Plan, results: Iterable[ShardResult]) -> Iterator[tuple[PlannedImage, ImageResult]]:
    """Every planned picture with how it ended, in plan order."""
    for shard, result in zip(plan.shards, results, strict=True):
        yield from zip(shard.images, result.results, strict=True)
