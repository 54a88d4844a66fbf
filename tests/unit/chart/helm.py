"""A real Helm for tests: the one in HELM, on the PATH, or built for the test cluster."""

from __future__ import annotations

import functools
import json
import subprocess
from typing import Any

import yaml
from tests.unit.chart import programs
from tests.unit.chart.programs import ROOT

CHART = ROOT / "charts" / "negset"
# Helm built from its module without version stamps assumes Kubernetes 1.20.
KUBERNETES = "1.36.0"

Objects = list[dict[str, Any]]


def program() -> str:
    """Return the path of Helm."""
    return programs.find("helm", "what the chart renders")


def run(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm with `values`. Return the finished process, also if it failed."""
    return subprocess.run(
        [program(), *arguments, "--kube-version", KUBERNETES, "--values", "-"],
        input=json.dumps(values or {}),
        capture_output=True,
        text=True,
        check=False,
    )


@functools.cache
def _rendered(values: str, namespace: str) -> str:
    done = run("template", "negset", str(CHART), "--namespace", namespace, values=json.loads(values))
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(values: dict[str, Any], namespace: str = "negset-system") -> Objects:
    """Return all objects that the chart renders, in a release called negset."""
    return [found for found in yaml.safe_load_all(_rendered(json.dumps(values), namespace)) if found]


def one(values: dict[str, Any], kind: str, name: str | None = None) -> dict[str, Any]:
    """Return the one rendered object of a kind. If there are several, `name` selects it."""
    (found,) = (item for item in render(values) if item["kind"] == kind and name in (None, item["metadata"]["name"]))
    return found
