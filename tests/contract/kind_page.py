"""The page of the kind: the parts that are made from the code, and the tables that tests compare.

`python -m tests.contract.kind_page` writes the generated parts. Each stands between two comments
that name it. The rest is written by hand, and `test_kind_page.py` compares it with the code.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.unit.api.schema_fields import Schema
from tests.unit.chart.exported import families

from negset_api import patterns
from negset_api.schema import custom_resource_definition, resource_schema

PAGE = Path(__file__).parents[2] / "charts" / "negset" / "README-negativedataset.md"

WIDTH = 100
"""Columns of prose. A row of a table is one line, however long."""

_BLOCK = re.compile(r"(<!-- begin: (?P<name>[\w.]+)[^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
_NO_DEFAULT = "none"
_PATTERNS = {
    patterns.SUBDOMAIN: "a DNS subdomain (lower case letters, digits, `-` and `.`)",
    patterns.EXTENDED_RESOURCE: "a domain, `/` and a name",
}


def parts() -> dict[str, str]:
    """The generated parts by name, as Markdown."""
    version = custom_resource_definition()["spec"]["versions"][0]
    properties = resource_schema()["properties"]
    spec, status = properties["spec"], properties["status"]
    found = {f"spec.{name}": _field_table("spec", name, spec) for name in spec["properties"]}
    return {
        **found,
        "spec.rules": "".join(map(_bullet, _messages(spec))),
        "columns": _table(("column", "value", "meaning"), map(_column, version["additionalPrinterColumns"])),
        "status": _table(("field", "type", "meaning"), _status_rows(status)),
        "metrics": _table(("metric", "type", "meaning"), map(_metric, families())),
    }


def rendered(page: str) -> str:
    """The page with its generated parts as the code has them now."""
    made = parts()

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}{made.get(match['name'], '')}{match[3]}"

    return _BLOCK.sub(part, page)


def part_names(page: str) -> list[str]:
    """The names of the generated parts that the page has."""
    return [match["name"] for match in _BLOCK.finditer(page)]


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of every table under a heading, up to the next heading, without the head rows."""
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section is not None, f"the page has no heading {heading!r}"
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", section[1], re.MULTILINE):
        lines = table.splitlines()[2:]
        found += [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return found


def code(cell: str) -> list[str]:
    """What stands in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def _table(head: tuple[str, ...], lines: Any) -> str:
    body = [head, ("---",) * len(head), *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in body)


def _field_table(prefix: str, name: str, parent: Schema) -> str:
    one = {"properties": {name: parent["properties"][name]}, "required": parent.get("required", [])}
    return _table(("field", "type and rule", "default", "meaning"), _spec_rows(one, f"{prefix}."))


def _spec_rows(parent: Schema, prefix: str) -> Iterator[tuple[str, ...]]:
    for name, field in parent["properties"].items():
        path = f"{prefix}{name}"
        if name in parent.get("required", ()):
            default = "required"
        elif "default" in field and field["default"] != {}:
            default = _default(field["default"])
        else:
            default = _NO_DEFAULT
        yield f"`{path}`", "; ".join((_type(field), *map(_text, _messages(field)))), default, _text(field["description"])
        if "properties" in field:
            yield from _spec_rows(field, f"{path}.")


def _status_rows(parent: Schema, prefix: str = "") -> Iterator[tuple[str, ...]]:
    for name, field in parent["properties"].items():
        path = f"{prefix}{name}"
        yield f"`{path}`", _type(field), _text(field["description"])
        items = field.get("items", {})
        if "properties" in field:
            yield from _status_rows(field, f"{path}.")
        elif "properties" in items:
            yield from _status_rows(items, f"{path}[].")


def _default(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{text}`"


def _type(field: Schema) -> str:
    """The type of a field in words, with its bounds."""
    if field["type"] == "array":
        kind = {"set": "set of ", "atomic": "list of ", "map": "list of "}[field["x-kubernetes-list-type"]]
        return f"{kind}{_range(field, 'minItems', 'maxItems')} items: {_type(field['items'])}"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("format") == "date-time":
        return "date and time"
    text = {"integer": ("minimum", "maximum"), "string": ("minLength", "maxLength")}.get(field["type"])
    bounds = _range(field, *text) if text else ""
    unit = " characters" if bounds and field["type"] == "string" else ""
    pattern = f", {_PATTERNS[field['pattern']]}" if "pattern" in field else ""
    return f"{field['type']}{', ' if bounds else ''}{bounds}{unit}{pattern}"


def _range(field: Schema, least: str, most: str) -> str:
    if least in field and most in field:
        return f"{field[least]:,} to {field[most]:,}"
    if most in field:
        return f"up to {field[most]:,}"
    return f"{field[least]:,} or more" if least in field else ""


def _bullet(text: str) -> str:
    return textwrap.fill(f"{_text(text)}.", WIDTH, initial_indent="- ", subsequent_indent="  ") + "\n"


def _messages(field: Schema) -> list[str]:
    return [rule["message"] for rule in field.get("x-kubernetes-validations", ())]


def _column(column: dict[str, Any]) -> tuple[str, ...]:
    wide = " (with `-o wide`)" if column.get("priority") else ""
    return f"`{column['name'].upper()}`{wide}", f"`{column['jsonPath']}`", _text(column.get("description", "Age of the object."))


def _metric(family: Any) -> tuple[str, ...]:
    labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
    return f"`{family.name}{labels}`", family.type, _text(family.description)


def _text(text: str) -> str:
    """The text with what Markdown would take for its own escaped."""
    parts_ = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([<>|*])", r"\\\1", part) for part in parts_)


def main() -> None:
    """Writes the generated parts of the page."""
    PAGE.write_text(rendered(PAGE.read_text()))


if __name__ == "__main__":
    main()
