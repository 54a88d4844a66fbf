"""The page of the kind: its generated parts, and the lists that tests compare with the code.

`python -m tests.contract.kind_page` writes the generated parts. Each is between two comments
that name it. The rest is not generated, and `test_kind_page.py` compares it with the code.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from tests.contract.kind_states import WIDTH, states
from tests.unit.api.schema_fields import Schema
from tests.unit.chart.exported import Family, families

from negset_api import patterns
from negset_api.schema import custom_resource_definition, resource_schema

PAGE = Path(__file__).parents[2] / "charts" / "negset" / "README-negativedataset.md"

_PART = re.compile(r"(<!-- begin: (?P<name>[\w.]+)[^>]*-->\n).*?(<!-- end -->)", re.DOTALL)
_ITEM = re.compile(r"^- (.*(?:\n  .*)*)", re.MULTILINE)
_CODE = re.compile(r"`[^`]+`")
_PATTERNS = {
    patterns.SUBDOMAIN: "a DNS subdomain",
    patterns.STORE_URL: "the beginning of the URL of an object store",
    patterns.SERVER_URL: "an http(s) URL",
    patterns.REGION: "a region of a cloud",
    patterns.EXTENDED_RESOURCE: "a domain, `/` and a name",
}


class Entry(NamedTuple):
    """An item of a list: its name, the remark in brackets or behind a comma, and its text."""

    name: str
    remark: str
    text: str


def parts(manifest: dict[str, Any]) -> dict[str, str]:
    """The generated parts by name, as Markdown. `manifest` is the page's example."""
    version = custom_resource_definition()["spec"]["versions"][0]
    properties = resource_schema()["properties"]
    spec, status = properties["spec"], properties["status"]
    return {
        **{f"spec.{name}": _listed(_spec_items(spec, "spec.", {name})) for name in spec["properties"]},
        "spec.rules": _listed(_rule(message) for message in _messages(spec)),
        "columns": _listed(map(_column, version["additionalPrinterColumns"])),
        "status": _listed(_status_items(status)),
        **{f"state.{name}": f"```yaml\n{text}```\n" for name, text in states(manifest).items()},
        "metrics": _listed(map(_metric, families())),
    }


def rendered(page: str) -> str:
    """The page with its generated parts as the code has them now."""
    made = parts(example(page))

    def part(match: re.Match[str]) -> str:
        return f"{match[1]}{made.get(match['name'], '')}{match[3]}"

    return _PART.sub(part, page)


def example(page: str) -> dict[str, Any]:
    """The manifest that the page begins with."""
    found = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert found is not None, "the page has no example"
    manifest: dict[str, Any] = yaml.safe_load(found[1])
    return manifest


def part_names(page: str) -> list[str]:
    """The names of the generated parts that the page has."""
    return [match["name"] for match in _PART.finditer(page)]


def entries(page: str, heading: str) -> list[Entry]:
    """The items of every list under a heading, also under the smaller headings below it."""
    found = re.search(rf"^(#+) {re.escape(heading)}\n", page, re.MULTILINE)
    assert found is not None, f"the page has no heading {heading!r}"
    rest = page[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return [_entry(" ".join(item[1].split())) for item in _ITEM.finditer(rest[: end.start()] if end else rest)]


def code(text: str) -> list[str]:
    """The parts of a text in backticks."""
    return [span.strip("`") for span in _CODE.findall(text)]


def _entry(item: str) -> Entry:
    name, _, text = item.partition(": ")
    first, _, remark = name.partition(" ")
    return Entry(first.strip("`,"), remark.strip("()"), text)


def _listed(items: Iterable[str]) -> str:
    """The items as a list. No line is broken within a name or a command."""

    def filled(item: str) -> str:
        whole = _CODE.sub(lambda span: span[0].replace(" ", "\0"), item)
        lines = textwrap.fill(whole, WIDTH, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        return lines.replace("\0", " ")

    return "".join(f"{filled(item)}\n" for item in items)


def _spec_items(parent: Schema, prefix: str, wanted: Iterable[str]) -> Iterator[str]:
    for name in wanted:
        field, path = parent["properties"][name], f"{prefix}{name}"
        remarks = [_type(field)]
        if name in parent.get("required", ()):
            remarks.append("required")
        if "default" in field and field["default"] != {}:
            remarks.append(f"default {_default(field['default'])}")
        yield f"`{path}` ({'; '.join(remarks)}): {' '.join((_text(field['description']), *map(_rule, [*_messages(field), *_messages(field.get('items', {}))])))}"
        yield from _spec_items(field, f"{path}.", field.get("properties", ()))
        item = field.get("items", {})
        yield from _spec_items(item, f"{path}[].", item.get("properties", ()))


def _status_items(parent: Schema, prefix: str = "") -> Iterator[str]:
    for name, field in parent["properties"].items():
        path = f"{prefix}{name}"
        yield f"`{path}` ({_type(field)}): {_text(field['description'])}"
        if "properties" in field:
            yield from _status_items(field, f"{path}.")
        elif "properties" in field.get("items", ()):
            yield from _status_items(field["items"], f"{path}[].")


def _default(value: Any) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value)
    return f"`{text}`"


def _type(field: Schema) -> str:
    """The type of a field, with its bounds."""
    if field["type"] == "array":
        kind = {"set": "set", "atomic": "list", "map": "list"}[field["x-kubernetes-list-type"]]
        return f"{kind} of {_range(field, 'minItems', 'maxItems')} items, each {_type(field['items'])}"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("format") == "date-time":
        return "date and time"
    bounds = {"integer": ("minimum", "maximum"), "string": ("minLength", "maxLength")}.get(field["type"])
    found = _range(field, *bounds) if bounds else ""
    unit = " characters" if found and field["type"] == "string" else ""
    pattern = f", {_PATTERNS[field['pattern']]}" if "pattern" in field else ""
    return f"{field['type']}{', ' if found else ''}{found}{unit}{pattern}"


def _range(field: Schema, least: str, most: str) -> str:
    if least in field and most in field:
        return f"{field[least]:,} to {field[most]:,}"
    if most in field:
        return f"up to {field[most]:,}"
    return f"{field[least]:,} or more" if least in field else ""


def _messages(field: Schema) -> list[str]:
    return [rule["message"] for rule in field.get("x-kubernetes-validations", ())]


def _rule(message: str) -> str:
    return f"Rule: {_text(message)}."


def _column(column: dict[str, Any]) -> str:
    wide = " (with `--output wide`)" if column.get("priority") else ""
    return f"`{column['name'].upper()}`{wide}: {_text(column.get('description', 'Age of the object.'))} `{column['jsonPath']}`"


def _metric(family: Family) -> str:
    labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
    return f"`{family.name}{labels}` ({family.type}): {_text(family.description)}"


def _text(text: str) -> str:
    """The text with what Markdown would take for its own escaped."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([<>*])", r"\\\1", piece) for piece in pieces)


def main() -> None:
    """Writes the generated parts of the page."""
    PAGE.write_text(rendered(PAGE.read_text()))


if __name__ == "__main__":
    main()
