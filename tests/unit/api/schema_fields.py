"""The fields of a schema by path, for tests of every field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield every field below the schema and every item of a list, by path."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from fields(schema["items"], f"{path}[]")
