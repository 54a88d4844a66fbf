"""The health checks of the chart agree with a NegativeDataset's conditions.

Argo CD's check runs in a real Lua, Flux's in a real CEL.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cel
import pytest
import yaml

from negset_api import names

GITOPS = Path(__file__).parents[2] / "charts" / "negset" / "gitops"


def dataset(
    *conditions: tuple[str, str, str], generation: int = 3, observed: int | None = 3, suspend: bool = False, deleted: bool = False
) -> dict[str, Any]:
    """A NegativeDataset with these (type, status, message) conditions.

    With `observed=None` it has no status at all.
    """
    metadata: dict[str, Any] = {"name": "street-background", "namespace": "team-a", "generation": generation}
    if deleted:
        metadata["deletionTimestamp"] = "2026-11-23T06:00:00Z"
    found: dict[str, Any] = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": {"suspend": suspend}}
    if observed is not None:
        found["status"] = {
            "observedGeneration": observed,
            "conditions": [{"type": kind, "status": status, "message": message, "reason": "Any"} for kind, status, message in conditions],
        }
    return found


READY = ("Ready", "True", "1000 images, report written")
NOT_READY = ("Ready", "False", "400 of 1000 images")
RECONCILING = ("Reconciling", "True", "Downloading")
STALLED = ("Stalled", "True", "spec.excludeClasses: unknown class 'cars'; did you mean 'car'?")
SUSPENDED = ("Ready", "False", "Suspended after 400 of 1000 images")

# case: (object, Argo CD's health, its message, Flux's status)
CASES = {
    "a dataset that the operator has not seen yet is in progress": (
        dataset(observed=None),
        "Progressing",
        "Waiting for the operator",
        "InProgress",
    ),
    "a status without conditions is in progress": (dataset(), "Progressing", "", "InProgress"),
    "an empty status is in progress": (
        dataset(observed=None) | {"status": {}},
        "Progressing",
        "Waiting for the operator",
        "InProgress",
    ),
    "a Ready of an earlier spec is in progress": (
        dataset(READY, generation=4),
        "Progressing",
        "Waiting for the operator to see the latest change",
        "InProgress",
    ),
    "a Stalled of an earlier spec is in progress": (
        dataset(NOT_READY, STALLED, generation=4),
        "Progressing",
        "Waiting for the operator to see the latest change",
        "InProgress",
    ),
    "work under way shows what is done now": (dataset(NOT_READY, RECONCILING), "Progressing", "Downloading", "InProgress"),
    "work that waits without a Reconciling condition shows Ready's message": (
        dataset(NOT_READY),
        "Progressing",
        "400 of 1000 images",
        "InProgress",
    ),
    "a stalled dataset is degraded, with the reason": (dataset(NOT_READY, STALLED), "Degraded", STALLED[2], "Failed"),
    "a Stalled condition that is False is not degraded": (
        dataset(NOT_READY, ("Stalled", "False", "")),
        "Progressing",
        "400 of 1000 images",
        "InProgress",
    ),
    "a finished dataset is healthy": (dataset(READY), "Healthy", READY[2], "Current"),
    "a suspended dataset is suspended, and Flux continues": (dataset(SUSPENDED, suspend=True), "Suspended", SUSPENDED[2], "Current"),
    "a dataset whose jobs are still being stopped is in progress": (
        dataset(NOT_READY, RECONCILING, suspend=True),
        "Progressing",
        "Downloading",
        "InProgress",
    ),
    "a suspension that the operator has not seen yet is in progress": (
        dataset(READY, suspend=True, observed=2),
        "Progressing",
        "Waiting for the operator to see the latest change",
        "InProgress",
    ),
    "a finished dataset that is suspended afterwards stays healthy": (dataset(READY, suspend=True), "Healthy", READY[2], "Current"),
    "a stalled dataset that is suspended stays degraded": (
        dataset(NOT_READY, STALLED, suspend=True),
        "Degraded",
        STALLED[2],
        "Failed",
    ),
    "a dataset that is being deleted is in progress, with any conditions": (
        dataset(READY, deleted=True),
        "Progressing",
        "Being deleted",
        "InProgress",
    ),
}


def argo_health(found: dict[str, Any]) -> tuple[str, str]:
    """Argo CD's verdict and message.

    The script runs in Lua 5.1 (the language of Argo CD's gopher-lua), with the libraries that Argo
    CD opens and the object as `obj`.
    """
    lua51 = pytest.importorskip("lupa.lua51", reason="lupa, a real Lua, is not installed: Argo CD's health check is NOT tested")
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    lua.execute("debug.setmetatable('', nil); string, io, math, coroutine, debug = nil, nil, nil, nil, nil")
    lua.globals().obj = lua.table_from(found, recursive=True)
    verdict = lua.execute((GITOPS / "argocd-health.lua").read_text())
    return verdict.status, verdict.message


def flux_status(found: dict[str, Any]) -> str:
    """Flux's verdict, in the order of its RFC 0009.

    The generations come first, then inProgress, failed, current. An expression that cannot be
    evaluated means waiting.
    """
    (check,) = yaml.safe_load((GITOPS / "flux-healthchecks.yaml").read_text())["spec"]["healthCheckExprs"]
    assert (check["apiVersion"], check["kind"]) == (names.API_VERSION, names.KIND)
    observed = found.get("status", {}).get("observedGeneration")
    if observed is not None and observed != found["metadata"]["generation"]:
        return "InProgress"
    for expression, status in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        try:
            verdict = cel.evaluate(check[expression], found)
        except RuntimeError:
            assert "status" not in found, f"{expression} must be evaluable as soon as there is a status"
            return "InProgress"
        assert isinstance(verdict, bool)
        if verdict:
            return status
    return "InProgress"


@pytest.mark.parametrize(("found", "health", "message", "_status"), CASES.values(), ids=CASES.keys())
def test_argo_cd_shows(found, health, message, _status):
    assert argo_health(found) == (health, message)


@pytest.mark.parametrize(("found", "_health", "_message", "status"), CASES.values(), ids=CASES.keys())
def test_flux_waits_for(found, _health, _message, status):
    assert flux_status(found) == status


def test_the_instructions_name_the_key_that_argo_cd_looks_for():
    key = f"resource.customizations.health.{names.GROUP}_{names.KIND}"
    assert f"--from-file={key}=argocd-health.lua" in (GITOPS / "README.md").read_text()
