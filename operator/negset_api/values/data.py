"""Values of the data: what was planned, and what was stored."""

from __future__ import annotations

import enum

from msgspec import field

from negset_api.values.value import ImageId, Value


class Box(Value, frozen=True, kw_only=True):
    """One object.

    Corners are normalised to [0, 1] of the image's height and width, as in the Object Detection
    API.
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
    """One image to download.

    `width` and `height` are those of the annotations, in pixels; 0 if the annotations have none.
    `stratum` is the stratum that it was drawn from. `reason` is a sentence on why it was chosen.
    `page` is the page where the image was published (attribution). Negatives have no `objects`.
    `proof` is one of `names.PROOFS`. It is empty for positives, and in plans of earlier versions.

    `pixels` is True if the corners of `objects` are in pixels, counted from the image's edge: the
    annotations have no size of the image. `orientation` says how to read an image that its EXIF
    turns: Upright, Ignore or, if empty, as the sizes prove.
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
    pixels: bool = False
    orientation: str = ""
    proof: str = ""


class ShardPlan(Value, frozen=True, kw_only=True):
    """One unit of work: consecutive images of the plan, written to one TFRecord file."""

    name: str
    split: str = field(name="subset")
    images: tuple[PlannedImage, ...]


class License(Value, frozen=True, kw_only=True):
    """A licence as the annotations describe it, and how many of the planned images have it."""

    id: int
    name: str
    url: str = ""
    images: int = 0


class Plan(Value, frozen=True, kw_only=True):
    """Which images, in which order, in which shards.

    `image_ids` are in plan order. The same seed always gives the same order, and a larger count
    only appends. `candidates` counts the images without the excluded classes that passed the
    filters. `rejected` counts the others by reason. `remaining_classes` counts the planned images
    that show a class, for each class that is annotated in them. `bytes_estimate` is the estimated
    size of the planned images. `proofs` counts the planned images by proof, the strongest first. It
    is empty in plans of earlier versions. `unplaced` counts the objects of excluded classes whose
    annotation names no image: any planned image may show them.
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
    proofs: dict[str, int] = field(default_factory=dict)
    unplaced: int = 0


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
    INVALID_ANNOTATION = "invalid_annotation"
    AMBIGUOUS_ORIENTATION = "ambiguous_orientation"
    IS_POSITIVE = "is_positive"

    @property
    def transient(self) -> bool:
        """Whether a later retry may help."""
        return self in _TRANSIENT


_TRANSIENT = frozenset({Outcome.RATE_LIMITED, Outcome.SERVER_ERROR, Outcome.TIMEOUT, Outcome.UNREACHABLE, Outcome.TRUNCATED})


class ImageResult(Value, frozen=True, kw_only=True):
    """How one image ended, and where its record is.

    `offset` and `length` are in bytes within the shard's file, with the record's framing. `sha256`,
    `bytes`, `width` and `height` describe the stored encoded image. They are empty or 0 if nothing
    was stored. `detail` describes the failure, for people. `rejected_boxes` counts the annotations
    of a positive that could not be used. `input_digest` is the digest of everything that decided
    the record's bytes. Another shard or revision with the same record can copy it instead of
    downloading the image. `orientation` is the EXIF orientation of a downloaded positive, if it is
    not 1. `turned` is True if the image was stored turned upright.
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
    orientation: int = 0
    turned: bool = False


class ShardResult(Value, frozen=True, kw_only=True):
    """The commit marker of a shard.

    `file` is the key of its TFRecord file. It is empty if no image was stored, because an input
    file without records would hang the Object Detection API's weighted mix.
    """

    name: str
    split: str = field(name="subset")
    input_digest: str = field(name="inputs")
    file: str
    sha256: str
    bytes: int
    results: tuple[ImageResult, ...]


class Records(Value, frozen=True, kw_only=True):
    """The negatives as they were stored.

    `files` are keys by split. `outcomes` add up to `planned`.
    """

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

    `classes` are in label-map order (ids from 1). `boxes` and `images` count by split,
    `rejected_boxes` by reason. `most_boxes` is the largest number of objects in one image.
    `left_out` counts what the source has and negset does not use, by kind. `turned` counts the
    images that were stored turned upright. `failures` is the key of a list of the images that were
    not stored.
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
    left_out: dict[str, int] = field(default_factory=dict)
    turned: int = 0
    failures: str = ""


class Labels(Value, frozen=True, kw_only=True):
    """The label datasets that were written: format → folder key.

    `unreadable` counts the stored images that could not be read, and are in none of them.
    `unreadable_examples` names the first few.
    """

    input_digest: str = field(name="inputs")
    folders: dict[str, str]
    images: int
    unreadable: int = 0
    unreadable_examples: tuple[str, ...] = ()


class CopyCounts(Value, frozen=True, kw_only=True):
    """How many held-out images are copies of an image that trains, by their kind.

    The encoded bytes of an exact copy are the same. A near copy shows the same image, but was saved
    again, resized, mirrored, cropped or brightened. They are excluded from every number, apart from
    the `measured_near` ones: near copies, without which nothing would be left to measure.
    """

    exact_negatives: int = 0
    near_negatives: int = 0
    exact_positives: int = 0
    near_positives: int = 0
    measured_near: int = 0

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

    A model may have learned them, so every round leaves them out of its measurement. `negatives`
    and `positives` are their ids. `held_out` counts the images that were compared, `others` those
    that they were compared with. `plain` counts the images of both that have too little detail to
    be recognised, or cannot be decoded. These are compared by their bytes only. `table` is the key
    of a table with one row per pair. `like_positives` counts the negatives, held out or not, that
    look like a positive, so that they may show its class.
    """

    input_digest: str = field(name="inputs")
    negatives: tuple[str, ...] = ()
    positives: tuple[str, ...] = ()
    counts: CopyCounts = CopyCounts()
    held_out: int = 0
    others: int = 0
    plain: int = 0
    table: str = ""
    like_positives: int = 0
