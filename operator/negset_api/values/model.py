"""Values of the models: the result of a training round, and of a mining."""

from __future__ import annotations

from msgspec import field

from negset_api.values.value import Value


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

    On a negative, each of them is a false positive. An `unreadable` image could not be decoded, and
    has none.
    """

    image_id: str
    detections: tuple[Detection, ...]
    unreadable: bool = False

    @property
    def score(self) -> float:
        """The score of the best detection; 0 if there is none."""
        return self.detections[0].score if self.detections else 0.0


class LossPoint(Value, frozen=True, kw_only=True):
    """The losses and the learning rate at one step."""

    step: int
    total: float
    classification: float
    localization: float
    learning_rate: float = 0.0


class Measurement(Value, frozen=True, kw_only=True):
    """The measurement of a model on the held-out images.

    `wanted_recall` is the recall of the spec. `threshold` is the highest score at which that share
    of the held-out objects is found (IoU ≥ 0.5, same class). `recall` is the share that is found.
    If no threshold reaches `wanted_recall`, it is the highest recall of all.
    `false_positives_per_image` counts the detections at or above `threshold` on the held-out
    negatives, per image. `average_precision` is COCO's AP over IoU 0.50:0.95 on the held-out
    positives, `average_precision_50` is AP at IoU 0.5.
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

    `steps` are its own. `total_steps` are all steps that the model was trained for. `negatives`
    counts the different negatives that were in the mix. `detections` is the key of the detections
    on the held-out images. `worst` are the held-out negatives with the highest scores, for people.
    `unreadable` counts the records that could not be read and were skipped, in training and in
    measuring. `unreadable_examples` names the first few. `saved_model` is the folder of the
    exported model. It is empty if the model is not exported (`stages.is_exported`).
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
    """The negatives on which the model of round `number` has false positives.

    `pool` counts the scored negatives that it was not trained on, `trained_on` those that it was
    trained on. `floor` is the score from which a negative can be hard. `fooled` counts the
    negatives that reach the round's own `threshold`.

    `hard` are the keys of the files with all hard negatives so far. `hard_images` counts them, and
    `added` counts those of this mining. `random` are the keys of as many negatives drawn at random,
    for the arm that trains on them instead. `negatives` are the keys of the other negatives that
    the next round trains on. Without a pool (`pool` is 0), the hard negatives are among these.

    `review` lists images that were trained on as negatives and still get a high score. They may
    show the object, and are left out until a person has reviewed them. `review_declined` counts
    images with such a score that were too many for a review. `hardest` are the first few that this
    mining added, for people. `scores` is the key of a table with one row per scored negative.
    `unreadable` counts the records that could not be read and have no score, and
    `unreadable_examples` names the first few.
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
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()

    @property
    def scored(self) -> int:
        """How many negatives were scored."""
        return self.pool + self.trained_on

    @property
    def different_images(self) -> int:
        """How many different negatives the next round trains on.

        Without a pool, the hard negatives are among the others.
        """
        return self.negative_images + (self.hard_images if self.pool else 0) or self.hard_images
