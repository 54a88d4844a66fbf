"""Too many failed images: InvalidInput if a retry cannot help, else WorkFailed."""

from __future__ import annotations

import pytest

from negset_api import decoding
from negset_api.errors import InvalidInput, NegsetError, WorkFailed
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import ImageResult, Outcome, ShardResult
from negset_jobs.download.stage import check_budget, may_improve


def shard(*outcomes: tuple[Outcome, int]) -> ShardResult:
    images = [ImageResult(image_id=number, outcome=outcome, detail="said so") for outcome, count in outcomes for number in range(count)]
    return ShardResult(name="train-00000", split="train", input_digest="", file="", sha256="", bytes=0, results=tuple(images))


def allowing(percent: int) -> NegativeDatasetSpec:
    spec = {
        "source": {"coco": {"annotations": "a.json"}},
        "excludeClasses": ["person"],
        "selection": {"count": 1},
        "download": {"maxFailedPercent": percent},
        "output": {"url": "out"},
    }
    return decoding.convert(spec, NegativeDatasetSpec)


@pytest.mark.parametrize(
    ("outcomes", "allowed", "error"),
    [
        pytest.param([(Outcome.STORED, 95), (Outcome.NOT_FOUND, 5)], 5, None, id="as many as are allowed"),
        pytest.param([(Outcome.STORED, 94), (Outcome.NOT_FOUND, 6)], 5, InvalidInput, id="missing images stay missing"),
        pytest.param([(Outcome.STORED, 94), (Outcome.TIMEOUT, 6)], 5, WorkFailed, id="a slow server may be faster later"),
        pytest.param(
            [(Outcome.STORED, 90), (Outcome.NOT_FOUND, 5), (Outcome.TIMEOUT, 5)],
            5,
            WorkFailed,
            id="without the transient errors it would be enough",
        ),
        pytest.param(
            [(Outcome.STORED, 90), (Outcome.NOT_FOUND, 6), (Outcome.TIMEOUT, 4)],
            5,
            InvalidInput,
            id="the permanent ones alone are too many",
        ),
        pytest.param([(Outcome.NOT_FOUND, 3)], 100, InvalidInput, id="nothing at all, for good"),
        pytest.param([(Outcome.NOT_FOUND, 3), (Outcome.SERVER_ERROR, 1)], 100, WorkFailed, id="nothing at all, perhaps not for good"),
    ],
)
def test_the_budget(outcomes: list[tuple[Outcome, int]], allowed: int, error: type[NegsetError] | None) -> None:
    spec = allowing(allowed)
    if error is None:
        check_budget([shard(*outcomes)], spec, "spec.download.maxFailedPercent")
        return
    with pytest.raises(NegsetError, match=r"could( not)? be stored, spec\.download\.maxFailedPercent allows") as raised:
        check_budget([shard(*outcomes)], spec, "spec.download.maxFailedPercent")
    assert type(raised.value) is error


def test_negatives_that_are_all_positives_are_a_contradiction_and_no_failed_downloads() -> None:
    check_budget([shard((Outcome.STORED, 1), (Outcome.IS_POSITIVE, 5))], allowing(0), "spec.download.maxFailedPercent")
    with pytest.raises(InvalidInput, match=r"^spec\.source: .* each of the 6 planned images"):
        check_budget([shard((Outcome.IS_POSITIVE, 6))], allowing(100), "spec.download.maxFailedPercent")


@pytest.mark.parametrize(
    ("outcomes", "allowed", "again"),
    [
        pytest.param({"stored": 100}, 0, False, id="nothing failed"),
        pytest.param({"stored": 95, "not_found": 5}, 5, False, id="permanent failures that are allowed stay"),
        pytest.param({"stored": 95, "not_found": 5}, 4, True, id="the spec now allows fewer"),
        pytest.param({"stored": 99, "timeout": 1}, 5, True, id="a transient failure, although it is allowed"),
        pytest.param({"not_found": 3}, 100, False, id="nothing at all, which is allowed"),
    ],
)
def test_when_a_stage_that_is_done_requests_images_again(outcomes: dict[str, int], allowed: int, *, again: bool) -> None:
    assert may_improve(outcomes, allowing(allowed)) is again
