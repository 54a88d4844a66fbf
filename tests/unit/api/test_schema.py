"""The CRD that is generated from the types."""

from __future__ import annotations

from tests.unit.api.schema_fields import fields

from negset_api.schema import custom_resource_definition, resource_schema

SPEC = dict(fields(resource_schema()["properties"]["spec"], "spec"))


def test_the_schema_is_structural() -> None:
    forbidden = {"$ref", "anyOf", "oneOf", "allOf", "title", "additionalProperties"}
    assert not [(path, key) for path, schema in SPEC.items() for key in forbidden & schema.keys()]


def test_nested_defaults_reach_objects_that_the_user_left_out() -> None:
    assert SPEC["spec.download"]["default"] == {}
    assert SPEC["spec.download.verify"]["default"] == "Structure"
    assert "default" not in SPEC["spec.positives"]


def test_a_status_has_no_defaults_since_an_absent_field_is_unknown() -> None:
    status = dict(fields(resource_schema()["properties"]["status"], "status"))
    assert not [path for path, schema in status.items() if "default" in schema]


def test_each_call_gives_a_definition_of_its_own() -> None:
    changed = custom_resource_definition()
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"].clear()
    assert custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
