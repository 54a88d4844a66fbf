"""The differences between the kinds of models that negset trains.

Each kind has its own fields for the image resizer, the post-processing and the losses. Pure.
"""

from __future__ import annotations

from typing import Any, Final

SSD: Final = "ssd"
FASTER_RCNN: Final = "faster_rcnn"
CENTER_NET: Final = "center_net"
FAMILIES: Final = (SSD, FASTER_RCNN, CENTER_NET)

CLASSIFICATION_LOSSES: Final = ("classification_loss", "objectness_loss", "object_center")
"""The names of classification losses end with one of these.

Faster R-CNN has one loss for each stage.
"""

LOCALIZATION_LOSSES: Final = ("localization_loss", "box/scale", "box/offset")
"""The names of localization losses end with one of these."""

MOST_DETECTIONS: Final = 100
"""Detections per image that are measured, unless an image has more objects."""


def family(config: Any) -> str:
    """Return the name of the meta-architecture, as in model.proto; empty if there is none."""
    return config.model.WhichOneof("model") or ""


def model(config: Any) -> Any:
    """Return the message of the meta-architecture."""
    return getattr(config.model, family(config))


def image_resizer(config: Any) -> Any:
    return model(config).image_resizer


def suppressions(config: Any) -> tuple[tuple[str, Any], ...]:
    """Return every BatchNonMaxSuppression of the detections, with the name of its field.

    CenterNet needs none, and has one only if the configuration sets it.
    """
    kind, message = family(config), model(config)
    if kind == SSD:
        return (("post_processing", message.post_processing.batch_non_max_suppression),)
    if kind == FASTER_RCNN:
        return (("second_stage_post_processing", message.second_stage_post_processing.batch_non_max_suppression),)
    return (("post_processing", message.post_processing.batch_non_max_suppression),) if message.HasField("post_processing") else ()


def classification(config: Any) -> Any:
    """Return the ClassificationLoss message of the classes."""
    kind, message = family(config), model(config)
    if kind == SSD:
        return message.loss.classification_loss
    if kind == FASTER_RCNN:
        return message.second_stage_classification_loss
    return message.object_center_params.classification_loss


def batches_as_one(config: Any) -> bool:
    """Return True if all images get one shape, so that a batch can hold images of any size."""
    resizer = image_resizer(config)
    return bool(
        resizer.HasField("fixed_shape_resizer")
        or (resizer.HasField("keep_aspect_ratio_resizer") and resizer.keep_aspect_ratio_resizer.pad_to_max_dimension)
    )


def scoring_batch(config: Any) -> int:
    """Return how many images are scored at once: `_SCORED_PIXELS` in all after resizing.

    A ResNet-50 with a feature pyramid needs about 100 MB for an image of 640 pixels a side. 32 such
    images do not fit into a worker of 4 GiB.
    """
    pixels = image_pixels(config)
    return max(1, min(_MOST_SCORED, _SCORED_PIXELS // pixels)) if pixels else 1


def image_pixels(config: Any) -> int:
    """Return the pixels of each image after resizing; 0 if images may differ in shape."""
    if not batches_as_one(config):
        return 0
    resizer = image_resizer(config)
    if resizer.HasField("fixed_shape_resizer"):
        return int(resizer.fixed_shape_resizer.height * resizer.fixed_shape_resizer.width)
    return int(resizer.keep_aspect_ratio_resizer.max_dimension**2)


# Images. More are not faster with the smallest model (96 pixels: 345 images/s at 16, 547 at 64).
_MOST_SCORED: Final = 64
_SCORED_PIXELS: Final = 32 * 320 * 320


def make_room(config: Any, boxes: int) -> None:
    """Raise in place every limit on the objects of an image to at least `boxes`.

    This includes the objects fed to the model and the objects that it may detect.
    """
    # inputs.py, train_input: boxes beyond this limit are dropped, and their objects are taught as
    # background. The limit in train_config does nothing in TensorFlow 2.
    config.train_input_reader.max_number_of_boxes = max(config.train_input_reader.max_number_of_boxes, boxes)
    kind, message = family(config), model(config)
    for _, suppression in suppressions(config):
        suppression.max_detections_per_class = max(suppression.max_detections_per_class, boxes)
        suppression.max_total_detections = max(suppression.max_total_detections, suppression.max_detections_per_class)
    if kind == FASTER_RCNN:
        message.first_stage_max_proposals = max(message.first_stage_max_proposals, boxes)
    if kind == CENTER_NET:
        message.object_center_params.max_box_predictions = max(message.object_center_params.max_box_predictions, boxes)


def most_detections(config: Any) -> int:
    """Return how many detections of an image are measured."""
    return max(MOST_DETECTIONS, int(config.train_input_reader.max_number_of_boxes))
