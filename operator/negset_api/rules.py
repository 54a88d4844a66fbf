"""The CEL rules of the CRD, evaluated as the API server does."""

from __future__ import annotations

import json
from typing import Any, Final

from negset_api.errors import Problem
from negset_api.schema import Schema

_LONGEST_QUOTE: Final = 200


def rule_problems(value: Any, schema: Schema, path: str) -> tuple[Problem, ...]:
    """Evaluate the CEL rules of `schema`, and of all schemas below it, on `value`."""
    problems: list[Problem] = []
    rules = schema.get("x-kubernetes-validations", ())
    if rules:
        problems += [Problem(path, rule["message"], as_json(value)) for rule in rules if not _holds(rule["rule"], value)]
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if name in value:
                problems += rule_problems(value[name], child, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            problems += rule_problems(item, schema["items"], f"{path}[{index}]")
        if schema.get("x-kubernetes-list-type") == "set":
            problems += [
                Problem(f"{path}[{index}]", given=as_json(item), kind="Duplicate value")
                for index, item in enumerate(value)
                if item in value[:index]
            ]
    return tuple(problems)


def _holds(rule: str, value: Any) -> bool:
    """Return True if a value satisfies a rule of CEL with the functions that the rules use.

    `replace` is one of the API server's extensions, which the library lacks
    (https://kubernetes.io/docs/reference/using-api/cel/#cel-community-libraries).
    """
    import cel

    context = cel.Context({"self": value})
    context.add_function("replace", str.replace)
    return cel.evaluate(rule, context) is True


def as_json(value: Any) -> str:
    """Return the value as JSON, cut to fit into one line."""
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_QUOTE else f"{text[: _LONGEST_QUOTE - 3]}..."
