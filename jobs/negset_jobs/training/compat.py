"""Makes the Object Detection API work, quietly, on TensorFlow 2.15.

Import this before `tensorflow` and `object_detection`.
"""

from __future__ import annotations

import logging
import os
import warnings

# TensorFlow's C++ side reads this when it is loaded: 1 drops informational messages, 2 warnings
# too. There are dozens before the first step.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import absl.logging
import tensorflow as tf
from tensorflow.python.ops import control_flow_ops

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
warnings.filterwarnings("ignore", module=r"(tensorflow|keras|tf_slim|object_detection|official)\b.*")
