"""Every mistake that `negset validate` finds in a spec is refused by a real API server at apply, for the same field and, where a CEL rule says it, in the same words."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from kubernetes.client import ApiException, CustomObjectsApi
from tests.unit.api.manifests import DATA_ONLY, TRAINED
from tests.unit.api.test_validation import WRONG

from negset_api import names, validation
from negset_api.errors import InvalidSpec, Problem
from negset_api.schema import resource_schema

# What lies outside the schema is the API machinery's business: it does not even look up a kind that is not there.
SPECS = [case for case, (_, expected) in WRONG.items() if not expected.startswith(("(root)", "apiVersion", "kind", "metadata"))]


def rules(schema: dict[str, Any]) -> set[str]:
    """The messages of every CEL rule in the schema."""
    found = {rule["message"] for rule in schema.get("x-kubernetes-validations", ())}
    for child in (*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])):
        found |= rules(child)
    return found


def create(api_server: Any, namespace: str, manifest: dict[str, Any]) -> None:
    document = copy.deepcopy(manifest)
    document["metadata"]["namespace"] = namespace
    CustomObjectsApi(api_server.client).create_namespaced_custom_object(
        names.GROUP, names.VERSION, namespace, names.PLURAL, document, field_validation="Strict"
    )


def problem_of(manifest: Any) -> Problem:
    with pytest.raises(InvalidSpec) as caught:
        validation.parse(manifest)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("case", SPECS)
def test_the_api_server_refuses(case: str, api_server: Any, namespace: str) -> None:
    manifest = WRONG[case][0]
    problem = problem_of(manifest)
    with pytest.raises(ApiException) as refused:
        create(api_server, namespace, manifest)
    assert refused.value.status in {400, 422}
    said = json.loads(refused.value.body)["message"]
    assert problem.path in said
    if problem.message in rules(resource_schema()):
        assert problem.message in said


@pytest.mark.parametrize("manifest", [DATA_ONLY, TRAINED], ids=["a data set", "a data set with training"])
def test_the_api_server_accepts(manifest: dict[str, Any], api_server: Any, namespace: str) -> None:
    create(api_server, namespace, manifest)
