"""Scores shards of negatives with a round's model, inside a worker."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import field

from negset_api.values import Round, ScoredImage, Value
from negset_jobs.adapters.store import Store
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored_images import image_id, read_images

BATCH: Final = 64
"""Images per call of the model.

On two cores with a 96-pixel SSD: 547 images/s at 64, 345 images/s at 16, 71 images/s at 1.
"""

NAMED: Final = 10
"""The number of unreadable records that a mining names."""

FLOOR: Final = 0.01
"""Lower scores are not useful for ranking, unless the threshold is as low."""


class Scoring(Protocol):
    """The model: images as (id, encoded file) in, their detections out."""

    def score(self, batch: Sequence[tuple[str, bytes]]) -> list[ScoredImage]: ...


class ShardScores(Value, frozen=True, kw_only=True):
    """The scored images of the shard under `key`, in its order, without unreadable ones.

    `input_digest` is the digest of the mining that the scores are stored for. `unreadable` counts
    the records that cannot be read, and `unreadable_examples` names the first `NAMED`.
    """

    key: str
    images: tuple[ScoredImage, ...]
    input_digest: str = field(default="", name="inputs")
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()


class ShardScorer:
    """Scores one shard per call.

    It is made once per process: loading TensorFlow and the model takes tens of seconds.

    For each image it returns the detections at or above the threshold, and always the best one. A
    model reports a fixed number of detections, most with scores near 0. For a million images, the
    driver has no memory for all of them.
    """

    def __init__(self, store: Store, trained: Round, classes: tuple[str, ...]) -> None:
        self._store = store
        self._threshold = trained.measurement.threshold
        self._model = load_model(store, trained, classes)

    def __call__(self, key: str) -> ShardScores:
        unreadable: list[str] = []
        with self._store.reading(key) as stream:
            records = read_images(stream, key, unreadable.append)
            encoded_images = ((image_id(features), features[od_keys.ENCODED][0]) for _, features, _ in records)
            scored = [image for batch in _batches(encoded_images, BATCH) for image in self._model.score(batch)]
        unreadable += [f"{key}: the image {image.image_id} cannot be decoded" for image in scored if image.unreadable]
        return ShardScores(
            key=key,
            images=tuple(trim(image, self._threshold) for image in scored if not image.unreadable),
            unreadable=len(unreadable),
            unreadable_examples=tuple(unreadable[:NAMED]),
        )


def load_model(store: Store, trained: Round, classes: tuple[str, ...]) -> Scoring:
    """Return the round's model, ready to score.

    `classes` are in label-map order. Raises `InvalidInput` if the checkpoint is missing or damaged.
    """
    from negset_jobs.training import checkpoints

    with tempfile.TemporaryDirectory(prefix="negset-") as folder:
        prefix = checkpoints.of_round(store, trained, folder)
        from negset_jobs.training.scoring import Scorer

        # A detection below the threshold matters only if it is the best of its image.
        return Scorer(store.read(trained.config), prefix, classes=classes, floor=min(FLOOR, trained.measurement.threshold))


def trim(image: ScoredImage, threshold: float) -> ScoredImage:
    """Return the image with its best detection and the others at or above the threshold."""
    kept = (*image.detections[:1], *(found for found in image.detections[1:] if found.score >= threshold))
    return msgspec.structs.replace(image, detections=kept)


def _batches(encoded_images: Iterator[tuple[str, bytes]], size: int) -> Iterator[list[tuple[str, bytes]]]:
    while batch := list(itertools.islice(encoded_images, size)):
        yield batch
