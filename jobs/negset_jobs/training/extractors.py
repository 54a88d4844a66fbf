"""The feature extractors that the Object Detection API has for TensorFlow 2, by family. Pure.

The list is from object_detection/builders/model_builder.py; a test compares it.
"""

from __future__ import annotations

import difflib
from typing import Final

from negset_jobs.training import families

KNOWN: Final = {
    families.SSD: (
        "ssd_mobilenet_v1_keras",
        "ssd_mobilenet_v1_fpn_keras",
        "ssd_mobilenet_v2_keras",
        "ssd_mobilenet_v2_fpn_keras",
        "ssd_resnet50_v1_fpn_keras",
        "ssd_resnet101_v1_fpn_keras",
        "ssd_resnet152_v1_fpn_keras",
        *(f"ssd_efficientnet-b{size}_bifpn_keras" for size in range(8)),
    ),
    families.FASTER_RCNN: (
        "faster_rcnn_resnet50_keras",
        "faster_rcnn_resnet101_keras",
        "faster_rcnn_resnet152_keras",
        "faster_rcnn_inception_resnet_v2_keras",
        "faster_rcnn_resnet50_fpn_keras",
        "faster_rcnn_resnet101_fpn_keras",
        "faster_rcnn_resnet152_fpn_keras",
    ),
    families.CENTER_NET: (
        "resnet_v2_50",
        "resnet_v2_101",
        "resnet_v1_18_fpn",
        "resnet_v1_34_fpn",
        "resnet_v1_50_fpn",
        "resnet_v1_101_fpn",
        "hourglass_10",
        "hourglass_20",
        "hourglass_32",
        "hourglass_52",
        "hourglass_104",
        "mobilenet_v2",
        "mobilenet_v2_fpn",
        "mobilenet_v2_fpn_sep_conv",
    ),
}

_PYRAMID: Final = {"fpn": "_fpn_", "bifpn": "_bifpn_"}
_NEAR: Final = 3


def problem(family: str, name: str, sections: frozenset[str]) -> str:
    """Return what is wrong with an extractor's type and its pyramid `sections` (fpn, bifpn).

    Empty if nothing is wrong.
    """
    known = KNOWN[family]
    if not name:
        return f"feature_extractor.type is missing; expected one of {', '.join(known)}"
    if name not in known:
        near = difflib.get_close_matches(name, known, n=_NEAR, cutoff=0.0)
        if f"{name}_keras" in known:
            near = [f"{name}_keras", *(other for other in near if other != f"{name}_keras")]
            return f"feature_extractor.type {name!r} is for TensorFlow 1; expected a type for TensorFlow 2, such as {', '.join(near)}"
        return (
            f"feature_extractor.type {name!r} is unknown to the Object Detection API in TensorFlow 2; "
            f"expected a type such as {', '.join(near)}"
        )
    for section, mark in _PYRAMID.items():
        if section in sections and mark not in name:
            # The API passes the section to a class that does not accept it: a TypeError.
            return (
                f"feature_extractor.{section} does not work with {name}; remove it, or use an extractor with {mark.strip('_')} in its name"
            )
    return ""
