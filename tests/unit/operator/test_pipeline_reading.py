"""Reading the pipeline.config in the ConfigMap that a spec names."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from negset_api.revision import pipeline_digest
from negset_operator import pipelines
from negset_operator.facts import Pipeline
from negset_operator.kube.client import ApiError

CONTENT = b"model { }"
FIELD = "spec.training.pipelineConfig.configMap"
GONE = f"{FIELD}: expected the ConfigMap det"
SIZE = f"{FIELD}: expected 1 to 262144 bytes under the key pipeline.config of the ConfigMap det"


class Answering:
    """An API server with one ConfigMap, or one error."""

    def __init__(self, answer: dict[str, Any] | ApiError) -> None:
        self._answer = answer

    def get(self, _kind: object, _namespace: str, _name: str, as_type: Any) -> Any:
        if isinstance(self._answer, ApiError):
            raise self._answer
        return as_type(**self._answer)


READ: dict[str, tuple[dict[str, Any] | ApiError, str]] = {
    "one that is not there": (
        ApiError(404, "NotFound", ""),
        f"{GONE} in the namespace team-a, found none; create it: kubectl create configmap det --namespace team-a --from-file=pipeline.config",
    ),
    "one without the key": (
        {"data": {"model.config": "model { }"}},
        f"{FIELD}: expected the key pipeline.config in the ConfigMap det, found no such key; add it",
    ),
    "an empty one": (
        {"data": {"pipeline.config": ""}},
        f"{SIZE}, got 0; put your configuration there",
    ),
    "one that is too large": (
        {"data": {"pipeline.config": "x" * 262145}},
        f"{SIZE}, got 262145; put your configuration there",
    ),
    "one that the operator may not read": (
        ApiError(403, "Forbidden", ""),
        f"{FIELD}: the operator may not read the ConfigMap det; ask the administrator to let it get ConfigMaps",
    ),
}


@pytest.mark.parametrize(("answer", "problem"), READ.values(), ids=READ)
def test_the_problem_is_reported_with(answer, problem):
    assert pipelines.read(Answering(answer), "team-a", "det") == Pipeline(problem=problem)


@pytest.mark.parametrize("data", [{"data": {"pipeline.config": "model { }"}}, {"binary_data": {"pipeline.config": "bW9kZWwgeyB9"}}])
def test_text_and_bytes_are_read_alike(data):
    assert base64.b64encode(CONTENT) == b"bW9kZWwgeyB9"
    assert pipelines.read(Answering(data), "team-a", "det") == Pipeline(content=CONTENT, digest=pipeline_digest(CONTENT))


@pytest.mark.parametrize("name", ["../secrets/s3", "../../team-b/configmaps/det", "det?watch=true", "det/", "Det", "det\n", "."])
def test_a_name_that_is_none_is_never_asked_for(name):
    nobody: Any = None
    problem = pipelines.read(nobody, "team-a", name).problem
    assert (
        problem
        == f"{FIELD}: expected the name of a ConfigMap (lower case letters, digits, '-' and '.'), got something else; correct the spec"
    )


def test_an_api_server_in_trouble_says_nothing_about_the_dataset():
    with pytest.raises(ApiError):
        pipelines.read(Answering(ApiError(503, "ServiceUnavailable", "")), "team-a", "det")
