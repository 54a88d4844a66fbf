"""Alerts and dashboard speak of metrics that the operator has, and of no others."""

from __future__ import annotations

import json
import re

import pytest
from tests.unit.chart import promtool
from tests.unit.chart.exported import families, series, shown
from tests.unit.chart.helm import CHART, one
from tests.unit.chart.promtool import RULES_ON, alerts

from negset_operator.facts import Fault
from negset_operator.metrics import STATES

TARGET_LABELS = {"namespace", "job", "pod"}
"""What a ServiceMonitor adds to each series, of what the rules and the dashboard use."""


def dashboard():
    return json.loads(one(RULES_ON, "ConfigMap", "negset-dashboard")["data"]["negset.json"])


def expressions():
    yield from (rule["expr"] for rule in alerts().values())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    yield from (variable["query"]["query"] for variable in dashboard()["templating"]["list"] if variable["type"] == "query")


def test_every_metric_that_is_spoken_of_is_exported():
    spoken_of = {name for expression in expressions() for name in re.findall(r"\bnegset_[a-z_]+", expression)}
    assert len(spoken_of) > 5
    assert spoken_of <= series().keys()


def test_rules_and_dashboard_speak_of_no_metric_but_the_operators():
    selected = {name for expression in expressions() for name in re.findall(r"([a-zA-Z_:][\w:]*)\s*\{", expression)}
    assert selected
    assert all(name.startswith("negset_") for name in selected)


def test_every_label_that_is_spoken_of_is_there():
    known = TARGET_LABELS.union(*series().values())
    for expression in expressions():
        grouped = {label for labels in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.findall(r"\w+", labels)}
        matched = {label for selector in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*(?:=|!)", selector)}
        assert grouped | matched <= known, expression


@pytest.mark.parametrize(("label", "metric"), [("fault", "negset_step_failures_total"), ("code", "negset_api_requests_total")])
def test_a_rule_tells_faults_and_codes_apart_by_values_that_exist(label, metric):
    patterns = [pattern for rule in alerts().values() for pattern in re.findall(rf'{metric}{{[^}}]*,{label}=~"([^"]*)"', rule["expr"])]
    values = {"fault": [fault.value for fault in Fault], "code": ["200", "404", "429", "503", "none"]}[label]
    chosen = {value for pattern in patterns for value in values if re.fullmatch(pattern, value)}
    assert chosen == {"fault": {"work", "unavailable", "interruption"}, "code": {"429", "503", "none"}}[label]
    assert all(any(re.fullmatch(each, value) for value in values) for pattern in patterns for each in pattern.split("|"))


def test_prometheus_finds_nothing_to_say_about_the_metrics():
    done = promtool.run("check", "metrics", given=shown())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_metric_that_is_exported_is_on_the_dashboard():
    spoken_of = {
        name for panel in dashboard()["panels"] for target in panel["targets"] for name in re.findall(r"\bnegset_[a-z_]+", target["expr"])
    }
    unseen = {name for name in series() if not name.endswith(("_created", "_sum"))} - spoken_of
    assert unseen == set()


def test_the_state_that_an_alert_names_exists():
    named = {state for expression in expressions() for state in re.findall(r'state="([a-z]+)"', expression)}
    assert named == {"stalled"}
    assert named <= set(STATES)


def test_each_alert_looks_at_this_release_and_says_what_to_do():
    assert len(alerts()) >= 5
    for rule in alerts().values():
        selectors = re.findall(r"negset_[a-z_]+(\{[^}]*\})?", rule["expr"])
        assert all('namespace="negset-system",job="negset-metrics"' in selector for selector in selectors), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert all(rule["annotations"][text].endswith(".") for text in ("summary", "description"))
        assert re.search("administrator|owners of namespace", rule["annotations"]["description"]), "somebody acts"


def test_an_alert_is_read_at_night_so_its_sentences_are_short():
    texts = [text for rule in alerts().values() for text in rule["annotations"].values()]
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.:;]) ", re.sub(r"`[^`]*`|{{[^}]*}}", "X", text))]
    assert [sentence for sentence in sentences if len(sentence.split()) > 25] == []


def test_the_job_that_the_alerts_name_is_the_service_that_the_monitor_finds():
    assert one(RULES_ON, "Service")["metadata"]["name"] == "negset-metrics"


def test_grafanas_sidecar_finds_the_dashboard():
    assert one(RULES_ON, "ConfigMap", "negset-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_no_two_panels_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_the_readme_explains_each_metric_and_each_alert():
    explained = (CHART / "README.md").read_text()
    named = {family.name for family in families()} | alerts().keys()
    assert {name for name in named if not re.search(rf"`{name}[`{{]", explained)} == set()
