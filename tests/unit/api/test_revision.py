"""Which edits of a spec give a new revision."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from tests.unit.api.manifests import DATA_ONLY, TRAINED, with_field

from negset_api import reads, validation
from negset_api.revision import revision

SAME = {
    "more workers": ("spec.ray.workers", 8),
    "another queue": ("spec.queueName", "team-a-gpu"),
    "suspended": ("spec.suspend", True),
    "kept or deleted at the end": ("spec.deletionPolicy", "Delete"),
    "another bucket": ("spec.output.url", "s3://team-b/negatives"),
    "other credentials": ("spec.output.secretName", "s3"),
    "fewer earlier revisions": ("spec.output.revisionHistoryLimit", 1),
    "more patience": ("spec.download.attempts", 9),
    "a larger error budget": ("spec.download.maxFailedPercent", 50),
    "a GPU": ("spec.training.gpusPerWorker", 1),
    "several trainings at the same time": ("spec.training.maxParallel", 2),
    "GPUs of another maker": ("spec.training.gpuResourceName", "amd.com/gpu"),
    "a default spelt out": ("spec.selection.strategy", "Stratified"),
}
NEW = {
    "more images": ("spec.selection.count", 2000),
    "another seed": ("spec.selection.seed", 1),
    "another class": ("spec.excludeClasses", ["person"]),
    "a stricter check": ("spec.download.verify", "Decode"),
    "more steps": ("spec.training.steps", 1),
    "a comparison": ("spec.training.comparisons", ["NoNegatives"]),
    "another format": ("spec.output.formats", ["TFRecord", "YOLO"]),
}


@pytest.mark.parametrize("case", SAME)
def test_the_revision_stays_with(case: str) -> None:
    assert revision(validation.parse(with_field(TRAINED, *SAME[case])).spec) == revision(validation.parse(TRAINED).spec)


@pytest.mark.parametrize("case", NEW)
def test_the_revision_changes_with(case: str) -> None:
    assert revision(validation.parse(with_field(TRAINED, *NEW[case])).spec) != revision(validation.parse(TRAINED).spec)


def test_the_revision_is_the_same_on_every_machine() -> None:
    assert revision(validation.parse(TRAINED).spec) == "cfd6d492e349"


def with_fields(fields: dict[str, Any]) -> dict[str, Any]:
    return functools.reduce(lambda manifest, field: with_field(manifest, *field), fields.items(), TRAINED)


IN_THIS_ORDER = {
    "spec.excludeClasses": ["person", "car", "bus"],
    "spec.selection.licenses": [4, 1],
    "spec.output.formats": ["YOLO", "COCO"],
    "spec.training.comparisons": ["RandomNegatives", "NoNegatives"],
    "spec.training.hardNegativeMining.confirmedNegatives": ["139", "7"],
    "spec.training.gpusPerWorker": 2,
}
# The revision and the digests of some steps, as release 0.1.0 computed them. Lists are digested in
# their order even if it has no meaning, or these values would change.
RELEASED: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "data alone": (DATA_ONLY, "20459d6dea20", {"data": "1-22b0dc04b810"}),
    "training": (TRAINED, "cfd6d492e349", {"check": "1-9893e8730523", "data": "1-59746f366a5a", "mine-1": "1-888c684f5d74"}),
    "lists in an order of their own": (
        with_fields(IN_THIS_ORDER),
        "969806660edc",
        {"check": "1-04f3e562b66d", "data": "1-445ebb7631c3", "mine-1": "1-59971f8fb951", "train-2": "1-14fdf99392a8"},
    ),
}


@pytest.mark.parametrize(("manifest", "folder", "steps"), RELEASED.values(), ids=RELEASED)
def test_what_is_stored_keeps_its_revision_and_its_digests(manifest: dict[str, Any], folder: str, steps: dict[str, str]) -> None:
    spec = validation.parse(manifest).spec
    assert revision(spec) == folder
    assert {role: digest for role, digest in reads.digests(spec).items() if role in steps} == steps
