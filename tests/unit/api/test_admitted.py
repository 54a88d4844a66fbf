"""Stored objects, read by a negset that is older or newer than the CRD."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.api.manifests import TRAINED, with_field

from negset_api import decoding, reads, revision, validation
from negset_api.errors import InvalidSpec
from negset_api.spec import NegativeDatasetSpec

AHEAD: dict[str, tuple[str, Any]] = {
    "a field that only a newer negset knows": ("spec.thumbnails", 64),
    "a group of fields": ("spec.download.cache", {"url": "s3://cache", "days": 3}),
    "a field deep inside": ("spec.training.hardNegativeMining.curriculum", ["easy", "hard"]),
}
NOT_UNDERSTOOD: dict[str, tuple[str, Any]] = {
    "a value that only a newer negset knows": ("spec.selection.strategy", "Clustered"),
    "a field of another type": ("spec.training.steps", {"perRound": [100, 200]}),
    "a kind of source that only a newer negset knows": ("spec.source", {"lvis": {"annotations": "s3://x"}}),
    "a class that a newer negset lets be empty": ("spec.excludeClasses", [""]),
}


@pytest.mark.parametrize("case", AHEAD)
def test_an_unknown_field_of_an_admitted_object_is_skipped_and_changes_no_digest(case: str) -> None:
    known = validation.parse(TRAINED).spec
    spec = validation.parse_admitted(with_field(TRAINED, *AHEAD[case])).spec
    assert spec == known
    assert revision.revision(spec) == revision.revision(known)
    assert reads.digests(spec) == reads.digests(known)


@pytest.mark.parametrize("case", AHEAD)
def test_an_unknown_field_that_a_person_wrote_is_a_mistake(case: str) -> None:
    path, value = AHEAD[case]
    with pytest.raises(InvalidSpec) as refused:
        validation.parse(with_field(TRAINED, path, value))
    assert [problem.path for problem in refused.value.problems] == [path]


@pytest.mark.parametrize("case", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_refused_in_an_admitted_object_too(case: str) -> None:
    path, value = NOT_UNDERSTOOD[case]
    with pytest.raises(InvalidSpec) as refused:
        validation.parse_admitted(with_field(TRAINED, path, value))
    assert all(problem.path.startswith(path) for problem in refused.value.problems)


@pytest.mark.parametrize("name", ["a" * 254, "../x", "street.v2", "street\n"])
def test_no_object_of_any_release_had_this_name_and_a_folder(name: str) -> None:
    with pytest.raises(InvalidSpec, match=r"^metadata\.name: "):
        validation.parse_admitted(with_field(TRAINED, "metadata.name", name))


def test_a_kind_of_source_that_is_not_known_is_said_by_its_field() -> None:
    with pytest.raises(InvalidSpec, match=r"^spec\.source: .*: must have exactly one kind of source: coco, images or openImages$"):
        validation.parse_admitted(with_field(TRAINED, "spec.source", {"lvis": {"annotations": "s3://x"}}))


@pytest.mark.parametrize("source", [{}, {"lvis": {"annotations": "s3://x"}}, {"coco": {"annotations": "a"}, "images": {"urls": ["b"]}}])
def test_a_source_without_exactly_one_known_kind_is_not_converted(source: dict[str, Any]) -> None:
    """The operator converts admitted objects without the rules of the schema."""
    with pytest.raises(msgspec.ValidationError, match="exactly one kind of source"):
        decoding.convert({**TRAINED["spec"], "source": source}, NegativeDatasetSpec)


# Values that an earlier CRD accepted, and that this one refuses in a new object.
STORED: dict[str, tuple[str, Any]] = {
    "a name with more than 63 characters": ("metadata.name", "a" * 64),
    "an empty queue": ("spec.queueName", ""),
    "an empty Secret": ("spec.output.secretName", ""),
    "an empty checkpoint": ("spec.training.fineTuneCheckpoint", ""),
    "an empty label map": ("spec.positives.labelMap", ""),
    "a queue with capitals": ("spec.queueName", "Team-A"),
    "a Secret with an underscore": ("spec.output.secretName", "s3_keys"),
    "a licence twice": ("spec.selection.licenses", [1, 1]),
}


@pytest.mark.parametrize("case", STORED)
def test_what_an_earlier_crd_admitted_is_read_as_it_was(case: str) -> None:
    stored = with_field(TRAINED, *STORED[case])
    assert validation.parse_admitted(stored).spec == decoding.convert(stored["spec"], NegativeDatasetSpec)


@pytest.mark.parametrize("case", STORED)
def test_a_person_may_not_write_it_any_more(case: str) -> None:
    path, value = STORED[case]
    with pytest.raises(InvalidSpec) as refused:
        validation.parse(with_field(TRAINED, path, value))
    assert all(problem.path.startswith(path) for problem in refused.value.problems)


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({"negset.dev/revision": "0123456789ab"}, "0123456789ab", id="the operator's value"),
        pytest.param({"negset.dev/revision": "../../elsewhere"}, "", id="what is no revision is not believed"),
        pytest.param({}, "", id="a manifest that no operator wrote"),
        pytest.param(None, "", id="no annotations at all"),
    ],
)
def test_the_revision_of_a_manifest(annotations: dict[str, str] | None, expected: str) -> None:
    assert validation.annotated_revision({**TRAINED, "metadata": {"name": "x", "annotations": annotations}}) == expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        pytest.param({"negset.dev/run": "3fa9c1d2"}, "3fa9c1d2", id="the operator's value"),
        pytest.param({"negset.dev/run": "../x"}, "", id="what is no run is not believed"),
        pytest.param({"negset.dev/revision": "0123456789ab"}, "", id="a manifest of negset 0.1.0"),
    ],
)
def test_the_run_of_a_manifest(annotations: dict[str, str], expected: str) -> None:
    assert validation.annotated_spec_hash({**TRAINED, "metadata": {"name": "x", "annotations": annotations}}) == expected
