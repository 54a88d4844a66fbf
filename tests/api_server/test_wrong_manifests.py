"""A real API server refuses every invalid manifest that `negset validate` refuses, and no other.

It names the same field with the same message, except for those in `OTHER_MESSAGES`.
"""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from kubernetes.client import ApiException, CustomObjectsApi
from tests.unit.api.manifests import DATA_ONLY, TRAINED
from tests.unit.api.test_validation import RIGHT, WRONG

from negset_api import names, validation
from negset_api.errors import InvalidSpec, Problem

# The API machinery itself checks what is outside the schema: it does not look up an unknown kind,
# and does not read a name that is not a string. The namespace belongs to the test.
ELSEWHERE = ("(root)", "apiVersion", "kind", "metadata.namespace")
NO_NAME = "YAML read the name as a number"
# Go has other messages for an unknown field, for lengths, and for an object without a name.
OTHER_MESSAGES = ("unknown field", "should have at", "Required value: name is required")


def problem_of(manifest: Any) -> Problem:
    with pytest.raises(InvalidSpec) as caught:
        validation.parse(manifest)
    (problem,) = caught.value.problems
    return problem


CASES = [case for case, (manifest, _) in WRONG.items() if case != NO_NAME and not problem_of(manifest).path.startswith(ELSEWHERE)]


def create(api_server: Any, namespace: str, manifest: dict[str, Any]) -> None:
    document = copy.deepcopy(manifest)
    document["metadata"]["namespace"] = namespace
    CustomObjectsApi(api_server.client).create_namespaced_custom_object(
        names.GROUP, names.VERSION, namespace, names.PLURAL, document, field_validation="Strict"
    )


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_refuses(case: str, api_server: Any, namespace: str) -> None:
    manifest = WRONG[case][0]
    problem = problem_of(manifest)
    with pytest.raises(ApiException) as refused:
        create(api_server, namespace, manifest)
    assert refused.value.status in {400, 422}
    said = json.loads(refused.value.body)["message"]
    assert problem.path in said
    if not problem.message.startswith(OTHER_MESSAGES):
        assert problem.message in said


@pytest.mark.parametrize("case", RIGHT)
def test_the_api_server_takes(case: str, api_server: Any, namespace: str) -> None:
    create(api_server, namespace, RIGHT[case])


@pytest.mark.parametrize("manifest", [DATA_ONLY, TRAINED], ids=["a dataset", "a dataset with training"])
def test_the_api_server_accepts(manifest: dict[str, Any], api_server: Any, namespace: str) -> None:
    create(api_server, namespace, manifest)
