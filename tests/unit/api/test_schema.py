"""The CRD that is generated from the types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from negset_api.schema import custom_resource_definition, resource_schema


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from fields(schema["items"], f"{path}[]")


SPEC = dict(fields(resource_schema()["properties"]["spec"], "spec"))


def test_every_field_of_the_spec_is_described() -> None:
    assert not [path for path, schema in SPEC.items() if not path.endswith("[]") and not schema.get("description")]


def test_no_field_is_a_float() -> None:
    assert not [path for path, schema in SPEC.items() if schema["type"] == "number"]


def test_every_string_and_list_has_a_bound_so_that_rules_have_a_cost() -> None:
    unbounded = [
        path
        for path, schema in SPEC.items()
        if (schema["type"] == "string" and "enum" not in schema and "maxLength" not in schema)
        or (schema["type"] == "array" and "maxItems" not in schema)
    ]
    assert not unbounded


def test_the_schema_is_structural() -> None:
    forbidden = {"$ref", "anyOf", "oneOf", "allOf", "title", "additionalProperties"}
    assert not [(path, key) for path, schema in SPEC.items() for key in forbidden & schema.keys()]


def test_nested_defaults_reach_objects_that_the_user_left_out() -> None:
    assert SPEC["spec.download"]["default"] == {}
    assert SPEC["spec.download.verify"]["default"] == "Structure"
    assert "default" not in SPEC["spec.positives"]


def test_a_status_has_no_defaults_since_what_nobody_wrote_is_unknown() -> None:
    status = dict(fields(resource_schema()["properties"]["status"], "status"))
    assert not [path for path, schema in status.items() if "default" in schema]


def test_each_call_gives_a_definition_of_its_own() -> None:
    changed = custom_resource_definition()
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clear()
    assert custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
