"""What differs between the kinds of models that negset trains: where each keeps its image resizer,
its post-processing, its losses. Pure.
"""

from __future__ import annotations

from typing import Any, Final

SSD: Final = "ssd"
FASTER_RCNN: Final = "faster_rcnn"
CENTER_NET: Final = "center_net"
FAMILIES: Final = (SSD, FASTER_RCNN, CENTER_NET)

CLASSIFICATION_LOSSES: Final = ("classification_loss", "objectness_loss", "object_center")
"""How the names of the losses end that say what an image shows.

Faster R-CNN has one for each stage.
"""

LOCALIZATION_LOSSES: Final = ("localization_loss", "box/scale", "box/offset")
"""How the names of the losses end that say where it is."""

MOST_DETECTIONS: Final = 100
"""Detections per image that are measured, unless an image holds more objects."""


def family(config: Any) -> str:
    """The name of the meta-architecture, as model.proto has it; empty where the configuration has
    none.
    """
    return config.model.WhichOneof("model") or ""


def model(config: Any) -> Any:
    """The message of the meta-architecture."""
    return getattr(config.model, family(config))


def image_resizer(config: Any) -> Any:
    return model(config).image_resizer


def suppressions(config: Any) -> tuple[tuple[str, Any], ...]:
    """Every BatchNonMaxSuppression that detections pass, with the name of its field.

    CenterNet needs none, and has one only where it is asked for.
    """
    kind, message = family(config), model(config)
    if kind == SSD:
        return (("post_processing", message.post_processing.batch_non_max_suppression),)
    if kind == FASTER_RCNN:
        return (("second_stage_post_processing", message.second_stage_post_processing.batch_non_max_suppression),)
    return (("post_processing", message.post_processing.batch_non_max_suppression),) if message.HasField("post_processing") else ()


def classification(config: Any) -> Any:
    """The ClassificationLoss message that says what an image shows."""
    kind, message = family(config), model(config)
    if kind == SSD:
        return message.loss.classification_loss
    if kind == FASTER_RCNN:
        return message.second_stage_classification_loss
    return message.object_center_params.classification_loss


def batches_as_one(config: Any) -> bool:
    """Whether a batch can hold images of any size, since the resizer gives all of them one shape."""
    resizer = image_resizer(config)
    return bool(
        resizer.HasField("fixed_shape_resizer")
        or (resizer.HasField("keep_aspect_ratio_resizer") and resizer.keep_aspect_ratio_resizer.pad_to_max_dimension)
    )


def scoring_batch(config: Any) -> int:
    """How many images are scored at once: as many as have `_SCORED_PIXELS` in all, at the size that
    the model sees them.

    A ResNet-50 with a feature pyramid holds some 100 MB for an image of 640 pixels a side; 32 of
    them fit into no worker of 4 GiB.
    """
    if not batches_as_one(config):
        return 1
    resizer = image_resizer(config)
    if resizer.HasField("fixed_shape_resizer"):
        pixels: int = resizer.fixed_shape_resizer.height * resizer.fixed_shape_resizer.width
    else:
        pixels = resizer.keep_aspect_ratio_resizer.max_dimension**2
    return max(1, min(_MOST_SCORED, _SCORED_PIXELS // max(1, pixels)))


# Images; more are no faster with the smallest model (OD API, 96 pixels: 345 images/s at 16, 547 at
# 64)
_MOST_SCORED: Final = 64
_SCORED_PIXELS: Final = 32 * 320 * 320


def make_room(config: Any, boxes: int) -> None:
    """Raises in place what limits the objects of an image to at least `boxes`: those fed to the
    model, and those that it may detect.
    """
    # inputs.py, train_input: this limit cuts boxes off, and what is cut off is taught as
    # background. The one in train_config does nothing in TensorFlow 2.
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
    """How many detections of an image are measured."""
    return max(MOST_DETECTIONS, int(config.train_input_reader.max_number_of_boxes))
