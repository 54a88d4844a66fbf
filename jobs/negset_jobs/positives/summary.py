"""The result of the positives' stage, from what was stored and what was left out. Pure."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.values import ImageResult, Outcome, Positives, ShardResult, digest
from negset_jobs.download.stage import count_outcomes
from negset_jobs.positives.annotated import Annotated, FailedImage, RejectedBox


class Stored(NamedTuple):
    """The stored positives, from any kind of source.

    It has the shards, the number of boxes of each stored image by split, and the rejected boxes.
    `annotations` is the number of boxes of the wanted classes in the source, `left_out` what else
    is not used.
    """

    classes: tuple[str, ...]
    results: list[ShardResult]
    boxes: dict[str, list[int]]
    rejected: tuple[RejectedBox, ...]
    annotations: int
    left_out: dict[str, int]


def without_records(annotated: Annotated) -> list[ShardResult]:
    """Return the outcomes of the images that were not downloaded, as a shard without a file."""
    unusable = [image.image_id for image in annotated.images if not image.objects]
    results = (
        *(ImageResult(image_id=key, outcome=Outcome.INVALID_BOX, detail="none of its boxes is usable") for key in unusable),
        *(ImageResult(image_id=each.image_id, outcome=each.outcome, detail=each.detail) for each in annotated.failed),
    )
    return [ShardResult(name="", split=names.TRAIN, input_digest="", file="", sha256="", bytes=0, results=results)] if results else []


def failed_images(results: Iterable[ShardResult]) -> Iterator[FailedImage]:
    """Yield the images that are not stored."""
    for result in results:
        for ended in result.results:
            if ended.outcome is not Outcome.STORED:
                yield FailedImage(image_id=ended.image_id, outcome=ended.outcome, detail=ended.detail)


def summary(stored: Stored) -> Positives:
    """Return the stage's value.

    Raises `WorkFailed` if nothing is left to train on or to measure with.
    """
    outcomes = count_outcomes(stored.results)
    files: dict[str, tuple[str, ...]] = {}
    images: dict[str, int] = {}
    for split in (names.TRAIN, names.HELD_OUT):
        shards_of = [result for result in stored.results if result.split == split]
        files[split] = tuple(result.file for result in shards_of if result.file)
        images[split] = count_outcomes(shards_of)[Outcome.STORED]
        if not images[split]:
            purpose = "train on" if split == names.TRAIN else "measure recall with"
            raise WorkFailed(f"spec.positives: none of the images to {purpose} could be stored: {_listed(outcomes)}")
    return Positives(
        input_digest=digest(stored.classes, [result.input_digest for result in stored.results]),
        classes=stored.classes,
        label_map=names.LABEL_MAP,
        files=files,
        images=images,
        boxes={split: sum(stored.boxes[split]) for split in images},
        most_boxes=max(max(stored.boxes[split], default=0) for split in images),
        outcomes={outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        rejected_boxes=dict(sorted(collections.Counter(box.reason.value for box in stored.rejected).items())),
        left_out={kind: count for kind, count in sorted(stored.left_out.items()) if count},
        turned=sum(ended.turned for result in stored.results for ended in result.results),
        failures=names.FAILED_POSITIVES,
    )


def _listed(outcomes: Mapping[Outcome, int]) -> str:
    return ", ".join(f"{outcome} {count} times" for outcome, count in outcomes.items())
