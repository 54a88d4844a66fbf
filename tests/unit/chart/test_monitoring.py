"""Alerts and dashboard speak of metrics that the operator has, and of no others."""

from __future__ import annotations

import json
import re

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.chart.helm import one

from negset_operator.kube.objects import Dataset, ObjectMeta
from negset_operator.metrics import STATES, Metrics

ON = {"metrics": {"rules": {"enabled": True}, "dashboard": {"enabled": True}, "serviceMonitor": {"enabled": True}}}


def exported() -> dict[str, set[str]]:
    """Name → label names of every series that a running operator exports."""
    dataset = Dataset(metadata=ObjectMeta(name="one", namespace="team-a"))
    metrics = Metrics(
        datasets=lambda: [dataset], depth=lambda: 1, leading=lambda: True, requests={("GET", "200"): 1}, restarts=lambda: {"pods": 1}
    )
    metrics.children.labels(kind="Job").inc()
    metrics.warnings.labels(reason="InvalidSpec").inc()
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    found: dict[str, set[str]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def rules():
    (group,) = one(ON, "PrometheusRule")["spec"]["groups"]
    return group["rules"]


def dashboard():
    return json.loads(one(ON, "ConfigMap", "negset-dashboard")["data"]["negset.json"])


def expressions():
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in dashboard()["panels"] for target in panel["targets"])
    yield from (variable["query"]["query"] for variable in dashboard()["templating"]["list"] if variable["type"] == "query")


def test_every_metric_that_is_spoken_of_is_exported():
    spoken_of = {name for expression in expressions() for name in re.findall(r"\bnegset_[a-z_]+", expression)}
    assert len(spoken_of) > 5
    assert spoken_of <= exported().keys()


def test_every_metric_that_is_exported_is_on_the_dashboard():
    spoken_of = {
        name for panel in dashboard()["panels"] for target in panel["targets"] for name in re.findall(r"\bnegset_[a-z_]+", target["expr"])
    }
    unseen = {name for name in exported() if not name.endswith(("_created", "_sum"))} - spoken_of
    assert unseen == set()


def test_the_state_that_an_alert_names_exists():
    named = {state for expression in expressions() for state in re.findall(r'state="([a-z]+)"', expression)}
    assert named == {"stalled"}
    assert named <= set(STATES)


def test_each_alert_looks_at_this_release_and_says_what_to_do():
    assert len(rules()) >= 5
    for rule in rules():
        selectors = re.findall(r"negset_[a-z_]+(\{[^}]*\})?", rule["expr"])
        assert all('namespace="negset-system",job="negset-metrics"' in selector for selector in selectors), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert all(rule["annotations"][text].endswith(".") for text in ("summary", "description"))


def test_the_job_that_the_alerts_name_is_the_service_that_the_monitor_finds():
    assert one(ON, "Service")["metadata"]["name"] == "negset-metrics"


def test_grafanas_sidecar_finds_the_dashboard():
    assert one(ON, "ConfigMap", "negset-dashboard")["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_no_two_panels_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
