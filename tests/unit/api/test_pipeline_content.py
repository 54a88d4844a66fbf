"""The content of the ConfigMap with the pipeline.config counts like a field of the spec."""

from __future__ import annotations

import pytest
from tests.unit.api.manifests import DATA_ONLY, TRAINED, with_field

from negset_api import reads, validation
from negset_api.revision import pipeline_digest, revision
from negset_api.spec import NegativeDatasetSpec

ONE, OTHER = pipeline_digest(b"model { }"), pipeline_digest(b"model { ssd { } }")


def spec(manifest: dict) -> NegativeDatasetSpec:
    return validation.parse(manifest).spec


def own() -> NegativeDatasetSpec:
    return spec(with_field(TRAINED, "spec.training.pipelineConfig", {"configMap": "det"}))


def test_other_content_is_another_revision() -> None:
    assert len({revision(own()), revision(own(), ONE), revision(own(), OTHER)}) == 3


def test_other_content_changes_the_steps_that_read_it_and_those_after_them_and_no_download() -> None:
    before, after = reads.digests(own(), ONE), reads.digests(own(), OTHER)
    assert {role for role in before if before[role] != after[role]} == {"check", "train-1", "mine-1", "train-2"}


# Computed before the content counted. With another value, an upgrade would repeat all work.
PRESENT = {
    "a dataset without training": (DATA_ONLY, "20459d6dea20", {"data": "1-22b0dc04b810"}),
    "a preset": (
        TRAINED,
        "cfd6d492e349",
        {
            "check": "1-9893e8730523",
            "data": "1-59746f366a5a",
            "train-1": "1-888c684f5d74",
            "mine-1": "1-888c684f5d74",
            "train-2": "1-888c684f5d74",
        },
    ),
}


@pytest.mark.parametrize(("manifest", "folder", "digests"), PRESENT.values(), ids=PRESENT)
def test_without_a_config_map_every_digest_is_what_it_was(manifest: dict, folder: str, digests: dict[str, str]) -> None:
    for pipeline in ("", ONE):
        assert revision(spec(manifest), pipeline) == folder
        assert reads.digests(spec(manifest), pipeline) == digests
