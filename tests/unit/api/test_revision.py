"""Which changes of a spec are a new revision."""

from __future__ import annotations

import pytest
from tests.unit.api.manifests import TRAINED, with_field

from negset_api import validation
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
    "a default spelt out": ("spec.selection.strategy", "Stratified"),
}
NEW = {
    "more pictures": ("spec.selection.count", 2000),
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
