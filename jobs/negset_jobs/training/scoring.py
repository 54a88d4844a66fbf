"""Detections of a trained model, in batches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from negset_jobs.formats import od_keys

from negset_jobs.training import compat  # noqa: F401  isort: skip
import numpy as np
import tensorflow as tf
from object_detection.core import standard_fields

from negset_api.values import Detection, ScoredImage
from negset_jobs.formats.stored_images import Features
from negset_jobs.training import failures, families, heldout, models
from negset_jobs.training.config import parse


class Scorer:
    """A model restored from a checkpoint. Its graph is built at the first batch.

    It is expensive to make: make one per process, and score many images with it.

    `classes` are in label-map order. Detections with a score below `floor` are dropped.
    """

    @failures.translated()
    def __init__(self, pipeline_config: bytes, checkpoint_prefix: str, *, classes: Sequence[str], floor: float = 0.01) -> None:
        self.config = parse(pipeline_config, "pipeline.config")
        self._classes = tuple(classes)
        self._floor = floor
        self.model = models.build(self.config, training=False)
        tf.train.Checkpoint(model=self.model).restore(checkpoint_prefix).expect_partial().assert_existing_objects_matched()
        self._batch = families.scoring_batch(self.config)
        self._most = families.most_detections(self.config)
        # The number of images is left open. If it was known, the API would write its
        # post-processing into the graph once per image.
        self._detect = tf.function(self._graph, autograph=False, input_signature=[tf.TensorSpec([None], tf.string)])

    @failures.translated()
    def score(self, batch: Sequence[tuple[str, bytes]]) -> list[ScoredImage]:
        """Return the detections on each image, best first, in the given order.

        An image is an id and its encoded bytes (JPEG, PNG, BMP or GIF) of any size. An image that
        cannot be decoded is returned as `unreadable`, without detections.
        """
        parts = (batch[start : start + self._batch] for start in range(0, len(batch), self._batch))
        return [image for part in parts for image in self._score(part)]

    def _score(self, part: Sequence[tuple[str, bytes]]) -> list[ScoredImage]:
        try:
            return self._detected(part)
        except tf.errors.InvalidArgumentError:
            # One image fails the whole batch, and the error does not say which one.
            readable = [not why_undecodable(encoded) for _, encoded in part]
            if all(readable):
                raise
        scored = iter(self._detected(list(itertools.compress(part, readable))))
        return [
            next(scored) if fine else ScoredImage(image_id=image_id, detections=(), unreadable=True)
            for (image_id, _), fine in zip(part, readable, strict=True)
        ]

    def _detected(self, part: Sequence[tuple[str, bytes]]) -> list[ScoredImage]:
        if not part:
            return []
        boxes, scores, classes = (value.numpy() for value in self._detect(tf.constant([encoded for _, encoded in part])))
        return [self._image(image_id, boxes[i], scores[i], classes[i]) for i, (image_id, _) in enumerate(part)]

    def _graph(self, encoded: Any) -> Any:
        def prepare(encoded: Any) -> Any:
            prepared, shape = self.model.preprocess(tf.cast(_decoded(encoded), tf.float32)[tf.newaxis])
            return prepared[0], shape[0]

        images, shapes = tf.map_fn(prepare, encoded, fn_output_signature=(tf.float32, tf.int32), parallel_iterations=self._batch)
        found = detect(self.model, images, shapes)
        fields = standard_fields.DetectionResultFields
        return found[fields.detection_boxes], found[fields.detection_scores], found[fields.detection_classes]

    def _image(self, image_id: str, boxes: Any, scores: Any, classes: Any) -> ScoredImage:
        best = [index for index in np.argsort(-scores, kind="stable")[: self._most] if scores[index] >= self._floor]
        return ScoredImage(
            image_id=image_id,
            detections=tuple(
                Detection(
                    ymin=float(boxes[i][0]),
                    xmin=float(boxes[i][1]),
                    ymax=float(boxes[i][2]),
                    xmax=float(boxes[i][3]),
                    score=float(scores[i]),
                    class_name=self._classes[int(classes[i])],
                )
                for i in best
            ),
        )


def detect(model: Any, images: Any, shapes: Any) -> dict[str, Any]:
    """Return the API's detections on preprocessed images.

    Classes count from 0. Boxes are normalised.
    """
    return dict(model.postprocess(model.predict(images, shapes), shapes))


def why_undecodable(encoded: bytes) -> str:
    """Return why an image cannot be scored; empty if it can."""
    try:
        _decoded(tf.constant(encoded))
    except (tf.errors.OpError, ValueError) as error:
        return failures.reason_of(error)
    return ""


def measured_check(_: bytes, features: Features) -> str:
    """Return why a held-out record cannot be measured; empty if it can."""
    return heldout.why_not(features) or why_undecodable(features[od_keys.ENCODED][0])


def _decoded(encoded: Any) -> Any:
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image.set_shape((None, None, 3))
    return image
