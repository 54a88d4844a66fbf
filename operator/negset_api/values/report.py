"""Values of the report."""

from __future__ import annotations

from msgspec import field

from negset_api.values.data import CopyCounts, License
from negset_api.values.value import Value

Interval = tuple[float, float]
"""A 95 % confidence interval: low and high."""


class ReportRound(Value, frozen=True, kw_only=True):
    """One round of the arm `Mined`.

    `threshold`, `recall` and the rates are those of the round's `Measurement`. `steps` are the
    round's own. `total_steps` are all steps that the model was trained for. `hard_negatives` counts
    all images that earlier minings added. `difference_interval` and
    `average_precision_difference_interval` are of the last round's value minus this round's. They
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
        """Whether the model reaches the wanted recall. Only then can two rounds be compared."""
        return self.recall >= self.wanted_recall


class ClassNumbers(Value, frozen=True, kw_only=True):
    """The numbers of a model for one class.

    `objects` counts its objects on held-out positives. `recall` is the share of them that is found
    at the model's threshold. `average_precision_50` is AP at IoU 0.5. `false_positives` counts its
    detections on held-out negatives at the threshold.
    """

    name: str
    objects: int
    recall: float
    average_precision_50: float
    false_positives: int


class Comparison(Value, frozen=True, kw_only=True):
    """One arm at the end of all its steps.

    `name` is `Mined`, `RandomNegatives` or `NoNegatives`. `steps` are all steps that the model was
    trained for, the same for all arms. `negatives` counts the different negatives that it was
    trained on. `false_positives_per_image_interval` has the true rate with 95 % confidence
    (bootstrap over the held-out images).

    The other intervals are paired comparisons with `Mined`. `difference_interval` is of the rate of
    `Mined` minus this arm's. `change_interval` is of the same relative to this arm's rate: -0.5 is
    half of it. `average_precision_difference_interval` is of the average precisions. They are
    absent for `Mined` itself. `change_interval` is also absent if this arm's rate may be 0.

    The next numbers are of the held-out positives at the threshold. `hits` counts the detections
    that find an object. `duplicates` counts those of an object that a better detection has found.
    `wrong_class` and `wrong_place` count those that find no object of their class. `misses` counts
    the objects that are not found.

    `false_positives` counts the detections on the held-out negatives. `false_positives_on` counts
    them by the class that is annotated at that position, or "" if none is. It is empty if the other
    annotations are not known.
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
    false_positives_on: dict[str, int] = field(default_factory=dict)
    classes: tuple[ClassNumbers, ...] = ()
    detections: str = ""

    @property
    def recall_reached(self) -> bool:
        """Whether the model reaches the wanted recall. Only then can two arms be compared."""
        return self.recall >= self.wanted_recall


class ReportMining(Value, frozen=True, kw_only=True):
    """The result of the mining after a round.

    The fields are those of `Mining`. `hard_negatives` is its `hard_images`, and `review` counts the
    listed images.
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

    `held_out_copies` counts the held-out images that are copies of images that train. `copies`
    counts them by kind. The rounds left them out, so they are in no other number. `held_out` is the
    key of the held-out images in COCO's format. The detections of the comparisons belong to them.
    `positive_outcomes`, `rejected_boxes` and `left_out` are those of `Positives`.
    `proofs` counts the planned images by the proof that they are negative. `like_positives` counts
    the negatives that look like a positive.
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
    positive_outcomes: dict[str, int] = field(default_factory=dict)
    rejected_boxes: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    proofs: dict[str, int] = field(default_factory=dict)
    like_positives: int = 0
