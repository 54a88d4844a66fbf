"""A real helm for tests: the one in HELM, on the PATH, or built for the test cluster."""

from __future__ import annotations

import functools
import json
import subprocess
from typing import Any

import yaml
from tests.unit.chart import programs
from tests.unit.chart.programs import ROOT

CHART = ROOT / "charts" / "negset"
# A helm that was built from its module without version stamps takes every cluster for Kubernetes
# 1.20.
KUBERNETES = "1.36.0"

Objects = list[dict[str, Any]]


def program() -> str:
    """The path of helm."""
    return programs.find("helm", "what the chart renders")


def run(*arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs helm with the values given as one object.

    Returns the finished process, whether it succeeded or not.
    """
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
    """Every object that the chart renders, in a release called negset."""
    return [found for found in yaml.safe_load_all(_rendered(json.dumps(values), namespace)) if found]


def one(values: dict[str, Any], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one object of a kind (and, where there are several, of a name) that the chart renders."""
    (found,) = (item for item in render(values) if item["kind"] == kind and name in (None, item["metadata"]["name"]))
    return found
