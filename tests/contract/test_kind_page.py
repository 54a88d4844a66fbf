"""The page of the kind names all that users meet, and nothing that does not exist.

A list that is made from the code is compared as it is. Of the others, the names are compared with
the code in both directions, so neither a forgotten entry nor a stale one passes.
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
from tests.contract.kind_page import PAGE, code, entries
from tests.contract.kind_states import WIDTH
from tests.contract.test_command_lines import BOTH, CONFIG, DATA, facts, succeeded, training

import negset_operator
from negset_api import errors, names, validation
from negset_api.schema import resource_schema
from negset_operator import obstacles, reasons, status
from negset_operator.config import Config, Networks
from negset_operator.decide import decide
from negset_operator.facts import Child

TEXT = PAGE.read_text()


def named_under(heading: str) -> list[str]:
    """The names of the entries under a heading."""
    return [entry.name for entry in entries(TEXT, heading)]


def assert_same(named: list[str], known: set[str]) -> None:
    assert {"forgotten": known - set(named), "stale": set(named) - known} == {"forgotten": set(), "stale": set()}
    assert sorted(named) == sorted(set(named)), "something is named twice"


def test_the_generated_parts_are_current():
    """If they are not: make crd."""
    assert kind_page.rendered(TEXT) == TEXT


def test_no_generated_part_is_missing_and_none_is_empty():
    assert_same(kind_page.part_names(TEXT), set(kind_page.parts(kind_page.example(TEXT))))


def test_every_field_of_the_spec_has_a_part():
    spec = {f"spec.{name}" for name in resource_schema()["properties"]["spec"]["properties"]}
    assert spec <= set(kind_page.part_names(TEXT))


# --- Conditions, reasons and events


def test_the_page_names_every_condition():
    assert_same(named_under("Types"), set(reasons.CONDITION_TYPES))


def test_a_condition_that_is_there_only_while_it_is_true_has_a_negative_polarity():
    negative = {entry.name for entry in entries(TEXT, "Types") if entry.remark == "negative, present while `True`"}
    assert negative == {reasons.RECONCILING, reasons.STALLED}
    assert all(entry.remark.startswith("positive, ") for entry in entries(TEXT, "Types") if entry.name not in negative)


def constants(module: Any) -> dict[str, str]:
    """The public constants of a module that are text, in the order of the module."""
    return {name: value for name, value in vars(module).items() if re.fullmatch("[A-Z][A-Z0-9_]*", name) and isinstance(value, str)}


def written_reasons() -> Iterator[tuple[str, str]]:
    """The class that is created and the reason, for each call in the operator with a reason that is
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
    kubelets = {obstacles._SAME_REASON.get(reason, reason) for reason in obstacles._CANNOT_START}
    return own | kubelets | {reason for _, reason in written_reasons()}


def test_the_page_names_every_reason():
    assert_same(named_under("Reasons"), known_reasons())


def test_only_an_obstacle_has_a_reason_that_is_not_a_constant():
    assert {made for made, _ in written_reasons()} == {"Obstacle"}


def test_the_page_says_which_reasons_are_warnings():
    events = {entry.name: entry.remark.rpartition(", ")[2] for entry in entries(TEXT, "Reasons")}
    assert {reason for reason, kind in events.items() if kind == "Normal"} == status._EXPECTED
    assert set(events.values()) == {"Normal", "Warning"}


def test_each_reason_names_the_condition_that_accompanies_ready():
    beside = {entry.remark.rpartition(", ")[0] for entry in entries(TEXT, "Reasons")}
    assert beside == {"none", reasons.RECONCILING, reasons.STALLED, f"{reasons.RECONCILING} or {reasons.STALLED}"}


def test_each_reason_names_who_acts_and_a_stalled_one_always_needs_an_action():
    silent = [entry.name for entry in entries(TEXT, "Reasons") if not re.search("No action|[Tt]he (owner|administrator)", entry.text)]
    assert silent == []
    assert [entry.name for entry in entries(TEXT, "A person must act") if "No action" in entry.text] == []


def test_every_reason_of_a_stalled_dataset_is_under_its_heading():
    stalled = {entry.name for entry in entries(TEXT, "Reasons") if entry.remark.startswith(reasons.STALLED)}
    assert stalled == set(named_under("A person must act"))


def test_the_page_names_every_event_that_is_not_a_reason():
    stages = set(reasons.CONDITION_TYPES) - {reasons.READY, reasons.RECONCILING, reasons.STALLED}
    assert_same(named_under("Events"), stages | {reasons.DATA_LEFT})


# --- Labels, annotations and finalizers


def manifests() -> Iterator[dict[str, Any]]:
    """Every object that is made for a dataset with all features, and for its deletion."""
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


def test_the_page_names_every_label():
    made = {key for manifest in manifests() for key in keys_of(manifest, "labels")}
    assert len(made) > 10
    assert_same(named_under("Labels"), named("LABEL_") | made)


def test_the_page_names_every_annotation_and_finalizer():
    made = {key for manifest in manifests() for key in keys_of(manifest, "annotations")}
    assert_same(named_under("Annotations and finalizers"), named("ANNOTATION_") | named("FINALIZER") | made)


# --- Exit codes


def error_classes() -> dict[str, int]:
    """The exit code of each kind of error that the contract knows."""
    found = {name: kind.exit_code for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.NegsetError)}
    return found | {errors.PeerLost.__name__: errors.PEER_LOST}


def test_the_page_names_every_exit_code():
    interrupted = {128 + signal.SIGINT, 128 + signal.SIGTERM}
    known = {0, *error_classes().values(), *interrupted}
    assert_same(named_under("Exit codes"), {*map(str, known), "Other"})


def test_the_page_says_which_error_has_which_exit_code():
    said = {kind: int(entry.name) for entry in entries(TEXT, "Exit codes") for kind in code(entry.remark)}
    assert said == error_classes()


# --- Files


NO_KEYS = {"dataset_root", "revision_root", "shard", "shard_of_marker"}
"""Functions of `names` that are about keys and make none."""


def keys_of_a_revision() -> set[str]:
    """Every key below a revision, where `<name>` is the argument of that name."""
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
    assert_same(named_under("Files of a revision"), keys_of_a_revision())


def test_every_marker_ends_as_the_removal_of_a_revision_expects():
    """`revisions._remove_all` removes the keys that end in .json first."""
    markers = [entry.name for entry in entries(TEXT, "Files of a revision") if entry.remark.startswith("marker of ")]
    assert len(markers) > 5
    assert [name for name in markers if not name.endswith(".json")] == []


# --- The rest


def test_the_example_is_valid():
    assert validation.parse(kind_page.example(TEXT)).spec.training is not None


def test_the_states_that_are_shown_are_those_that_people_see():
    shown = [yaml.safe_load(block)["status"] for block in re.findall(r"```yaml\n(status:.*?)```", TEXT, re.DOTALL)]
    kinds = [[(each["type"], each["status"]) for each in state["conditions"]] for state in shown]
    assert kinds == [
        [(reasons.READY, "False"), (reasons.RECONCILING, "True")],
        [(reasons.READY, "False"), (reasons.STALLED, "True")],
        [(reasons.READY, "True")],
    ]


def test_the_page_is_at_most_100_columns_wide():
    assert [line for line in TEXT.splitlines() if len(line) > WIDTH] == []


@pytest.mark.parametrize("heading", ["Types", "Reasons", "Events", "Labels and annotations", "Exit codes", "Files of a revision"])
def test_every_entry_has_a_text_of_whole_sentences(heading):
    assert entries(TEXT, heading)
    assert [entry.name for entry in entries(TEXT, heading) if not entry.text.endswith(".")] == []


def test_every_link_leads_to_a_file():
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
