"""Every name, label and object key of negset, each defined once.

No other module contains one of them, because copies would drift apart.
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
"""kubectl resolves a category before a short name.

The category has only this kind, so both mean the same.
"""
CRD_NAME: Final = f"{PLURAL}.{GROUP}"
DEFAULT_NAMESPACE: Final = "default"

# --- Labels and annotations of the objects that the operator creates -----------------------------

LABEL_DATASET: Final = f"{GROUP}/dataset"
LABEL_REVISION: Final = f"{GROUP}/revision"
LABEL_SPEC_HASH: Final = f"{GROUP}/run"
LABEL_GENERATION: Final = f"{GROUP}/generation"
LABEL_DIGEST: Final = f"{GROUP}/step-digest"
LABEL_PLACE: Final = f"{GROUP}/place"
LABEL_PIPELINE: Final = f"{GROUP}/pipeline"
"""The digest of the pipeline.config in the spec's ConfigMap when a child was created."""
LABEL_BUILT: Final = f"{GROUP}/built"
"""The digest of a child's spec as the operator built it."""
LABEL_RETRY: Final = f"{GROUP}/retry"
LABEL_SUSPENDED: Final = f"{GROUP}/suspended"
LABEL_COUNTED: Final = f"{GROUP}/counted"
"""Marks a failed child that the metrics have counted."""
LABEL_ROLE: Final = f"{GROUP}/role"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
"""On a child: which attempt at its step it is, counted from 1. Children of 0.1.0 lack it."""
LABEL_CHILD: Final = f"{GROUP}/child"
LABEL_REPORTS: Final = f"{GROUP}/reports"
"""On the pods that have a token and so may reach the API server."""
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"
LABEL_PRIORITY: Final = "kueue.x-k8s.io/priority-class"
MULTIKUEUE: Final = "kueue.x-k8s.io/multikueue"
"""The value of `spec.managedBy` that Kueue sets on a child for another cluster."""
LABEL_WORKLOAD_OF: Final = "kueue.x-k8s.io/job-uid"
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"
ANNOTATION_RETRY: Final = f"{GROUP}/retry"
"""On a NegativeDataset: a new value retries failed steps.

The label of the same name has its digest.
"""
FINALIZER: Final = f"{GROUP}/delete-data"

OPERATOR_FIELD_MANAGER: Final = "negset-operator"
"""The field manager of the operator.

It writes all children, and these fields of the status: `observedGeneration`, `stage`, `revision`,
`url`, `reportUrl`, `completed`, `runs` and its own `conditions`.
"""

JOBS_FIELD_MANAGER: Final = "negset-jobs"
"""The field manager of the jobs.

It writes the fields of the status that only a running job knows: `images`, `progress`, `rounds`,
`falsePositivesPerImage`.
"""

MANIFEST_FILE: Final = "/etc/negset/dataset.yaml"
PIPELINE_CONFIG_FILE: Final = "/etc/negset-pipeline/pipeline.config"
PIPELINE_CONFIG_VARIABLE: Final = "NEGSET_PIPELINE_CONFIG"
"""The environment variable with the path of the mounted pipeline.config.

It is set if `training.pipelineConfig` names a ConfigMap.
"""
PIPELINE_CONFIG_KEY: Final = "pipeline.config"
"""The key of the pipeline.config in the user's ConfigMap and in the operator's copy."""
TERMINATION_LOG: Final = "/dev/termination-log"
"""Kubernetes shows what a container writes here in the status of its pod."""
LOCAL_SCHEMES: Final = frozenset({"", "file", "local"})
"""The schemes of URLs of local files. They are allowed on a laptop, and refused in a cluster."""

# The splits of a plan. Round 1 trains on TRAIN. Mining looks for hard negatives in POOL, and later
# rounds train on these as well. HELD_OUT images are only used to measure.
TRAIN: Final = "train"
POOL: Final = "pool"
HELD_OUT: Final = "heldout"

# The arms of a comparison differ in the negatives that they train on. All arms train for the same
# number of steps.
MINED: Final = "Mined"
RANDOM_NEGATIVES: Final = "RandomNegatives"
NO_NEGATIVES: Final = "NoNegatives"
_ARM_FOLDERS: Final = {MINED: "", RANDOM_NEGATIVES: "random-negatives/", NO_NEGATIVES: "no-negatives/"}

# The proofs that an image shows none of the excluded classes.
USER_WORD: Final = "UserWord"
UNANNOTATED: Final = "Unannotated"
EXHAUSTIVELY_ANNOTATED: Final = "ExhaustivelyAnnotated"
VERIFIED_ABSENT: Final = "VerifiedAbsent"
PROOFS: Final = (USER_WORD, UNANNOTATED, EXHAUSTIVELY_ANNOTATED, VERIFIED_ABSENT)
"""From the weakest to the strongest."""

# --- Object keys, relative to the root of a revision ---------------------------------------------
# A key that holds a value of `negset_api.values` is also the commit marker of its stage. It is
# written last, so it exists if and only if the stage is done.

SPEC: Final = "spec.json"
PLAN: Final = "plan.json"
RECORDS: Final = "records.json"
MANIFEST: Final = "manifest.parquet"
POSITIVES: Final = "positives.json"
LABEL_MAP: Final = "positives/label_map.pbtxt"
REJECTED_BOXES: Final = "positives/rejected.jsonl"
FAILED_POSITIVES: Final = "positives/failed.jsonl"
POSITIVE_COPIES: Final = "positives/copies.json"
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
TRAINING_FOLDER: Final = "training"
FINGERPRINTS_FOLDER: Final = "fingerprints"


def dataset_root(output_url: str, namespace: str, name: str) -> str:
    """Return the folder of all revisions of one NegativeDataset."""
    return f"{output_url.rstrip('/')}/{namespace}/{name}"


def revision_root(output_url: str, namespace: str, name: str, revision: str) -> str:
    """Return the folder of one revision, which is complete in itself."""
    return f"{dataset_root(output_url, namespace, name)}/{revision}"


def owner(uid: str) -> str:
    """Return the key by which an object claims a revision. A run on a laptop has no uid."""
    return f"{OWNERS_FOLDER}/{uid or 'laptop'}"


def shard(split: str, index: int, total: int) -> str:
    """Return a shard's name in TensorFlow's form for sharded files: `train-00003-of-00010`."""
    return f"{split}-{index:05d}-of-{total:05d}"


def shard_marker(folder: str, shard_name: str, attempt: int = 1) -> str:
    """Return the commit marker of a shard whose records are in `folder` (`records`, `positives`).

    A later attempt requests again the images that failed. It has its own marker, so that committed
    keys are never changed. The highest attempt counts.
    """
    return f"{SHARDS_FOLDER}/{folder}/{shard_name}{f'.attempt-{attempt}' if attempt > 1 else ''}.json"


def shard_of_marker(key: str) -> tuple[str, int]:
    """Return the shard's name and the attempt of a marker's key: the inverse of `shard_marker`."""
    name, _, attempt = key.rpartition("/")[2].removesuffix(".json").partition(".attempt-")
    return name, int(attempt or 1)


def shard_records(folder: str, shard_name: str, sha256: str) -> str:
    """Return the key of a shard's TFRecord file.

    The digest of its bytes is part of the name. So two attempts that got different answers never
    overwrite each other. The marker that was created first names the file, and the other file is
    removed.
    """
    return f"{folder}/{shard_name}.{sha256[:8]}.tfrecord"


def fingerprints(input_digest: str, records: str) -> str:
    """Return the key of the fingerprints of a records file, by which copies are found.

    `records` is the key of the records file.
    """
    return f"{FINGERPRINTS_FOLDER}/{input_digest}/{records.replace('/', '-')}.parquet"


def labels_folder(label_format: str) -> str:
    """Return the folder of a label format, such as `labels/yolo`."""
    return f"{LABELS_FOLDER}/{label_format.lower()}"


def round_folder(number: int, arm: str = MINED) -> str:
    """Return the folder of a training round.

    It has the round's config, checkpoints and exported model, and the scores of the next mining.
    """
    return f"{TRAINING_FOLDER}/{_ARM_FOLDERS[arm]}round-{number}"


def round_marker(number: int, arm: str = MINED) -> str:
    """Return the commit marker of a training round."""
    return f"{round_folder(number, arm)}/round.json"


def round_config(number: int, arm: str = MINED) -> str:
    """Return the key of the pipeline.config that a training round used."""
    return f"{round_folder(number, arm)}/pipeline.config"


def round_checkpoints(number: int, arm: str = MINED) -> str:
    """Return the folder of a training round's checkpoints."""
    return f"{round_folder(number, arm)}/checkpoints"


def round_events(number: int, arm: str = MINED) -> str:
    """Return the folder of a training round's event files for TensorBoard."""
    return f"{round_folder(number, arm)}/events"


def round_saved_model(number: int, arm: str = MINED) -> str:
    """Return the folder of a training round's exported model."""
    return f"{round_folder(number, arm)}/saved_model"


def round_detections(number: int, arm: str = MINED) -> str:
    """Return the key of the table of a round's detections on the held-out images."""
    return f"{round_folder(number, arm)}/detections.parquet"


def report_detections(arm: str) -> str:
    """Return the key of the detections of an arm's last model on the held-out images.

    The file has COCO's results format, and belongs to `REPORT_HELD_OUT`.
    """
    return f"report/detections-{arm}.json"


def mining_marker(number: int) -> str:
    """Return the commit marker of the mining with the model of round `number`."""
    return f"{round_folder(number)}/mining.json"


def mining_scored_shards(number: int) -> str:
    """Return the folder of the scores of single shards.

    An interrupted mining continues from them.
    """
    return f"{round_folder(number)}/shard-scores"


def mining_shard_scores(number: int, shard: str) -> str:
    """Return the key of the scores of one shard while the mining runs. `shard` is its key."""
    return f"{mining_scored_shards(number)}/{shard.rpartition('/')[2]}.json"


def mining_hard(number: int) -> str:
    """Return the folder of the hard negatives of all minings up to the one after a round."""
    return f"{round_folder(number)}/hard"


def mining_random(number: int) -> str:
    """Return the folder of as many random negatives, for the arm that trains on them instead."""
    return f"{round_folder(number)}/random"


def mining_negatives(number: int) -> str:
    """Return the folder of the shards that are written again without the images in review."""
    return f"{round_folder(number)}/negatives"


def mining_scores(number: int) -> str:
    """Return the key of the table with the score of every scored negative."""
    return f"{round_folder(number)}/scores.parquet"
