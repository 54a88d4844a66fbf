"""Makes the Object Detection API work, quietly, on TensorFlow 2.21.

Import this before `tensorflow` and `object_detection`.
"""

from __future__ import annotations

import logging
import os
import warnings

# TensorFlow's C++ side reads this when it is loaded: 1 drops informational messages, 2 warnings
# too. There are dozens before the first step.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The API is written for Keras 2, which is a package of its own since TensorFlow 2.16: tf_keras.
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import absl.logging

from negset_jobs.training import notices

with notices.dropped():
    import tensorflow as tf
from tensorflow.python.ops import control_flow_ops

from negset_jobs.training import protos, stand_ins  # noqa: F401

if not tf.keras.Model.__module__.startswith("tf_keras."):
    raise ImportError(
        "expected Keras 2, but TensorFlow was imported with Keras 3 before; set TF_USE_LEGACY_KERAS=1 in the environment of this process"
    )

# tf_slim 1.1.0 (tf_slim/data/tfexample_decoder.py) takes these from control_flow_ops, where
# TensorFlow 2.14 removed them. Without them the import works, but decoding the first example
# fails.
for _name in ("case", "cond", "while_loop", "Assert", "tuple"):
    if not hasattr(control_flow_ops, _name):
        setattr(control_flow_ops, _name, getattr(tf.compat.v1, _name))

# The Object Detection API logs each parameter of each layer that it restores, and its own
# deprecated calls.
tf.get_logger().setLevel(logging.ERROR)
absl.logging.set_verbosity(absl.logging.ERROR)
warnings.filterwarnings("ignore", module=r"(tensorflow|keras|tf_keras|gast|tf_slim|object_detection|official)\b.*")

with stand_ins.in_place():
    from object_detection import model_lib_v2  # noqa: F401
