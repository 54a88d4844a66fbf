"""Stand-ins for modules that the Object Detection API imports and negset never uses.

They are missing in TensorFlow 2.21, do not run on it, or are large.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

import tensorflow as tf
from tf_keras.src.applications import resnet


@contextlib.contextmanager
def in_place() -> Iterator[None]:
    """Let the block import the API with the stand-ins.

    After the block, other code in this process finds the real modules again.
    """
    stand_ins = _stand_ins()
    real = {name: sys.modules[name] for name in stand_ins if name in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
        sys.modules.update(real)


def _stand_ins() -> Mapping[str, ModuleType]:
    """Return the stand-ins by name, each with what the API takes from it at import."""
    return {
        # model_lib and inputs: the functions for Estimators. TensorFlow 2.16 removed those.
        f"{tf.compat.v1.__name__}.estimator": _module("estimator"),
        # meta_architectures/deepmac_meta_arch: segmentation from boxes. Not made for TensorFlow
        # after 2.16.
        "tensorflow_io": _module("tensorflow_io"),
        # metrics/lvis_evaluation: metrics of LVIS. Brings OpenCV.
        "lvis": _module(
            "lvis",
            lvis=SimpleNamespace(LVIS=object),
            results=SimpleNamespace(LVISResults=object),
            eval=SimpleNamespace(LVISEval=object),
        ),
        # builders/optimizer_builder: moving averages, which `config.patch_training` switches off.
        "official.modeling.optimization": _module("optimization", ema_optimizer=None),
        # models/keras_models/resnet_v1: ResNet 18 and 34. Keras 3 would be loaded, whose layers do
        # not fit into models of Keras 2.
        "keras.applications": _module("applications", resnet=resnet),
    }


def _module(name: str, **contents: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(contents)
    return module
