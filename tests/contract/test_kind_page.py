"""The page of the kind names all that users meet, and nothing that does not exist.

A table that is made from the code is compared as it is. In the others the first column is compared
with the code in both directions, so neither a forgotten entry nor a stale one passes.
"""

from __future__ import annotations

import ast
import inspect
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.contract import kind_page
from tests.contract.kind_page import PAGE, code, rows
from tests.contract.test_command_lines import BOTH, CONFIG, DATA, facts, succeeded, training

import negset_operator
from negset_api import errors, names, validation
from negset_api.schema import resource_schema
from negset_operator import obstacles, reasons, status
from negset_operator.config import Config, Networks
from negset_operator.decide import decide
from negset_operator.facts import Child

TEXT = PAGE.read_text()

TABLES = {
    "Conditions",
    "Reasons",
    "Events",
    "Labels and annotations",
    "Exit codes",
    "Files of a revision",
}
"""The headings of the tables that are written by hand and compared with the code."""


def first(heading: str) -> list[str]:
    """What the first cells of the tables under a heading name."""
    return [name for row in rows(TEXT, heading) for name in code(row[0])]


def assert_same(named: list[str], known: set[str]) -> None:
    assert {"forgotten": known - set(named), "stale": set(named) - known} == {"forgotten": set(), "stale": set()}
    assert sorted(named) == sorted(set(named)), "something is named twice"


def test_the_generated_parts_are_current():
    """Where they are not: make crd."""
    assert kind_page.rendered(TEXT) == TEXT


def test_no_generated_part_is_missing_and_none_is_empty():
    assert_same(kind_page.part_names(TEXT), set(kind_page.parts()))


def test_every_field_of_the_spec_has_a_part():
    spec = {f"spec.{name}" for name in resource_schema()["properties"]["spec"]["properties"]}
    assert spec <= set(kind_page.part_names(TEXT))


# --- Conditions, reasons and events


def test_the_page_names_every_condition():
    assert_same(first("Conditions"), set(reasons.CONDITION_TYPES))


def test_a_condition_that_is_there_only_while_it_is_true_has_a_negative_polarity():
    polarity = {code(row[0])[0]: row[1] for row in rows(TEXT, "Conditions")}
    assert {kind for kind, said in polarity.items() if said == "negative"} == {reasons.RECONCILING, reasons.STALLED}


def constants(module: Any) -> dict[str, str]:
    """The public constants of a module that are text, in the order of the module."""
    return {name: value for name, value in vars(module).items() if re.fullmatch("[A-Z][A-Z_]*", name) and isinstance(value, str)}


def written_reasons() -> Iterator[tuple[str, str]]:
    """The class that is made and the reason, for each call in the operator with a reason that is
    written out.
    """
    for path in Path(negset_operator.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                given = (each.value for each in node.keywords if each.arg == "reason")
                yield from ((ast.unparse(node.func), each.value) for each in given if isinstance(each, ast.Constant))


def known_reasons() -> set[str]:
    """Every reason of a condition: the operator's own, and those of obstacles."""
    own = set(constants(reasons).values()) - set(reasons.CONDITION_TYPES) - {reasons.DATA_LEFT}
    kubelets = {obstacles._ONE_AND_THE_SAME.get(reason, reason) for reason in obstacles._CANNOT_START}
    return own | kubelets | {reason for _, reason in written_reasons()}


def test_the_page_names_every_reason():
    assert_same(first("Reasons"), known_reasons())


def test_only_an_obstacle_has_a_reason_that_is_not_a_constant():
    assert {made for made, _ in written_reasons()} == {"Obstacle"}


def test_the_page_says_which_reasons_are_warnings():
    events = {code(row[0])[0]: row[2] for row in rows(TEXT, "Reasons")}
    assert {reason for reason, kind in events.items() if kind == "Normal"} == status._CALM
    assert set(events.values()) == {"Normal", "Warning"}


def test_each_reason_stands_with_a_condition_that_exists_and_somebody_or_nobody_acts():
    for reason, beside, _, meaning, who in rows(TEXT, "Reasons"):
        assert beside in {"none", f"`{reasons.RECONCILING}`", f"`{reasons.STALLED}`"}, reason
        assert meaning.endswith("."), reason
        assert re.match("The owner|The administrator|Nobody", who), reason


def test_where_somebody_must_act_nobody_waits():
    stalled = [row for row in rows(TEXT, "Reasons") if row[1] == f"`{reasons.STALLED}`"]
    assert stalled
    assert [row[0] for row in stalled if "Nobody" in row[4]] == []


def test_the_page_names_every_event_that_is_not_a_reason():
    stages = set(reasons.CONDITION_TYPES) - {reasons.READY, reasons.RECONCILING, reasons.STALLED}
    assert_same(first("Events"), stages | {reasons.DATA_LEFT})


# --- Labels, annotations and finalizers


def manifests() -> Iterator[dict[str, Any]]:
    """Every object that the operator makes for a dataset with all features, and for its deletion."""
    config = Config(networks=Networks(api_server=("10.0.0.1/32",)))
    spec = training(comparisons=BOTH, workers=2, hardNegativeMining={"rounds": 2}) | {"queueName": "gpus"}
    done: dict[str, Child] = {}
    while made := [each.manifest for each in decide(facts(spec, tuple(done.values())), config).creations]:
        yield from made
        children = [succeeded(manifest) for manifest in made if "Job" in manifest["kind"]]
        if not children:
            break
        done |= {child.role: child for child in children}
    yield from (each.manifest for each in decide(facts(DATA, (), deleted=True), CONFIG).creations)


def keys_of(value: Any, field: str) -> Iterator[str]:
    """The keys of every `field` of a manifest, at any depth."""
    if isinstance(value, dict):
        for name, child in value.items():
            if name == field and isinstance(child, dict):
                yield from child
            yield from keys_of(child, field)
    elif isinstance(value, list):
        for child in value:
            yield from keys_of(child, field)


def named(prefix: str) -> set[str]:
    """The constants that name something in a domain: others hold keys of files."""
    return {value for name, value in constants(names).items() if name.startswith(prefix) and re.match(r"[\w-]+\.[\w.-]+/", value)}


def keys_in_the_table(head: str) -> list[str]:
    """The first cells of the table that begins with this cell."""
    table = re.search(rf"^\| {head} \|.*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert table is not None
    return [code(line.split("|")[1])[0] for line in table[1].splitlines()[1:]]


def test_the_page_names_every_label():
    made = {key for manifest in manifests() for key in keys_of(manifest, "labels")}
    assert len(made) > 10
    assert_same(keys_in_the_table("label"), named("LABEL_") | made)


def test_the_page_names_every_annotation_and_finalizer():
    made = {key for manifest in manifests() for key in keys_of(manifest, "annotations")}
    assert_same(keys_in_the_table("annotation or finalizer"), named("ANNOTATION_") | named("FINALIZER") | made)


# --- Exit codes


def error_classes() -> dict[str, int]:
    """The exit code of each kind of error that the contract knows."""
    found = {name: kind.exit_code for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.NegsetError)}
    return found | {errors.PeerLost.__name__: errors.PEER_LOST}


def test_the_page_names_every_exit_code():
    interrupted = {128 + signal.SIGINT, 128 + signal.SIGTERM}
    known = {0, *error_classes().values(), *interrupted}
    assert_same(first("Exit codes"), set(map(str, known)))


def test_the_page_says_which_error_has_which_exit_code():
    said = {kind: int(code(row[0])[0]) for row in rows(TEXT, "Exit codes") for kind in code(row[1])}
    assert said == error_classes()


# --- Files


NO_KEYS = {"dataset_root", "revision_root", "shard", "shard_of_marker"}
"""Functions of `names` that are about keys and make none."""


def keys_of_a_revision() -> set[str]:
    """Every key below a revision, where `<name>` stands for the argument of that name."""
    listed = list(constants(names))
    fixed = {name: value for name, value in constants(names).items() if listed.index(name) >= listed.index("SPEC")}
    folders = {value for name, value in fixed.items() if name.endswith("_FOLDER")}
    functions = [
        function
        for name, function in inspect.getmembers(names, inspect.isfunction)
        if function.__module__ == names.__name__ and not name.startswith("_") and name not in NO_KEYS
    ]
    made = set()
    for function in functions:
        parameters = inspect.signature(function).parameters.values()
        made.add(function(*(f"<{each.name}>" for each in parameters if each.default is inspect.Parameter.empty)))
    assert all(any(key.startswith((f"{folder}/", "<folder>/")) for key in made) for folder in folders)
    return (set(fixed.values()) - folders) | made


def test_the_page_names_every_file_of_a_revision():
    assert_same(first("Files of a revision"), keys_of_a_revision())


# --- The rest


def test_the_example_is_valid():
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert validation.parse(yaml.safe_load(example)).spec.training is not None


def test_prose_is_at_most_100_columns_wide():
    assert [line for line in TEXT.splitlines() if len(line) > kind_page.WIDTH and not line.startswith("|")] == []


@pytest.mark.parametrize("heading", TABLES)
def test_no_cell_of_a_table_is_forgotten(heading):
    widths = {len(row) for row in rows(TEXT, heading)}
    assert len(widths - {0}) == 1


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
