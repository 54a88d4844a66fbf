"""What the builders make, judged by the API server itself: its schemas, KubeRay's, and Pod Security "restricted"."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api
from operators import SPEC, TRAINING, Hand

from negset_api import names, validation
from negset_api.revision import revision
from negset_operator import naming
from negset_operator.config import Config, Images, Networks, Placement, Pods
from negset_operator.manifests import companions, job, ray_job
from negset_operator.manifests.subject import Object, Subject

FULL = {
    **SPEC,
    **TRAINING,
    "training": {
        "pipelineConfig": {"configMap": "my-pipeline"},
        "steps": 100,
        "workers": 3,
        "gpusPerWorker": 2,
    },
    "queueName": "team-a",
}
CONFIG = Config(
    images=Images(pull_secrets=("registry",)),
    networks=Networks(allowed=("10.9.0.0/16",)),
    pods=Pods(trainer_placement=Placement(node_selector={"gpu": "yes"}, tolerations=({"key": "gpu", "operator": "Exists"},))),
)


def subject(namespace: str, name: str = "street") -> Subject:
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": FULL,
    }
    spec = validation.parse(manifest).spec
    return Subject(
        namespace=namespace,
        name=name,
        uid="11111111-1111-1111-1111-111111111111",
        spec=spec,
        manifest=FULL,
        revision=revision(spec),
        run=naming.run_of(spec),
        config=CONFIG,
    )


BUILDERS = {
    "data": lambda s: ray_job.data(s, "street-data", "data"),
    "mine": lambda s: ray_job.mine(s, "street-mine-1", "mine-1", 1),
    "train": lambda s: job.train(s, "street-train-1", "train-1", 1),
    "delete": lambda s: job.delete(s, "street-delete", "delete"),
}


def pod_templates(manifest: Object) -> list[Object]:
    if manifest["kind"] == "Job":
        return [manifest["spec"]["template"]]
    cluster = manifest["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS.keys())
def test_pods_are_admitted_where_restricted_is_enforced(api_server, restricted_namespace, builder):
    core = CoreV1Api(api_server.client)
    core.create_namespaced_service_account(restricted_namespace, {"metadata": {"name": "street-negset"}})
    for number, template in enumerate(pod_templates(builder(subject(restricted_namespace)))):
        body = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": f"p{number}"}}
        core.create_namespaced_pod(restricted_namespace, body, dry_run="All", field_validation="Strict")


def test_a_pod_that_is_not_restricted_would_have_been_refused(api_server, restricted_namespace):
    core = CoreV1Api(api_server.client)
    core.create_namespaced_service_account(restricted_namespace, {"metadata": {"name": "street-negset"}})
    (template,) = pod_templates(BUILDERS["train"](subject(restricted_namespace)))
    (container,) = template["spec"]["containers"]
    careless = {**template["spec"], "containers": [{**container, "securityContext": {}}]}
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_pod(restricted_namespace, {"metadata": {"name": "p"}, "spec": careless}, dry_run="All")
    assert 'violates PodSecurity \\"restricted' in caught.value.body


@pytest.mark.parametrize("builder", BUILDERS.values(), ids=BUILDERS.keys())
def test_jobs_have_no_field_that_their_schema_does_not_know(api_server, namespace, builder):
    accepted_strictly(Hand(api_server, namespace), builder(subject(namespace)))


def test_companions_have_no_field_that_their_schema_does_not_know(api_server, namespace):
    hand, built = Hand(api_server, namespace), subject(namespace)
    for manifest in (*companions.all_of(built), companions.headless_service(built, "street-train-1", "train-1")):
        accepted_strictly(hand, manifest)


def accepted_strictly(hand: Hand, manifest: Object) -> None:
    """Creates it without keeping it; unknown fields and everything that validation refuses fail."""
    resource: Any = hand.kind(manifest["apiVersion"], manifest["kind"])
    path = f"{resource.path(namespace=hand.namespace)}?fieldValidation=Strict&dryRun=All"
    hand.dynamic.request("post", path, body=manifest)
