"""Prints the records as the Object Detection API's own decoder reads them, as JSON lines.

Run it as `python -m tests.local.object_detection_reader LABEL_MAP RECORDS…`. It is a program of its
own, so that the process of the tests, which starts Ray, does not load TensorFlow.
"""

from __future__ import annotations

import json
import sys

from negset_jobs.training import compat  # noqa: F401  isort: skip
import tensorflow as tf
from object_detection.data_decoders.tf_example_decoder import TfExampleDecoder


def main() -> None:
    label_map, *files = sys.argv[1:]
    decoder = TfExampleDecoder(label_map_proto_file=label_map)
    for payload in tf.data.TFRecordDataset(files):
        decoded = decoder.decode(payload)
        height, width, _ = decoded["image"].shape
        found = {key: decoded[f"groundtruth_{key}"].numpy().tolist() for key in ("classes", "is_crowd", "boxes", "weights")}
        print(json.dumps({"id": int(decoded["source_id"].numpy()), "height": height, "width": width, **found}))


if __name__ == "__main__":
    main()
