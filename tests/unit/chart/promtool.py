"""A real promtool for tests.

It checks the chart's rules and the operator's metrics, and evaluates the rules over given series.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.unit.chart import programs
from tests.unit.chart.helm import one

RULES_ON = {"metrics": {"rules": {"enabled": True}, "dashboard": {"enabled": True}, "serviceMonitor": {"enabled": True}}}
SCRAPE_SECONDS = 30
"""As in the chart's ServiceMonitor and most installations. Rules are evaluated as often."""


def run(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    program = programs.find("promtool", "whether the chart's alerts fire when they should, and only then")
    return subprocess.run([program, *arguments], input=given, capture_output=True, text=True, check=False)


def groups() -> list[dict[str, Any]]:
    """Return the groups of rules that the chart renders."""
    found: list[dict[str, Any]] = one(RULES_ON, "PrometheusRule")["spec"]["groups"]
    return found


def alerts() -> dict[str, dict[str, Any]]:
    """Return the chart's alerts by name."""
    return {rule["alert"]: rule for group in groups() for rule in group["rules"]}


def rules_file(folder: Path) -> Path:
    """Write the chart's rules to a file for Prometheus. JSON is valid YAML."""
    path = folder / "rules.json"
    path.write_text(json.dumps({"groups": groups()}))
    return path


def evaluate(folder: Path, series: dict[str, str], **expected: Any) -> None:
    """Evaluate the chart's rules over these series. Fail with promtool's output on a difference."""
    interval = f"{SCRAPE_SECONDS}s"
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {
        "rule_files": [rules_file(folder).name],
        "evaluation_interval": interval,
        "tests": [{"interval": interval, "input_series": given, **expected}],
    }
    path = folder / "test.json"
    path.write_text(json.dumps(test))
    done = run("test", "rules", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
