"""Every name, label and object key, once.

A formula written twice drifts, so nothing else in negset spells one of these.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "negset.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "NegativeDataset"
PLURAL: Final = "negativedatasets"
SINGULAR: Final = "negativedataset"
SHORT_NAMES: Final = ("negset", "negsets")
CATEGORIES: Final = ("negset",)
"""kubectl looks for a category before a short name.

With one kind in the category both mean the same.
"""
CRD_NAME: Final = f"{PLURAL}.{GROUP}"
DEFAULT_NAMESPACE: Final = "default"

# --- What the operator writes on the objects it makes -------------------------------------------------------------------------------------

LABEL_DATASET: Final = f"{GROUP}/dataset"
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_SPEC_HASH: Final = f"{GROUP}/run"
LABEL_GENERATION: Final = f"{GROUP}/generation"
LABEL_DIGEST: Final = f"{GROUP}/step-digest"
LABEL_PLACE: Final = f"{GROUP}/place"
LABEL_PIPELINE: Final = f"{GROUP}/pipeline"
"""The digest of the pipeline.config that the spec's ConfigMap held when a child was made."""
LABEL_BUILT: Final = f"{GROUP}/built"
"""The digest of a child's spec, as the operator built it."""
LABEL_RETRY: Final = f"{GROUP}/retry"
LABEL_SUSPENDED: Final = f"{GROUP}/suspended"
LABEL_COUNTED: Final = f"{GROUP}/counted"
"""Marks a failed child that the metrics have counted."""
LABEL_ROLE: Final = f"{GROUP}/role"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
"""On a child: which attempt at its step it is, counted from 1. Children of 0.1.0 lack it."""
LABEL_CHILD: Final = f"{GROUP}/child"
LABEL_REPORTS: Final = f"{GROUP}/reports"
"""On the pods that have a token, and so may reach the API server."""
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
LABEL_PRIORITY: Final = "kueue.x-k8s.io/priority-class"
MULTIKUEUE: Final = "kueue.x-k8s.io/multikueue"
"""What Kueue writes into `spec.managedBy` of a RayJob or Job that it dispatches to another cluster."""
LABEL_WORKLOAD_OF: Final = "kueue.x-k8s.io/job-uid"
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
ANNOTATION_RETRY: Final = f"{GROUP}/retry"
"""On a NegativeDataset: a new value has what failed tried again.

The label of the same name holds its digest.
"""
FINALIZER: Final = f"{GROUP}/delete-data"

OPERATOR_FIELD_MANAGER: Final = "negset-operator"
"""Writes `observedGeneration`, `stage`, `revision`, `url`, `reportUrl`, `completed`, `runs` and its
own `conditions` of the status, and every child.
"""

JOBS_FIELD_MANAGER: Final = "negset-jobs"
"""Writes the status' other fields, which only a running job knows: `images`, `progress`, `rounds`,
`falsePositivesPerImage`.
"""

MANIFEST_FILE: Final = "/etc/negset/dataset.yaml"
PIPELINE_CONFIG_FILE: Final = "/etc/negset-pipeline/pipeline.config"
PIPELINE_CONFIG_VARIABLE: Final = "NEGSET_PIPELINE_CONFIG"
"""The environment variable that holds the path of a mounted pipeline.config, where
`training.pipelineConfig` names a ConfigMap.
"""
PIPELINE_CONFIG_KEY: Final = "pipeline.config"
"""The key that holds it, in the user's ConfigMap and in the operator's copy."""
TERMINATION_LOG: Final = "/dev/termination-log"
"""What a container writes here, Kubernetes tells whoever looks at its pod."""
LOCAL_SCHEMES: Final = frozenset({"", "file", "local"})
"""What a URL begins with that names a file of the machine itself: a laptop's, and never a
cluster's.
"""

# The splits of a plan. Round 1 trains on TRAIN; mining looks for hard negatives in POOL, and only
# what it finds is trained on; HELD_OUT images only measure.
TRAIN: Final = "train"
POOL: Final = "pool"
HELD_OUT: Final = "heldout"

# The arms of a comparison: what each does with the negatives. All arms make the same number of
# steps.
MINED: Final = "Mined"
RANDOM_NEGATIVES: Final = "RandomNegatives"
NO_NEGATIVES: Final = "NoNegatives"
_ARM_FOLDERS: Final = {MINED: "", RANDOM_NEGATIVES: "random-negatives/", NO_NEGATIVES: "no-negatives/"}

# --- Object keys, relative to the root of a revision -----------------------------------------------------------------------------------
# A key that holds a value of `negset_api.values` is also its stage's commit marker: it is written last, so it exists if and only if the
# stage is done.

SPEC: Final = "spec.json"
PLAN: Final = "plan.json"
RECORDS: Final = "records.json"
MANIFEST: Final = "manifest.parquet"
POSITIVES: Final = "positives.json"
LABEL_MAP: Final = "positives/label_map.pbtxt"
REJECTED_BOXES: Final = "positives/rejected.jsonl"
LABELS: Final = "labels.json"
OWNERS_FOLDER: Final = "owners"
COPIES: Final = "copies.json"
COPIES_TABLE: Final = "copies.parquet"
REPORT_PAGE: Final = "report/index.html"
REPORT: Final = "report/report.json"
REPORT_HELD_OUT: Final = "report/heldout.json"
HELD_OUT_OBJECTS: Final = "heldout-objects.parquet"

RECORDS_FOLDER: Final = "records"
POSITIVES_FOLDER: Final = "positives"
SHARDS_FOLDER: Final = "shards"
LABELS_FOLDER: Final = "labels"
FINGERPRINTS_FOLDER: Final = "fingerprints"


def dataset_root(output_url: str, namespace: str, name: str) -> str:
    """The folder that holds every revision of one NegativeDataset."""
    return f"{output_url.rstrip('/')}/{namespace}/{name}"


def revision_root(output_url: str, namespace: str, name: str, revision: str) -> str:
    """The folder that holds one revision, whole in itself."""
    return f"{dataset_root(output_url, namespace, name)}/{revision}"


def owner(uid: str) -> str:
    """The key by which an object says that a revision is its own, too. A laptop's runs have no uid."""
    return f"{OWNERS_FOLDER}/{uid or 'laptop'}"


def shard(split: str, index: int, total: int) -> str:
    """A shard's name, as TensorFlow names sharded files: `train-00003-of-00010`."""
    return f"{split}-{index:05d}-of-{total:05d}"


def shard_marker(folder: str, shard_name: str, attempt: int = 1) -> str:
    """The commit marker of a shard whose records go to `folder` (`records` or `positives`).

    A later attempt, which asks again for the images that failed, has a marker of its own, so that
    nothing committed is edited; the highest attempt counts.
    """
    return f"{SHARDS_FOLDER}/{folder}/{shard_name}{f'.attempt-{attempt}' if attempt > 1 else ''}.json"


def shard_of_marker(key: str) -> tuple[str, int]:
    """The shard's name and the attempt that a marker's key stands for; the inverse of
    `shard_marker`.
    """
    name, _, attempt = key.rpartition("/")[2].removesuffix(".json").partition(".attempt-")
    return name, int(attempt or 1)


def shard_records(folder: str, shard_name: str, sha256: str) -> str:
    """A shard's TFRecord file.

    The digest of its bytes is part of the name, so two attempts that saw different answers never
    overwrite each other: the one whose marker was created first is named, and the other's file is
    removed.
    """
    return f"{folder}/{shard_name}.{sha256[:8]}.tfrecord"


def fingerprints(input_digest: str, records: str) -> str:
    """What the images of the records file under the key `records` are recognised by, while copies
    are looked for.
    """
    return f"{FINGERPRINTS_FOLDER}/{input_digest}/{records.replace('/', '-')}.parquet"


def labels_folder(label_format: str) -> str:
    """Where a label format's dataset lies: `labels/yolo`, `labels/coco`, `labels/voc`."""
    return f"{LABELS_FOLDER}/{label_format.lower()}"


def round_folder(number: int, arm: str = MINED) -> str:
    """Where a training round writes: its config, checkpoints, exported model, and the scores of the
    mining after it.
    """
    return f"training/{_ARM_FOLDERS[arm]}round-{number}"


def round_marker(number: int, arm: str = MINED) -> str:
    """The commit marker of a training round."""
    return f"{round_folder(number, arm)}/round.json"


def round_config(number: int, arm: str = MINED) -> str:
    """The pipeline.config that a training round used."""
    return f"{round_folder(number, arm)}/pipeline.config"


def round_checkpoints(number: int, arm: str = MINED) -> str:
    """The folder of a training round's checkpoints."""
    return f"{round_folder(number, arm)}/checkpoints"


def round_events(number: int, arm: str = MINED) -> str:
    """The folder of a training round's event files, for TensorBoard."""
    return f"{round_folder(number, arm)}/events"


def round_saved_model(number: int, arm: str = MINED) -> str:
    """The folder of a training round's exported model."""
    return f"{round_folder(number, arm)}/saved_model"


def round_detections(number: int, arm: str = MINED) -> str:
    """The table of what a round's model detects on the held-out images."""
    return f"{round_folder(number, arm)}/detections.parquet"


def report_detections(arm: str) -> str:
    """What the last model of an arm detects on the held-out images, in COCO's results format; it
    goes with `REPORT_HELD_OUT`.
    """
    return f"report/detections-{arm}.json"


def mining_marker(number: int) -> str:
    """The commit marker of the mining with the model of round `number`."""
    return f"{round_folder(number)}/mining.json"


def mining_scored_shards(number: int) -> str:
    """The folder of the shards that are scored so far, by which an interrupted mining goes on."""
    return f"{round_folder(number)}/shard-scores"


def mining_shard_scores(number: int, shard: str) -> str:
    """The scores of the shard under the key `shard`, while the mining is under way."""
    return f"{mining_scored_shards(number)}/{shard.rpartition('/')[2]}.json"


def mining_hard(number: int) -> str:
    """The folder of the hard negatives that the minings up to and after a round found."""
    return f"{round_folder(number)}/hard"


def mining_random(number: int) -> str:
    """The folder of as many random negatives, for the arm that trains on them instead."""
    return f"{round_folder(number)}/random"


def mining_negatives(number: int) -> str:
    """The folder of the shards that are written once more, without the images under review."""
    return f"{round_folder(number)}/negatives"


def mining_scores(number: int) -> str:
    """The table of the score of every negative that was scored."""
    return f"{round_folder(number)}/scores.parquet"
