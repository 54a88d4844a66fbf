"""The jobs' own parser understands each command line that the operator writes into a child.

It understands it as the intended step.
"""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest

from negset_api import names, stages, validation
from negset_jobs import cli
from negset_operator.config import Config, Networks
from negset_operator.decide import decide
from negset_operator.facts import Child, Facts, Work
from negset_operator.kube.objects import Dataset, ObjectMeta, OwnerReference
from negset_operator.observe import read_spec

NETWORKS = Networks(images=("10.96.0.0/12", "fd00::/8"), stores=("10.9.0.0/16",), schemes=("s3", "https"))
CONFIG = Config(networks=NETWORKS)
UID = "11111111-1111-1111-1111-111111111111"
BOTH = ["NoNegatives", "RandomNegatives"]

DATA: dict[str, Any] = {
    "source": {"coco": {"annotations": "s3://datasets/instances.json"}},
    "excludeClasses": ["person"],
    "selection": {"count": 100},
    "output": {"url": "s3://team-a/negatives"},
}


def training(**fields: Any) -> dict[str, Any]:
    model = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-320"}, "steps": 100}
    return {**DATA, "positives": {"tfrecords": ["s3://team-a/*.tfrecord"]}, "training": {**model, **fields}}


SPECS = {
    "only data": DATA,
    "one round": training(hardNegativeMining={"rounds": 1}),
    "two rounds": training(),
    "two rounds, compared with no negatives": training(comparisons=["NoNegatives"]),
    "two rounds, compared with random negatives": training(comparisons=["RandomNegatives"]),
    "ten rounds, compared with both": training(comparisons=BOTH, hardNegativeMining={"rounds": 10}),
    "several workers with GPUs, which score with GPUs, too": training(
        comparisons=BOTH, workers=4, gpusPerWorker=2, hardNegativeMining={"rounds": 3, "gpusPerWorker": 1}
    ),
}


def facts(spec: dict[str, Any], children: tuple[Child, ...], *, deleted: bool = False) -> Facts:
    """The facts about a dataset with these children. The API server has filled in the defaults."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    meta = ObjectMeta(
        name="street",
        namespace="team-a",
        uid=UID,
        finalizers=(names.FINALIZER,) if deleted else (),
        deletion_timestamp=now if deleted else None,
    )
    dataset = Dataset(metadata=meta, spec={**spec, "deletionPolicy": "Delete"})
    parsed, problems = read_spec(dataset)
    return Facts(
        dataset=dataset,
        spec=parsed,
        problems=problems,
        revision="r",
        url="s3://b/r",
        spec_hash="n",
        children=children,
        supporting_objects=(),
        now=now,
    )


def succeeded(manifest: Any) -> Child:
    meta = manifest["metadata"]
    metadata = ObjectMeta(name=meta["name"], namespace=meta["namespace"], owner_references=(OwnerReference(uid=UID),))
    role = meta["labels"][names.LABEL_ROLE]
    return Child(kind=manifest["kind"], metadata=metadata, work=Work.SUCCEEDED, revision="r", spec_hash="n", role=role)


def command_of(manifest: Any) -> list[str]:
    if manifest["kind"] == "RayJob":
        return shlex.split(manifest["spec"]["entrypoint"])
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return list(container["command"])


def commands(spec: dict[str, Any]) -> dict[str, list[str]]:
    """The command of every child by role: each is made when it is due, and succeeds."""
    done: dict[str, Child] = {}
    found: dict[str, list[str]] = {}
    while made := [each.manifest for each in decide(facts(spec, tuple(done.values())), CONFIG).creations if "Job" in each.manifest["kind"]]:
        for manifest in made:
            child = succeeded(manifest)
            assert child.role not in done, "nothing is made twice"
            done[child.role], found[child.role] = child, command_of(manifest)
    (deletion,) = (each.manifest for each in decide(facts(spec, (), deleted=True), CONFIG).creations if each.manifest["kind"] == "Job")
    return {**found, "delete": command_of(deletion)}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_the_jobs_understand_what_the_operator_writes(spec):
    manifest = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "street"}, "spec": spec}
    steps = {step.role: step for step in stages.steps(validation.parse(manifest).spec)}
    found = commands(spec)
    assert set(found) == {*steps, "delete"}
    for role, (program, *words) in found.items():
        options = cli._parser().parse_args(words)
        assert program == "negset"
        assert (options.file, options.cluster) == (names.MANIFEST_FILE, True)
        assert options.allow_address == list(NETWORKS.images)
        assert options.allow_store == list(NETWORKS.stores)
        assert options.allow_scheme == list(NETWORKS.schemes)
        step = steps.get(role)
        assert options.stage == (step.kind if step else "delete")
        if step is not None and step.round:
            assert (options.round, options.arm) == (step.round, step.arm or names.MINED)


def test_a_command_that_the_jobs_do_not_know_would_be_noticed(capsys):
    with pytest.raises(SystemExit):
        cli._parser().parse_args(["job", "train", "--file", "f", "--round", "1", "--arm", "Baseline"])
    assert "invalid choice: 'Baseline'" in capsys.readouterr().err


def test_the_check_runs_without_the_token_that_its_pod_has_not(tmp_path):
    spec = {**training(), "output": {"url": "memory://out"}}  # local paths are refused on a cluster
    document = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "street"}, "spec": spec}
    (tmp_path / "dataset.yaml").write_text(json.dumps(document))
    assert cli.main(["job", "check", "--file", str(tmp_path / "dataset.yaml"), "--cluster", "--allow-scheme", "memory"]) == 0
