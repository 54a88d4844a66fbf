"""Settings with which an image without objects has no loss.

Training then runs without an error, but the negatives teach nothing. Pure. The classes that the
comments name are in the package object_detection.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from negset_jobs.training import families
from negset_jobs.training.protos import losses_pb2

FOCAL: Final = "weighted_sigmoid_focal"
HEATMAP: Final = "penalty_reduced_logistic_focal_loss"
_MOST_ALPHA: Final = 0.99  # negatives then weigh a hundredth
# The largest gamma in the focal loss's paper (arXiv 1708.02002, table 1b). With a larger one,
# predictions that are almost right have no weight.
_MOST_GAMMA: Final = 5.0


def problems(config: Any) -> Iterator[str]:
    """Yield the settings that give images without objects almost no loss.

    `config` is patched.
    """
    match families.family(config):
        case families.FASTER_RCNN:
            yield from _faster_rcnn(config.model.faster_rcnn)
        case families.CENTER_NET:
            yield from _center_net(config.model.center_net)
        case _:
            yield from _ssd(config.model.ssd)
    yield from _focal(families.classification(config))


def _focal(loss: Any) -> Iterator[str]:
    if loss.WhichOneof("classification_loss") != FOCAL:
        return
    focal = loss.weighted_sigmoid_focal
    # core/losses.py, SigmoidFocalClassificationLoss: negatives are weighed with 1 - alpha,
    # positives with alpha.
    if focal.HasField("alpha") and focal.alpha > _MOST_ALPHA:
        none = "no loss" if focal.alpha == 1 else f"a loss times {1 - focal.alpha:.3g}"
        yield f"{FOCAL}.alpha: {focal.alpha:.4g} gives negatives {none}; expected a number above 0 and at most {_MOST_ALPHA}, usually 0.25"
    if focal.HasField("alpha") and focal.alpha <= 0:
        yield f"{FOCAL}.alpha: {focal.alpha:.4g} gives objects no loss; expected a number above 0 and at most {_MOST_ALPHA}, usually 0.25"
    if not 0 <= focal.gamma <= _MOST_GAMMA:
        yield f"{FOCAL}.gamma: expected 0 to {_MOST_GAMMA:g}, got {focal.gamma:.4g}; usually 2, a higher value leaves almost no loss"


def _center_net(center_net: Any) -> Iterator[str]:
    center = center_net.object_center_params
    if center.object_center_loss_weight <= 0:
        yield "object_center_loss_weight: 0 gives negatives a loss of zero; remove it"
    heatmap = center.classification_loss.penalty_reduced_logistic_focal_loss
    # core/losses.py, PenaltyReducedLogisticFocalLoss: the loss of a negative pixel is the predicted
    # probability to the power of alpha, times its logarithm.
    if not 0 <= heatmap.alpha <= _MOST_GAMMA:
        yield f"{HEATMAP}.alpha: expected 0 to {_MOST_GAMMA:g}, got {heatmap.alpha:.4g}; usually 2"


def _faster_rcnn(faster_rcnn: Any) -> Iterator[str]:
    if faster_rcnn.HasField("hard_example_miner"):
        # meta_architectures/faster_rcnn_meta_arch.py, _unpad_proposals_and_apply_hard_mining:
        # returns from within the loop over the images, and fails outside eager execution.
        yield "hard_example_miner in faster_rcnn looks at the first image of a batch only, and fails in graphs of TensorFlow 2; remove it"
    for field in ("first_stage_objectness_loss_weight", "second_stage_classification_loss_weight"):
        if getattr(faster_rcnn, field) <= 0:
            yield f"{field}: 0 gives negatives a loss of zero; remove it"


def _ssd(ssd: Any) -> Iterator[str]:
    loss = ssd.loss
    kind = loss.classification_loss.WhichOneof("classification_loss")
    if loss.HasField("hard_example_miner"):
        yield from _miner(loss.hard_example_miner, kind)
    if kind in ("weighted_softmax", "weighted_logits_softmax") and ssd.encode_background_as_zeros:
        # The target of an unmatched anchor is then all zeros, so its cross-entropy is 0 for any
        # prediction (core/losses.py).
        yield f"encode_background_as_zeros: true beside {kind} gives negatives a loss of zero; set it to false"
    if loss.HasField("random_example_sampler"):
        # core/balanced_positive_negative_sampler.py: negatives are drawn in proportion to the
        # positives of the same image.
        yield "random_example_sampler draws no negative anchor from an image without objects, which then has no loss; remove it"
    if loss.expected_loss_weights != losses_pb2.Loss.NONE and loss.min_num_negative_samples <= 0:
        # utils/ops.py, expected_classification_loss_by_*: the weight of negatives is in proportion
        # to the positives, at least min_num_negative_samples.
        yield "expected_loss_weights without min_num_negative_samples gives an image without objects no loss; set min_num_negative_samples"
    if ssd.negative_class_weight <= 0:
        yield "negative_class_weight: 0 gives negatives a loss of zero; remove it"
    if loss.classification_weight <= 0:
        yield "classification_weight: 0 gives negatives a loss of zero; remove it"


def _miner(miner: Any, kind: str | None) -> Iterator[str]:
    if kind == FOCAL:
        # builders/losses_builder.py, build.
        yield f"hard_example_miner beside {FOCAL} is refused by the Object Detection API; remove the miner"
    if miner.max_negatives_per_positive > 0 and miner.min_negatives_per_image <= 0:
        # core/losses.py, HardExampleMiner: max(min_negatives_per_image, max_negatives_per_positive
        # * positives) anchors are kept, which is none.
        yield (
            "min_negatives_per_image: 0, its default, with max_negatives_per_positive gives an image without objects exactly no loss; set it to at least 1, "
            "or use hardNegativeMining.mode Auto"
        )
    if miner.loss_type == losses_pb2.HardExampleMiner.LOCALIZATION:
        yield "loss_type: LOCALIZATION ranks negatives by a loss that negatives do not have; use CLASSIFICATION"
