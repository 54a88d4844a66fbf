"""The values on the arrows: `Spec → Plan → Shards → Records → Training → Mining → Report`.

Each is frozen, is stored as one JSON file under the revision, and is the commit marker of the stage
that made it. A stage reads only the values before it. `input_digest` is the digest of everything
that decided a stage's bytes: a later revision whose digest is the same copies the stage instead of
making it again.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any, TypeVar

import msgspec
from msgspec import field

from negset_api import decoding


class Value(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Base of what stages hand on: immutable, camelCase in JSON."""


T = TypeVar("T")


def encode(value: Value) -> bytes:
    """The value as JSON, deterministic: the same value is always the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0) + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """The value from its JSON. Raises `msgspec.ValidationError` where the bytes are not one."""
    return decoding.from_json(data, kind)


def digest(*parts: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of the parts' canonical JSON (keys sorted)."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:16]


ImageId = int | str
"""COCO's integer id, or the file name where the annotations have no ids (Pascal VOC)."""


class Box(Value, frozen=True, kw_only=True):
    """One object.

    Corners are normalised to [0, 1] of the image's height and width, as the Object Detection API
    wants them.
    """

    ymin: float
    xmin: float
    ymax: float
    xmax: float
    class_name: str
    crowd: bool = False
    difficult: bool = False
    truncated: bool = False


class PlannedImage(Value, frozen=True, kw_only=True):
    """One image to fetch.

    `width` and `height` are what the annotations say, in pixels; 0 where they say nothing.

    `scene` is the stratum it was drawn from, `reason` one sentence on why it was chosen, `page`
    where the image was published (attribution). Negatives have no `objects`.
    """

    image_id: ImageId
    url: str
    file_name: str
    width: int = 0
    height: int = 0
    license: int = 0
    stratum: str = field(default="", name="scene")
    reason: str = ""
    page: str = ""
    objects: tuple[Box, ...] = ()


class ShardPlan(Value, frozen=True, kw_only=True):
    """One unit of work: a run of images in plan order, written to one TFRecord file."""

    name: str
    split: str = field(name="subset")
    images: tuple[PlannedImage, ...]


class License(Value, frozen=True, kw_only=True):
    """A licence as the annotations describe it, and how many of the planned images carry it."""

    id: int
    name: str
    url: str = ""
    images: int = 0


class Plan(Value, frozen=True, kw_only=True):
    """Which images, in which order, in which shards.

    `image_ids` are in plan order; the same seed always gives the same order, and a larger count
    only appends. `candidates` counts the images that were free of the excluded classes and passed
    the filters, `rejected` counts the others by reason. `remaining_classes` counts, for each class
    that is still annotated in the planned images, the images that show it. `bytes_estimate` is an
    estimate in bytes.
    """

    input_digest: str = field(name="inputs")
    excluded_classes: tuple[str, ...]
    categories: dict[int, str]
    candidates: int
    planned: int
    rejected: dict[str, int]
    bytes_estimate: int
    licenses: tuple[License, ...]
    remaining_classes: dict[str, int]
    image_ids: tuple[ImageId, ...]
    shards: tuple[ShardPlan, ...]


class Outcome(enum.StrEnum):
    """How an image ended. Every planned image ends in exactly one of these."""

    STORED = "stored"
    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    CLIENT_ERROR = "client_error"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    BLOCKED_ADDRESS = "blocked_address"
    OPTED_OUT = "opted_out"
    TOO_LARGE = "too_large"
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    UNDECODABLE = "undecodable"
    SIZE_MISMATCH = "size_mismatch"
    INVALID_BOX = "invalid_box"

    @property
    def transient(self) -> bool:
        """Whether asking again later may end differently."""
        return self in _TRANSIENT


_TRANSIENT = frozenset({Outcome.RATE_LIMITED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.TRUNCATED})


class ImageResult(Value, frozen=True, kw_only=True):
    """How one image ended, and where its record lies: `offset` and `length` in bytes within the
    shard's file, framing included.

    `sha256`, `bytes`, `width` and `height` describe the stored encoded image; they are empty or 0
    where nothing was stored. `detail` says what went wrong, for a person. `rejected_boxes` counts
    the annotations of a positive that could not be used. `input_digest` is the digest of what
    decided the record's bytes, so that another shard or revision that wants the same record can
    take it instead of downloading the image.
    """

    image_id: ImageId
    outcome: Outcome
    input_digest: str = field(default="", name="inputs")
    sha256: str = ""
    bytes: int = 0
    width: int = 0
    height: int = 0
    offset: int = 0
    length: int = 0
    detail: str = ""
    rejected_boxes: int = 0


class ShardResult(Value, frozen=True, kw_only=True):
    """The commit marker of a shard.

    `file` is the key of its TFRecord file, empty where no image was stored: an input file without
    records would hang the Object Detection API's weighted mix.
    """

    name: str
    split: str = field(name="subset")
    input_digest: str = field(name="inputs")
    file: str
    sha256: str
    bytes: int
    results: tuple[ImageResult, ...]


class Records(Value, frozen=True, kw_only=True):
    """The negatives as they were stored. `files` are keys by split; `outcomes` add up to `planned`."""

    input_digest: str = field(name="inputs")
    planned: int
    stored: int
    bytes: int
    outcomes: dict[str, int]
    files: dict[str, tuple[str, ...]]
    images: dict[str, int]
    manifest: str


class Positives(Value, frozen=True, kw_only=True):
    """The positives as they were stored.

    `classes` are in label-map order (ids from 1); `boxes` and `images` count by split;
    `rejected_boxes` by reason.

    `most_boxes` counts the objects of the fullest image.
    """

    input_digest: str = field(name="inputs")
    classes: tuple[str, ...]
    label_map: str
    files: dict[str, tuple[str, ...]]
    images: dict[str, int]
    boxes: dict[str, int]
    outcomes: dict[str, int]
    rejected_boxes: dict[str, int]
    most_boxes: int = 0


class Labels(Value, frozen=True, kw_only=True):
    """The label datasets that were written: format → folder key."""

    input_digest: str = field(name="inputs")
    folders: dict[str, str]
    images: int


class CopyCounts(Value, frozen=True, kw_only=True):
    """How many held-out images are copies of an image that trains, by their kind.

    A copy is exact where the encoded bytes are the same, and near where the images are: saved
    again, resized, mirrored, cut at the border or made brighter.
    """

    exact_negatives: int = 0
    near_negatives: int = 0
    exact_positives: int = 0
    near_positives: int = 0

    @property
    def negatives(self) -> int:
        return self.exact_negatives + self.near_negatives

    @property
    def positives(self) -> int:
        return self.exact_positives + self.near_positives

    @property
    def total(self) -> int:
        return self.negatives + self.positives


class Copies(Value, frozen=True, kw_only=True):
    """The held-out images that are copies of an image that trains or waits in the pool.

    A model may know them, so they measure nothing: `negatives` and `positives` are their ids, and
    every round leaves them out. `held_out` images were compared with `others`. `plain` counts
    the images of both that show too little to be recognised, or cannot be decoded; these are
    compared by their bytes alone. `table` is the key of a table with a row per pair.
    """

    input_digest: str = field(name="inputs")
    negatives: tuple[str, ...] = ()
    positives: tuple[str, ...] = ()
    counts: CopyCounts = CopyCounts()
    held_out: int = 0
    others: int = 0
    plain: int = 0
    table: str = ""


class Detection(Value, frozen=True, kw_only=True):
    """One detection: corners normalised to [0, 1], `score` in [0, 1]."""

    ymin: float
    xmin: float
    ymax: float
    xmax: float
    score: float
    class_name: str


class ScoredImage(Value, frozen=True, kw_only=True):
    """The detections on one image, best first.

    On a negative every one of them is false. An `unreadable` one could not be decoded, and has
    none.
    """

    image_id: str
    detections: tuple[Detection, ...]
    unreadable: bool = False

    @property
    def score(self) -> float:
        """The best detection's score; 0 where there is none."""
        return self.detections[0].score if self.detections else 0.0


class LossPoint(Value, frozen=True, kw_only=True):
    """The losses and the learning rate at one step."""

    step: int
    total: float
    classification: float
    localization: float
    learning_rate: float = 0.0


class Measurement(Value, frozen=True, kw_only=True):
    """What a model does on the images held out.

    `threshold` is the highest score at which `recall` of the held-out objects (IoU ≥ 0.5, right
    class) are found; `false_positives_per_image` counts the detections at or above it on the
    held-out negatives, per image. `average_precision` is COCO's AP over IoU 0.50:0.95,
    `average_precision_50` at IoU 0.5, both on the held-out positives. `wanted_recall` is what was
    asked for; where no threshold reaches it, `recall` is the best there is.
    """

    threshold: float
    recall: float
    wanted_recall: float
    false_positives_per_image: float
    average_precision: float
    average_precision_50: float
    negatives: int
    positives: int
    objects: int


class Round(Value, frozen=True, kw_only=True):
    """One training round of one arm.

    `steps` are its own, `total_steps` those that the model has behind it.

    `negatives` counts the different negatives that were in the mix, `detections` is the key of what
    the model detects on the held-out images, and `worst` are the held-out negatives with the
    highest scores, for people. `unreadable` counts the records that could not be read and were
    passed over, in training and in measuring; `unreadable_examples` names the first few.
    `saved_model` is the folder of the exported model, empty for a model that is not exported
    (`stages.is_exported`).
    """

    number: int
    arm: str
    input_digest: str = field(name="inputs")
    steps: int
    total_steps: int
    seed: int
    negatives: int
    negative_percent: int
    measured_negative_percent: float
    miner: str
    config: str
    checkpoint: str
    saved_model: str
    detections: str
    losses: tuple[LossPoint, ...]
    steps_per_second: float
    measurement: Measurement
    worst: tuple[ScoredImage, ...]
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()


class Mining(Value, frozen=True, kw_only=True):
    """What the model of round `number` fires on, among the negatives that it was not trained on
    (`pool` counts them) and among those that it was (`trained_on`).

    `floor` is the score from which a negative can be hard; `fooled` counts those that reach the
    round's own `threshold`. `hard` are the keys of the files with every hard negative so far
    (`hard_images` counts them, `added` those of this mining); `random` are the keys of as many
    negatives drawn at random, for the arm that trains on them instead. `negatives` are the keys of
    the other negatives that the next round trains on.

    `review` lists images that the model was trained on as negatives and that keep fooling it with a
    high score: they may well show the object, and are left out until a person has looked.
    `review_declined` counts images that scored as high but were too many to mean anything.
    `hardest` are the first few of what this mining added, for people. `scores` is the key of a
    table with a row per scored negative. Without a pool (`pool` is 0) the hard negatives are among
    those trained on.
    """

    number: int
    input_digest: str = field(name="inputs")
    threshold: float
    floor: float
    pool: int
    trained_on: int
    fooled: int
    hard: tuple[str, ...]
    hard_images: int
    added: int
    random: tuple[str, ...]
    negatives: tuple[str, ...]
    negative_images: int
    review: tuple[ScoredImage, ...]
    scores: str
    review_declined: int = 0
    hardest: tuple[ScoredImage, ...] = ()

    @property
    def scored(self) -> int:
        """How many negatives were scored."""
        return self.pool + self.trained_on

    @property
    def different_images(self) -> int:
        """How many different negatives the next round trains on.

        Without a pool the hard ones are among the others.
        """
        return self.negative_images + (self.hard_images if self.pool else 0) or self.hard_images


Interval = tuple[float, float]
"""Where the true value lies with 95 % confidence: low and high."""


class ReportRound(Value, frozen=True, kw_only=True):
    """One round of the arm `Mined`.

    `threshold`, `recall` and the rates are the round's `Measurement`.

    `steps` are the round's own, `total_steps` those that the model has behind it. `hard_negatives`
    counts the images that the minings before it added, all together. `difference_interval` and
    `average_precision_difference_interval` are of the last round's value minus this round's; they
    are absent for the last round.
    """

    round: int
    false_positives_per_image: float
    recall: float
    average_precision: float
    average_precision_50: float
    threshold: float
    steps: int
    hard_negatives: int
    total_steps: int = 0
    wanted_recall: float = 0.0
    held_out_negatives: int = 0
    held_out_objects: int = 0
    false_positives_per_image_interval: Interval | None = None
    difference_interval: Interval | None = None
    change_interval: Interval | None = None
    average_precision_difference_interval: Interval | None = None

    @property
    def recall_reached(self) -> bool:
        """Whether a threshold finds the wanted share of the held-out objects; only then are two
        rounds comparable.
        """
        return self.recall >= self.wanted_recall


class ClassNumbers(Value, frozen=True, kw_only=True):
    """What a model does with one class: its objects on held-out positives, the share found at the
    model's threshold, AP at IoU 0.5, and false positives on held-out negatives.
    """

    name: str
    objects: int
    recall: float
    average_precision_50: float
    false_positives: int


class Comparison(Value, frozen=True, kw_only=True):
    """One arm at the end of all its steps.

    `name` is `Mined`, `RandomNegatives` or `NoNegatives`; `steps` are those that the model has
    behind it, the same for all arms; `negatives` counts the different negatives that it was trained
    on. The interval holds the true rate with 95 % confidence (bootstrap over the held-out images).

    `difference_interval` is of the rate of `Mined` minus this arm's, `change_interval` of the same
    relative to this arm's (-0.5 halves it), and `average_precision_difference_interval` of the
    average precisions, all paired; they are absent for `Mined` itself, and `change_interval` also
    where this arm's rate may be 0.

    On the held-out positives at the threshold: `hits` find an object, `misses` are objects not
    found, `duplicates` find one that a better detection has found, `wrong_class` and `wrong_place`
    find none of their class. `false_positives` counts those on the held-out negatives and
    `false_positives_on` what they lie on: a class that is annotated there, or "" for nothing; it is
    empty where the other annotations are not known.
    """

    name: str
    steps: int
    negatives: int
    false_positives_per_image: float
    false_positives_per_image_interval: Interval
    recall: float
    average_precision: float
    average_precision_50: float = 0.0
    threshold: float = 0.0
    wanted_recall: float = 0.0
    difference_interval: Interval | None = None
    change_interval: Interval | None = None
    average_precision_difference_interval: Interval | None = None
    hits: int = 0
    misses: int = 0
    duplicates: int = 0
    wrong_class: int = 0
    wrong_place: int = 0
    false_positives: int = 0
    false_positives_on: dict[str, int] = {}
    classes: tuple[ClassNumbers, ...] = ()
    detections: str = ""

    @property
    def recall_reached(self) -> bool:
        """Whether a threshold finds the wanted share of the held-out objects; only then are two
        arms comparable.
        """
        return self.recall >= self.wanted_recall


class ReportMining(Value, frozen=True, kw_only=True):
    """What the mining after a round did; the fields are those of `Mining`, and `review` counts the
    images listed.
    """

    after_round: int
    pool: int
    trained_on: int
    floor: float
    fooled: int
    added: int
    hard_negatives: int
    review: int


class Report(Value, frozen=True, kw_only=True):
    """The numbers of the report, for machines. The page beside it is for people.

    `held_out_copies` counts the held-out images that are copies of images that train, and `copies`
    counts them by kind; the rounds left them out, so they are in no other number. `held_out` is the
    key of the held-out images in COCO's format, to which the detections of the comparisons belong.
    """

    input_digest: str = field(name="inputs")
    name: str
    namespace: str
    revision: str
    negset_version: str
    planned: int
    stored: int
    outcomes: dict[str, int]
    bytes: int
    excluded_classes: tuple[str, ...]
    remaining_classes: dict[str, int]
    licenses: tuple[License, ...]
    rounds: tuple[ReportRound, ...]
    comparisons: tuple[Comparison, ...]
    review: tuple[str, ...]
    page: str
    minings: tuple[ReportMining, ...] = ()
    held_out_negatives: int = 0
    held_out_positives: int = 0
    held_out_objects: int = 0
    held_out_copies: int = 0
    copies: CopyCounts = CopyCounts()
    held_out: str = ""
