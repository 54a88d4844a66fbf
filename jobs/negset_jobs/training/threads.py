"""Decides how many threads TensorFlow uses within one operation on a CPU."""

from __future__ import annotations

import logging
import os
from typing import Any, Final

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf

from negset_jobs.training import families

log = logging.getLogger(__name__)

_FEW_PIXELS: Final = 150_000
"""The largest batch, in pixels after resizing, whose operations are faster on one thread each.

Such an operation takes less time than dividing it among threads. Operations that do not depend on
each other still run side by side. Milliseconds for a step of TensorFlow 2.21 on 2 cores, with the
default and with one thread: 56 and 39 for 8 images of 96 pixels a side, 131 and 135 for 32 of them,
584 and 722 for 8 images of 320 pixels.
"""


def limit(config: Any) -> None:
    """Use one thread for each operation if the batches of the configuration are small.

    Must be called before anything else of TensorFlow. The user's TF_NUM_INTRAOP_THREADS wins.
    """
    pixels = families.image_pixels(config) * config.train_config.batch_size
    if "TF_NUM_INTRAOP_THREADS" in os.environ or not 0 < pixels <= _FEW_PIXELS or tf.config.list_physical_devices("GPU"):
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        log.debug("TensorFlow runs already, with as many threads as before")
