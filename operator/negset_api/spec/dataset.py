"""The whole resource."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

from negset_api import names, patterns
from negset_api.spec.download import Download
from negset_api.spec.fields import LONGEST_LABEL, LONGEST_NAME, MAX_ITEMS, ClassName, QueueName, Spec, rules
from negset_api.spec.output import Output
from negset_api.spec.positives import POSITIVES_RULES, Positives
from negset_api.spec.selection import Selection
from negset_api.spec.source import SOURCE_RULES, Source
from negset_api.spec.stores import MAX_STORES, SECRETS_RULES, STORE_RULES, StoreAccess
from negset_api.spec.training import _TRAINING_RULES, Training


class Ray(Spec, frozen=True, kw_only=True):
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Number of Ray workers that download images, or score negatives, at the same time. On a laptop they are processes.",
        ),
    ] = 2


class NegativeDatasetSpec(Spec, frozen=True, kw_only=True):
    source: Annotated[
        Source,
        Meta(
            description="The images to select negatives from. Exactly one kind of source.",
            extra_json_schema={"required": [], **SOURCE_RULES},
        ),
    ]
    exclude_classes: Annotated[
        tuple[ClassName, ...],
        Meta(
            min_length=1,
            max_length=MAX_ITEMS,
            description="The classes, or supercategories, that you train. "
            "An image with any annotation of any of them, crowd regions included, is not a negative. "
            "Case, width, spaces, hyphens and underscores make no difference, and a supercategory stands for everything below it. "
            "A remaining class that may be one of them, such as people for person, is refused unless `selection.allowClasses` has it.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    selection: Annotated[Selection, Meta(description="How many negatives to select, and which.")]
    download: Annotated[Download, Meta(description="How images are downloaded and checked.")] = field(default_factory=Download)
    output: Annotated[Output, Meta(description="Where the dataset is stored, and in which formats.")]
    stores: Annotated[
        tuple[Annotated[StoreAccess, Meta(extra_json_schema=STORE_RULES)], ...],
        Meta(
            max_length=MAX_STORES,
            description="How object stores are reached, by the beginning of a URL: public buckets, requester pays, another endpoint or "
            "other credentials than those of the output.",
            extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["prefix"], **SECRETS_RULES},
        ),
    ] = ()
    positives: Annotated[
        Positives | None,
        Meta(
            description="Images with objects to train on. Exactly one of coco, voc, yolo and tfrecords.", extra_json_schema=POSITIVES_RULES
        ),
    ] = None
    training: Annotated[
        Training | None,
        Meta(
            description="Train a detector with the negatives, and measure their effect. If absent, only the dataset is created.",
            extra_json_schema=_TRAINING_RULES,
        ),
    ] = None
    ray: Annotated[Ray, Meta(description="The size of the Ray clusters that download and mine.")] = field(default_factory=Ray)
    queue_name: Annotated[
        QueueName | None,
        Meta(
            description="Name of the Kueue LocalQueue that admits the jobs of this dataset. Only the job that deletes the data is not queued."
        ),
    ] = None
    suspend: Annotated[
        bool, Meta(description="If true, all jobs stop at a safe point. If set to false again, they continue without losing work.")
    ] = False
    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Meta(
            description="What happens to the data in the output when this object is deleted. Retain keeps it; "
            "Delete deletes the revisions that only this object created."
        ),
    ] = "Retain"


_NO_PROOF = "!has(self.selection.minimumProof)"
_INCLUDED = "(!has(self.selection.unannotated) || self.selection.unannotated == 'Include')"

SPEC_RULES = rules(
    (
        "has(self.training) == has(self.positives)",
        "training and positives must come together: a detector is not trained on negatives alone, and positives are for training",
    ),
    (
        f"!has(self.source.images) || (({_NO_PROOF} || self.selection.minimumProof == '{names.USER_WORD}') && {_INCLUDED})",
        "selection.minimumProof must be UserWord or absent with source.images: images without annotations have no other proof than your word",
    ),
)


NAME_RULE = (
    f"self.metadata.name.size() <= {LONGEST_LABEL} && self.metadata.name.matches('{patterns.LABEL}')",
    f"must be a DNS label: lower case letters, digits and '-', starting and ending with a letter or digit, at most {LONGEST_LABEL} characters",
)
"""For new objects only: a name cannot be changed, and 0.1.0 admitted longer ones."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The part of Kubernetes' object metadata that negset reads."""

    name: Annotated[str, Meta(max_length=LONGEST_NAME, pattern=patterns.LABEL)]
    namespace: Annotated[str, Meta(max_length=LONGEST_LABEL, pattern=patterns.LABEL)] = names.DEFAULT_NAMESPACE
    uid: str = ""


class NegativeDataset(msgspec.Struct, frozen=True, kw_only=True):
    """One NegativeDataset as a user writes it."""

    metadata: Metadata
    spec: NegativeDatasetSpec
