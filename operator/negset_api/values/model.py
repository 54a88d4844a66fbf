"""Values of the model: what a round trained, and what a mining found."""

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
