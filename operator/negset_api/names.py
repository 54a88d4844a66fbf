"""Every name, label and object key, once. A formula written twice drifts, so nothing else in negset spells one of these."""

from __future__ import annotations

from typing import Final

GROUP: Final = "negset.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "NegativeDataset"
PLURAL: Final = "negativedatasets"
SINGULAR: Final = "negativedataset"
SHORT_NAMES: Final = ("negset", "negsets")
CRD_NAME: Final = f"{PLURAL}.{GROUP}"
DEFAULT_NAMESPACE: Final = "default"

# The sets that a plan divides the pictures into. Held-out pictures are never trained on; they only measure.
TRAIN: Final = "train"
HELD_OUT: Final = "heldout"

# --- Object keys, relative to the root of a revision -----------------------------------------------------------------------------------
# A key that holds a value of `negset_api.values` is also its stage's commit marker: it is written last, so it exists if and only if the
# stage is done.

SPEC: Final = "spec.json"
PLAN: Final = "plan.json"
RECORDS: Final = "records.json"
MANIFEST: Final = "manifest.parquet"
POSITIVES: Final = "positives.json"
LABEL_MAP: Final = "positives/label_map.pbtxt"
LABELS: Final = "labels.json"
REPORT_PAGE: Final = "report/index.html"
REPORT: Final = "report/report.json"

RECORDS_FOLDER: Final = "records"
POSITIVES_FOLDER: Final = "positives"
SHARDS_FOLDER: Final = "shards"


def dataset_root(output_url: str, namespace: str, name: str) -> str:
    """The folder that holds every revision of one NegativeDataset."""
    return f"{output_url.rstrip('/')}/{namespace}/{name}"


def revision_root(output_url: str, namespace: str, name: str, revision: str) -> str:
    """The folder that holds one revision, whole in itself."""
    return f"{dataset_root(output_url, namespace, name)}/{revision}"


def shard(subset: str, index: int, total: int) -> str:
    """A shard's name, as TensorFlow names sharded files: `train-00003-of-00010`."""
    return f"{subset}-{index:05d}-of-{total:05d}"


def shard_marker(folder: str, shard_name: str) -> str:
    """The commit marker of a shard whose records go to `folder` (`records` or `positives`)."""
    return f"{SHARDS_FOLDER}/{folder}/{shard_name}.json"


def shard_records(folder: str, shard_name: str, sha256: str) -> str:
    """A shard's TFRecord file. The digest of its bytes is part of the name, so two attempts that saw different answers never overwrite each other:
    the one whose marker was created first is named, and the other's file is removed.
    """
    return f"{folder}/{shard_name}.{sha256[:8]}.tfrecord"


def labels_folder(label_format: str) -> str:
    """Where a label format's data set lies: `labels/yolo`, `labels/coco`, `labels/voc`."""
    return f"labels/{label_format.lower()}"


def round_folder(number: int) -> str:
    """Where a training round writes: its config, checkpoints, exported model, and the scores of the mining after it."""
    return f"training/round-{number}"


def round_marker(number: int) -> str:
    """The commit marker of a training round."""
    return f"{round_folder(number)}/round.json"


def mining_marker(number: int) -> str:
    """The commit marker of the mining with the model of round `number`."""
    return f"{round_folder(number)}/mining.json"
