"""Each alert fires with the right text when it should, and is silent otherwise.

Prometheus' own promtool evaluates the chart's rules.
"""

from __future__ import annotations

import re

import pytest
from tests.unit.chart import healthy_installation as installation
from tests.unit.chart import promtool
from tests.unit.chart.alert_cases import HEALTHY, ILL, Healthy, Ill


def ids(cases):
    return [f"{case.alert}: {case.name}" for case in cases]


def rendered(text: str, labels: dict[str, str], value: str) -> str:
    """Return an annotation as Prometheus renders it."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: labels[match[1]], text)
    return re.sub(r"\{\{ \$value[^}]*\}\}", value, text)


def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path):
    done = promtool.run("check", "rules", "--lint=all", "--lint-fatal", str(promtool.rules_file(tmp_path)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(promtool.alerts())} rules found" in done.stdout


def test_each_alert_has_series_on_which_it_fires_and_series_on_which_it_does_not():
    assert {case.alert for case in ILL} == promtool.alerts().keys()
    assert {case.alert for case in HEALTHY} == promtool.alerts().keys()


@pytest.mark.parametrize("case", ILL, ids=ids(ILL))
def test_an_alert_fires_where_something_is_ill(tmp_path, case: Ill):
    rule = promtool.alerts()[case.alert]
    expected = [
        {
            "exp_labels": {**labels, **rule["labels"]},
            "exp_annotations": {name: rendered(text, labels, value) for name, text in rule["annotations"].items()},
        }
        for labels, value in case.fires
    ]
    assert "{{" not in str(expected)
    checks = [
        {"eval_time": f"{case.not_yet}m", "alertname": case.alert, "exp_alerts": []},
        {"eval_time": f"{case.at}m", "alertname": case.alert, "exp_alerts": expected},
    ]
    promtool.evaluate(tmp_path, dict(case.series), alert_rule_test=checks)


@pytest.mark.parametrize("case", HEALTHY, ids=ids(HEALTHY))
def test_an_alert_is_silent_where_nothing_is_ill(tmp_path, case: Healthy):
    fired = f'count_over_time(ALERTS{{alertname="{case.alert}",alertstate="firing"}}[{case.minutes}m])'
    checks = [{"eval_time": f"{case.minutes}m", "expr": fired, "exp_samples": []}]
    promtool.evaluate(tmp_path, dict(case.series), promql_expr_test=checks)


def test_nothing_fires_in_eight_hours_of_a_healthy_installation_of_two_replicas(tmp_path):
    """Some alerts are pending, but none fires.

    The operator is updated, datasets stall for five minutes, a node is drained, and the API server
    and then Prometheus are away.
    """
    everything, end = installation.everything(), f"{installation.MINUTES}m"
    spoken_of = {name for rule in promtool.alerts().values() for name in re.findall(r"\bnegset_\w+", rule["expr"])}
    assert spoken_of <= {name.partition("{")[0] for name in everything}
    noticed = [
        "NegsetApiServerErrors",
        "NegsetDatasetStalled",
        "NegsetOperatorWithoutLeader",
        "NegsetQueueDoesNotDrain",
        "NegsetReconcilesSlow",
        "NegsetStepsKeepFailing",
        "NegsetWatchesFail",
    ]
    checks = [
        {"eval_time": end, "expr": f'count_over_time(ALERTS{{alertstate="firing"}}[{end}])', "exp_samples": []},
        {
            "eval_time": end,
            "expr": f'group by (alertname) (count_over_time(ALERTS{{alertstate="pending"}}[{end}]))',
            "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in noticed],
        },
    ]
    promtool.evaluate(tmp_path, everything, promql_expr_test=checks)
