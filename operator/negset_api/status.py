"""The status of a `NegativeDataset`: counters, URLs and conditions.

Lists of images are in the bucket, never in etcd.

A Kubernetes status may be absent at any time, so every field has a default. Decisions use only
`completed`, and the fact that `progress.updatedAt` has changed.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class StatusType(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Base of the status' types.

    Unknown fields are ignored: a newer operator may have written them.
    """


# A decimal number as text: the API conventions forbid floats.
Decimal = Annotated[str, Meta(max_length=64)]
Revision = Annotated[str, Meta(max_length=64)]
OutputUrl = Annotated[str, Meta(max_length=4096)]


class Condition(StatusType, frozen=True, kw_only=True):
    """A Kubernetes condition (meta/v1 Condition)."""

    type: Annotated[str, Meta(max_length=316, description="Type of the condition, such as Ready, Stalled or DataStored.")]
    status: Annotated[Literal["True", "False", "Unknown"], Meta(description="Whether the condition holds: True, False or Unknown.")]
    reason: Annotated[str, Meta(max_length=1024, description="Reason in CamelCase, for programs.")]
    message: Annotated[str, Meta(max_length=32768, description="Reason in a sentence, for people, and what to do if action is needed.")]
    last_transition_time: Annotated[
        str, Meta(description="When the status of the condition last changed.", extra_json_schema={"format": "date-time"})
    ]
    observed_generation: Annotated[int, Meta(ge=0, description="Generation of the spec that the condition describes.")] = 0


class ImageCounts(StatusType, frozen=True, kw_only=True):
    planned: Annotated[int, Meta(description="Number of images in the plan.")] = 0
    stored: Annotated[int, Meta(description="Number of images whose record is written.")] = 0
    failed: Annotated[int, Meta(description="Number of images that ended in any other outcome.")] = 0
    transient: Annotated[
        int,
        Meta(
            description="How many of the failed images had a transient error, once the data is stored. "
            "Before the first training, a new value of the annotation negset.dev/retry requests them again."
        ),
    ] = 0


class ImagesStatus(ImageCounts, frozen=True, kw_only=True):
    bytes: Annotated[int, Meta(description="Size of the stored images in bytes.")] = 0


class ProgressStatus(StatusType, frozen=True, kw_only=True):
    percent: Annotated[int, Meta(description="Percentage of the current stage that is done.")] = 0
    seconds_left: Annotated[int, Meta(description="Estimated seconds until the current stage is done.")] = 0
    step: Annotated[int, Meta(description="Training step that was done last.")] = 0
    loss: Annotated[Decimal, Meta(description="Training loss at that step, as a decimal number.")] = ""
    updated_at: Annotated[
        str,
        Meta(description="When the job last made progress, by its own clock.", extra_json_schema={"format": "date-time"}),
    ] = ""


class RoundStatus(StatusType, frozen=True, kw_only=True):
    round: Annotated[int, Meta(description="Number of the round, from 1.")]
    false_positives_per_image: Annotated[Decimal, Meta(description="False positives per held-out negative, as a decimal number.")] = ""
    recall: Annotated[Decimal, Meta(description="Recall on held-out positives, as a decimal number.")] = ""
    average_precision: Annotated[Decimal, Meta(description="COCO's average precision on held-out positives, as a decimal number.")] = ""


class Numbers(StatusType, frozen=True, kw_only=True):
    """The jobs' fields of `Status`, as they are at the end of their work."""

    revision: Annotated[Revision, Meta(description="Revision that the numbers are of.")] = ""
    images: Annotated[ImagesStatus | None, Meta(description="As `status.images`.")] = None
    positives: Annotated[ImageCounts | None, Meta(description="As `status.positives`.")] = None
    rounds: Annotated[
        tuple[RoundStatus, ...],
        Meta(max_length=16, description="As `status.rounds`.", extra_json_schema={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    false_positives_per_image: Annotated[Decimal, Meta(description="As `status.falsePositivesPerImage`.")] = ""


class Completed(StatusType, frozen=True, kw_only=True):
    uid: Annotated[str, Meta(max_length=64, description="The uid of the object that the steps were done for.")] = ""
    revision: Annotated[Revision, Meta(description="Revision that the steps created.")] = ""
    url: Annotated[OutputUrl, Meta(description="URL of that revision.")] = ""
    steps: Annotated[
        tuple[Annotated[str, Meta(max_length=63)], ...],
        Meta(max_length=64, description="Steps that are done, by role.", extra_json_schema={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    pipeline: Annotated[
        str, Meta(max_length=64, description="Digest of the pipeline.config that the steps used, if the spec names a ConfigMap.")
    ] = ""
    retry: Annotated[
        str, Meta(max_length=64, description="Digest of the last value of the annotation negset.dev/retry that the stored data answers.")
    ] = ""
    numbers: Annotated[
        Numbers | None,
        Meta(
            description="What was measured, once all steps are done. If an edit is reverted, the operator writes the numbers into the status again."
        ),
    ] = None


class Status(StatusType, frozen=True, kw_only=True):
    observed_generation: Annotated[int, Meta(description="Generation of the spec that this status describes.")] = 0
    stage: Annotated[str, Meta(max_length=1024, description="What is being done now, for people.")] = ""
    revision: Annotated[Revision, Meta(description="Revision of the dataset that the spec describes.")] = ""
    url: Annotated[OutputUrl, Meta(description="URL of that revision.")] = ""
    report_url: Annotated[OutputUrl, Meta(description="URL of the report, once it is written.")] = ""
    completed: Annotated[
        Completed | None,
        Meta(
            description="Steps that are done. Their jobs may be deleted: a step is not done again while it is recorded for this uid and url."
        ),
    ] = None
    runs: Annotated[
        tuple[Annotated[str, Meta(max_length=63)], ...],
        Meta(
            max_length=64,
            description="Runs whose jobs may write to this status: the run of the current spec, and earlier runs that an edit did not stop. "
            "A job has its run in the label negset.dev/run. "
            "Jobs of other runs drop their writes.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    images: Annotated[ImagesStatus | None, Meta(description="Counts of the download of the negatives.")] = None
    positives: Annotated[
        ImageCounts | None, Meta(description="Counts of the positives, once they are stored. Absent if they come as TFRecords.")
    ] = None
    progress: Annotated[ProgressStatus | None, Meta(description="Progress of the current stage.")] = None
    rounds: Annotated[
        tuple[RoundStatus, ...],
        Meta(
            max_length=16,
            description="What was measured after each training round.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    false_positives_per_image: Annotated[
        Decimal, Meta(description="False positives per held-out negative after the last completed round, as a decimal number.")
    ] = ""
    conditions: Annotated[
        tuple[Condition, ...],
        Meta(
            max_length=32,
            description="Ready is the summary. Reconciling and Stalled are present only while they are true.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = ()
