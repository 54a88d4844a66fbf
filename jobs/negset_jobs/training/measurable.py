"""Limits and thresholds on detections that would leave nothing to measure or to mine. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from negset_jobs.training import families
from negset_jobs.training.protos import post_processing_pb2

_NOTHING_SCORES: Final = 0.5  # after some thousand steps, a detector scores little above it
_UNUSUAL_SCORE: Final = 0.05


def problems(config: Any) -> Iterator[str]:
    """Yield the settings to change before the model's detections can be measured."""
    for name, suppression in families.suppressions(config):
        yield from _suppression(name, suppression)
    match families.family(config):
        case families.SSD:
            yield from _converter("post_processing", config.model.ssd.post_processing)
        case families.FASTER_RCNN:
            yield from _converter("second_stage_post_processing", config.model.faster_rcnn.second_stage_post_processing)
            yield from _first_stage(config.model.faster_rcnn)
        case _:
            if config.model.center_net.object_center_params.max_box_predictions < 1:
                yield "max_box_predictions is 0, which leaves no detections to measure; expected at least 1, usually 100"


def warnings(config: Any) -> Iterator[str]:
    """Yield the settings that make the numbers of the report worse than the model."""
    for name, suppression in families.suppressions(config):
        if suppression.score_threshold > _UNUSUAL_SCORE:
            yield (
                f"{name}: detections below score_threshold {suppression.score_threshold:.2g} are not seen when the model is measured, "
                "which lowers recall and average precision; the usual value is 1e-8"
            )


def _suppression(name: str, suppression: Any) -> Iterator[str]:
    per_class, total = suppression.max_detections_per_class, suppression.max_total_detections
    for field, value in (("max_detections_per_class", per_class), ("max_total_detections", total)):
        if value < 1:
            yield f"{name}: {field} is {value}, which leaves no detections to measure; expected at least 1, usually 100"
    # The other two are refused by builders/post_processing_builder.py.
    if per_class > total:
        yield f"{name}: expected max_detections_per_class of at most max_total_detections, which is {total}, got {per_class}"
    if not 0 <= suppression.iou_threshold <= 1:
        yield f"{name}: expected iou_threshold from 0 to 1, got {suppression.iou_threshold:.4g}"
    if suppression.score_threshold >= _NOTHING_SCORES:
        yield (
            f"{name}: score_threshold is {suppression.score_threshold:.2g}, which leaves almost no detections to measure and to mine; expected less than "
            f"{_NOTHING_SCORES}, usually 1e-8"
        )


def _converter(name: str, post_processing: Any) -> Iterator[str]:
    if post_processing.score_converter == post_processing_pb2.PostProcessing.IDENTITY:
        yield (
            f"{name}: score_converter is IDENTITY, the default, which gives scores outside of 0 to 1; expected SIGMOID or SOFTMAX, to match the classification loss"
        )


def _first_stage(faster_rcnn: Any) -> Iterator[str]:
    if faster_rcnn.first_stage_nms_score_threshold >= _NOTHING_SCORES:
        yield f"first_stage_nms_score_threshold is {faster_rcnn.first_stage_nms_score_threshold:.2g}, which leaves almost no proposals; expected less, usually 0.0"
    if faster_rcnn.first_stage_max_proposals < max(1, faster_rcnn.second_stage_batch_size):
        # builders/model_builder.py, _build_faster_rcnn_model.
        yield (
            f"expected first_stage_max_proposals of at least second_stage_batch_size, which is {faster_rcnn.second_stage_batch_size}, got "
            f"{faster_rcnn.first_stage_max_proposals}"
        )
