"""Values of the report."""

from __future__ import annotations

from msgspec import field

from negset_api.values.data import CopyCounts, License
from negset_api.values.value import Value

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
    false_positives_on: dict[str, int] = field(default_factory=dict)
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
