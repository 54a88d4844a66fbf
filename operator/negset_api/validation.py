"""A manifest → a `NegativeDataset`, or all problems of the manifest.

The check uses the schema and the CEL rules of the CRD. So a laptop and an API server refuse the
same manifests with the same messages.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from negset_api import decoding, names, patterns
from negset_api.errors import InvalidSpec, Problem
from negset_api.rules import as_json, rule_problems
from negset_api.schema import Schema, resource_schema
from negset_api.spec import LONGEST_LABEL, LONGEST_NAME, NAME_RULE, Metadata, NegativeDataset, NegativeDatasetSpec

_REQUIRED = "Required value"
_RUN = re.compile(r"[0-9a-z]{1,63}")


def parse(manifest: Any) -> NegativeDataset:
    """Return the dataset of a manifest that a person wrote, with defaults filled in.

    Raise `InvalidSpec` with all problems. Unknown fields are problems.
    """
    return _parse(manifest, admitted=False)


def parse_admitted(manifest: Any) -> NegativeDataset:
    """Return the dataset of an object that the API server has accepted.

    The CRD may be newer than this negset, so unknown fields are skipped. It may also be older, and
    may have accepted names that are refused in a new object now. Such names are accepted here as
    well. Raise `InvalidSpec` if this negset cannot read the rest.
    """
    return _parse(manifest, admitted=True)


def annotated_revision(manifest: Any) -> str:
    """Return the revision that the operator wrote into a manifest; empty if there is none."""
    return _annotation(manifest, names.LABEL_REVISION, patterns.REVISION)


def annotated_spec_hash(manifest: Any) -> str:
    """Return the run that the operator wrote into a manifest, as in `status.runs`.

    It is empty if there is none.
    """
    return _annotation(manifest, names.LABEL_SPEC_HASH, _RUN)


def annotated_pipeline(manifest: Any) -> str:
    """Return the digest of the ConfigMap's pipeline.config that the operator wrote into a manifest.

    It is empty if there is none.
    """
    return _annotation(manifest, names.LABEL_PIPELINE, patterns.REVISION)


def _annotation(manifest: Any, name: str, pattern: re.Pattern[str]) -> str:
    metadata = manifest.get("metadata") if isinstance(manifest, dict) else None
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    value = str(annotations.get(name, "")) if isinstance(annotations, dict) else ""
    return value if pattern.fullmatch(value) else ""


_TOP: Final = ("apiVersion", "kind", "metadata", "spec", "status")


def _parse(manifest: Any, *, admitted: bool) -> NegativeDataset:
    problems = _identity_problems(manifest)
    if problems:
        raise InvalidSpec(problems)
    document = _with_defaults(copy.deepcopy(manifest), resource_schema())
    spec, schema = document.get("spec"), resource_schema()["properties"]["spec"]
    if spec is None:
        raise InvalidSpec((Problem("spec", kind=_REQUIRED),))
    schema = _as_stored(schema) if admitted else _strict(schema)
    problems = (*_metadata_problems(document, admitted=admitted), *_schema_problems(spec, schema, "spec"))
    if not admitted:
        problems = (*_misplaced_fields(document), *problems)
    # As in the API server, rules are evaluated only if the schema has no problems.
    problems = problems or rule_problems(spec, schema, "spec")
    if problems:
        raise InvalidSpec(problems)
    return NegativeDataset(metadata=_metadata(document), spec=_converted(spec))


def _converted(spec: Any) -> NegativeDatasetSpec:
    try:
        return decoding.convert(spec, NegativeDatasetSpec)
    # A newer CRD may accept values that `_as_stored` does not check.
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        raise InvalidSpec((Problem(f"spec{path.removesuffix('`')}", message),)) from error


def manifest(dataset: NegativeDataset) -> dict[str, Any]:
    """Return the manifest of a dataset with all defaults.

    `parse` returns the same dataset, but without the uid, which belongs to a stored object.
    """
    document = msgspec.to_builtins(dataset)
    del document["metadata"]["uid"]
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, **document}


def _identity_problems(manifest: Any) -> tuple[Problem, ...]:
    if not isinstance(manifest, dict):
        return (Problem("(root)", f"must be one {names.KIND} object", as_json(manifest)),)
    required = {"apiVersion": names.API_VERSION, "kind": names.KIND}
    return tuple(
        Problem(key, f"must be {json.dumps(expected)}", as_json(manifest[key]))
        if key in manifest
        else Problem(key, f"{_REQUIRED}: must be {json.dumps(expected)}")
        for key, expected in required.items()
        if manifest.get(key) != expected
    )


def _misplaced_fields(document: dict[str, Any]) -> tuple[Problem, ...]:
    """Return the fields beside `spec`: most belong into it, and would have no effect."""
    known = resource_schema()["properties"]["spec"]["properties"]
    return tuple(
        Problem(
            str(name), "unknown field; " + (f"indent it below spec, as spec.{name}" if name in known else f"expected {', '.join(_TOP)}")
        )
        for name in document
        if name not in _TOP
    )


def _metadata(document: dict[str, Any]) -> Metadata:
    return decoding.convert(document.get("metadata") or {}, Metadata)


def _metadata_problems(document: dict[str, Any], *, admitted: bool) -> tuple[Problem, ...]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or "name" not in metadata:
        return (Problem("metadata.name", f"{_REQUIRED}: name is required"),)
    given = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    problems = tuple(
        Problem(f"metadata.{key}", "must be a string; put it in quotes if YAML reads it as a number", as_json(value))
        for key, value in given.items()
        if not isinstance(value, str)
    )
    if problems:
        return problems
    # An earlier CRD may have accepted the name of a stored object.
    valid = {"name": _is_stored_name if admitted else _is_name, "namespace": _is_namespace}
    return tuple(Problem(f"metadata.{key}", NAME_RULE[1], as_json(value)) for key, value in given.items() if not valid[key](value))


def _is_stored_name(text: str) -> bool:
    return len(text) <= LONGEST_NAME and patterns.search(patterns.LABEL, text)


def _is_namespace(text: str) -> bool:
    return len(text) <= LONGEST_LABEL and patterns.search(patterns.LABEL, text)


def _is_name(text: str) -> bool:
    """Return True if the rules for the whole object accept the name of a new object."""
    import cel

    rules = resource_schema()["x-kubernetes-validations"]
    new = {"self": {"metadata": {"name": text}}}
    return all(cel.evaluate(f"[optional.none()].all(oldSelf, {rule['rule']})", new) is True for rule in rules)


def _with_defaults(value: Any, schema: Schema) -> Any:
    """Fill in the schema's defaults as the API server does, and return the value.

    An absent field gets its default, and so do the fields inside it.
    """
    if schema["type"] == "object" and isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if value.get(name, ...) is None:
                # The API server removes a null that the schema does not allow before it fills in
                # defaults.
                del value[name]
            if name not in value and "default" in child:
                value[name] = copy.deepcopy(child["default"])
            if name in value:
                value[name] = _with_defaults(value[name], child)
    elif schema["type"] == "array" and isinstance(value, list):
        return [_with_defaults(item, schema["items"]) for item in value]
    return value


def _schema_problems(spec: Any, schema: Schema, path: str) -> tuple[Problem, ...]:
    return tuple(problem for error in _validator()(schema).iter_errors(spec) for problem in _as_problems(error, path))


@functools.cache
def _validator() -> Any:
    import jsonschema  # imported only to read a manifest: it takes a tenth of a second

    def pattern(_: Any, expected: str, text: Any, __: Schema) -> Iterator[Any]:
        if isinstance(text, str) and not patterns.search(expected, text):
            yield jsonschema.ValidationError(f"does not match {expected}")

    return jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": pattern})


def _strict(schema: Schema) -> Schema:
    """Return the schema that refuses unknown fields, like `kubectl apply` (strict validation)."""
    strict = dict(schema)
    if "properties" in strict:
        strict["properties"] = {name: _strict(child) for name, child in strict["properties"].items()}
        strict["additionalProperties"] = False
    if "items" in strict:
        strict["items"] = _strict(strict["items"])
    return strict


def _as_stored(schema: Schema) -> Schema:
    """Return the schema for an object that an earlier CRD accepted.

    Strings may be empty or of any form, and lists may have duplicates.
    """
    stored = {key: value for key, value in schema.items() if key not in {"pattern", "minLength", "x-kubernetes-list-type"}}
    if "properties" in stored:
        stored["properties"] = {name: _as_stored(child) for name, child in stored["properties"].items()}
    if "items" in stored:
        stored["items"] = _as_stored(stored["items"])
    return stored


def _as_problems(error: Any, root: str) -> list[Problem]:
    """Return the problems of a JSON Schema error, in the API server's wording."""
    path = root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    given, limit = as_json(error.instance), error.validator_value
    match error.validator:
        case "additionalProperties":
            return [
                Problem(f"{path}.{name}", f"unknown field; {path} has {', '.join(sorted(error.schema['properties']))}")
                for name in sorted(set(error.instance) - set(error.schema["properties"]))
            ]
        case "required":
            return [
                Problem(f"{path}.{name}", kind=_REQUIRED) for name in limit if name not in error.instance and f"'{name}'" in error.message
            ]
        case "enum":
            return [Problem(path, f"supported values: {', '.join(map(json.dumps, limit))}", given, kind="Unsupported value")]
        case "type":
            # The API server names the format, except if a string or a list was given.
            type_name = limit if isinstance(error.instance, str | list) else error.schema.get("format", limit)
            message = f"must be of type {type_name}"
        case "pattern":
            message = f"should match '{limit}'"
        case "minimum":
            message = f"should be greater than or equal to {limit}"
        case "maximum":
            message = f"should be less than or equal to {limit}"
        case "minLength" | "minItems":
            message = f"should have at least {limit} {_units(error.validator, limit)}"
        case "maxLength" | "maxItems":
            message = f"should have at most {limit} {_units(error.validator, limit)}"
        case _:
            message = error.message
    return [Problem(path, message, given)]


def _units(validator: str, limit: int) -> str:
    unit = "character" if validator.endswith("Length") else "item"
    return unit if limit == 1 else f"{unit}s"
