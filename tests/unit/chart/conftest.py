"""Renders the chart with a real helm: the one in HELM, on the PATH, or built for the test cluster."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

CHART = Path(__file__).parents[3] / "charts" / "negset"
# A helm that was built from its module without version stamps takes the cluster for Kubernetes 1.20.
KUBERNETES = "1.36.0"

Objects = list[dict[str, Any]]


def find_helm() -> str | None:
    cache = Path(os.environ.get("NEGSET_CACHE") or Path.home() / ".cache" / "negset")
    built = sorted(cache.glob("bin/helm-*/helm"))
    return os.environ.get("HELM") or shutil.which("helm") or (str(built[-1]) if built else None)


@pytest.fixture(scope="session")
def helm() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs helm; the values are given as one object. Returns the finished process, whether it succeeded or not."""
    program = find_helm()
    if program is None:
        pytest.skip("helm was NOT FOUND (HELM, PATH, the test cluster's cache): nothing of the chart is tested")

    def run(verb: str, *arguments: str, values: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, verb, *arguments, "--kube-version", KUBERNETES, "--values", "-"],
            input=json.dumps(values or {}),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def render(helm) -> Callable[[dict[str, Any]], Objects]:
    """values → every object that the chart renders, in a release called negset in the namespace negset-system."""

    @functools.cache
    def rendered(values: str) -> str:
        done = helm("template", "negset", str(CHART), "--namespace", "negset-system", values=json.loads(values))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return lambda values: [found for found in yaml.safe_load_all(rendered(json.dumps(values))) if found]


@pytest.fixture
def one(render) -> Callable[..., dict[str, Any]]:
    """The one object of a kind (and, where there are several, of a name) that the chart renders."""

    def find(values: dict[str, Any], kind: str, name: str | None = None) -> dict[str, Any]:
        (found,) = (o for o in render(values) if o["kind"] == kind and name in (None, o["metadata"]["name"]))
        return found

    return find
