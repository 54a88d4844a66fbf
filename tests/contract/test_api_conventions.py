"""The CRD follows Kubernetes' API conventions in every field of the spec and the status."""

from __future__ import annotations

import re

import pytest
from tests.unit.api.schema_fields import Schema, fields

from negset_api import names, patterns
from negset_api.schema import custom_resource_definition, resource_schema

LIST_TYPES = {"atomic", "set", "map"}
SCALARS = {"string", "integer", "boolean"}
LIMITS = {"int32": range(-(2**31), 2**31), "int64": range(-(2**63), 2**63)}


def wrong(schema: Schema) -> dict[str, str]:
    """What is wrong with each field that is not as it should be."""
    found = {path: _wrong(path, field) for path, field in fields(schema)}
    return {path: said for path, said in found.items() if said}


def _wrong(path: str, field: Schema) -> str:
    if not path.endswith("[]") and not field.get("description"):
        return "no description"
    match field.get("type"):
        case "integer":
            return "" if field.get("format") in LIMITS else "an integer without a format"
        case "array":
            return _wrong_list(field)
        case "string":
            bounded = "enum" in field or "maxLength" in field or field.get("format") == "date-time"
            return "" if bounded else "a string without a bound"
        case "boolean" | "object":
            return ""
        case other:
            return f"a {other}"


def _wrong_list(field: Schema) -> str:
    kind, items = field.get("x-kubernetes-list-type"), field["items"]
    if kind not in LIST_TYPES:
        return "a list without a list type"
    if "maxItems" not in field:
        return "a list without a bound"
    if kind == "set" and items["type"] not in SCALARS:
        return "a set of what cannot be compared"
    if kind == "set" and "enum" in items and field["maxItems"] != len(items["enum"]):
        return "a set whose bound is not the number of its values"
    if kind == "map" and not set(field["x-kubernetes-list-map-keys"]) <= set(items["required"]):
        return "a map whose key may be absent"
    return ""


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_field_is_described_and_bounded_and_has_a_format_or_a_list_type(part):
    assert wrong(resource_schema()["properties"][part]) == {}


WORDS = 25


def sentences(text: str) -> list[str]:
    """The sentences of a text; a clause after a colon or a semicolon counts as one."""
    return re.split(r"(?<=[.:;]) ", text)


@pytest.mark.parametrize("part", ["spec", "status"])
def test_every_description_is_whole_sentences_and_every_sentence_is_short(part):
    described = {path: field["description"] for path, field in fields(resource_schema()["properties"][part]) if "description" in field}
    assert len(described) > 20
    assert [path for path, text in described.items() if not text.endswith(".")] == []
    assert [path for path, text in described.items() if any(len(each.split()) > WORDS for each in sentences(text))] == []


BAD: dict[str, tuple[Schema, str]] = {
    "an integer": ({"type": "integer", "description": "x"}, "an integer without a format"),
    "a list": ({"type": "array", "maxItems": 2, "items": {"type": "boolean"}, "description": "x"}, "a list without a list type"),
    "a set": (
        {
            "type": "array",
            "maxItems": 1,
            "items": {"enum": ["A", "B"], "type": "string"},
            "x-kubernetes-list-type": "set",
            "description": "x",
        },
        "a set whose bound is not the number of its values",
    ),
    "a string": ({"type": "string", "description": "x"}, "a string without a bound"),
    "a field": ({"type": "boolean"}, "no description"),
    "a number": ({"type": "number", "description": "x"}, "a number"),
}


@pytest.mark.parametrize(("field", "said"), BAD.values(), ids=BAD)
def test_what_breaks_a_convention_would_be_noticed(field, said):
    schema = {"properties": {"a": {"type": "object", "description": "x", "properties": {"b": field}}}}
    assert wrong(schema) == {".a.b": said}


def test_no_format_refuses_what_the_bounds_allow_so_that_a_laptop_need_not_know_formats():
    spec = resource_schema()["properties"]["spec"]
    integers = {path: field for path, field in fields(spec) if field["type"] == "integer"}
    assert len(integers) > 20
    refusing = [
        path for path, field in integers.items() if any(field[end] not in LIMITS[field["format"]] for end in ("minimum", "maximum"))
    ]
    assert not refusing


def test_every_pattern_means_the_same_to_go_and_to_python():
    """RE2 has neither look-around nor back references, and its `$` is the end of the text."""
    found = {field["pattern"] for _, field in fields(resource_schema()) if "pattern" in field}
    assert len(found) == 5
    for pattern in found:
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        assert not re.search(r"\(\?|\\[1-9bBdDsSwWZ]", pattern)
        assert not patterns.search(pattern, "a.b/c\n")


def test_lists_whose_order_means_nothing_are_sets():
    spec = resource_schema()["properties"]["spec"]
    kinds = {path.rpartition(".")[2]: field["x-kubernetes-list-type"] for path, field in fields(spec) if field["type"] == "array"}
    assert kinds == {
        "excludeClasses": "set",
        "allowClasses": "set",
        "licenses": "set",
        "labels": "set",
        "images": "set",
        "formats": "set",
        "confirmedNegatives": "set",
        "comparisons": "set",
        "stores": "map",
        "urls": "atomic",  # of two images with the same name, the first keeps its id
        "excludeImagesOf": "atomic",
        "tfrecords": "atomic",
        "splits": "set",
        "classes": "atomic",  # in label-map order
    }


def test_the_kind_is_found_by_its_names_and_its_category():
    spec = custom_resource_definition()["spec"]["names"]
    assert (spec["shortNames"], spec["categories"]) == (["negset", "negsets"], ["negset"])
    assert names.PLURAL not in spec["categories"]
