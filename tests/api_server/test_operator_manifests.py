"""The objects of the builders, checked by the API server.

It checks its own schemas, those of KubeRay, and Pod Security "restricted".
"""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import ApiException, CoreV1Api
from operators import SPEC, TRAINING, Cluster
from tests.supporting import every_supporting_object

from negset_api import names, stages, validation
from negset_api.revision import revision
from negset_operator import naming
from negset_operator.config import Config, Images, Networks, Placement, Pods
from negset_operator.manifests import job, supporting_objects
from negset_operator.manifests.subject import Object, Subject
from negset_operator.policies.creation import BUILDERS

FULL = {
    **SPEC,
    **TRAINING,
    "training": {
        "pipelineConfig": {"configMap": "my-pipeline"},
        "steps": 100,
        "workers": 3,
        "gpusPerWorker": 2,
        "hardNegativeMining": {"gpusPerWorker": 1},
        "comparisons": ["NoNegatives", "RandomNegatives"],
    },
    "queueName": "team-a",
}
CONFIG = Config(
    images=Images(pull_secrets=("registry",)),
    networks=Networks(images=("10.8.0.0/16",), stores=("10.9.0.0/16",), api_server=("10.96.0.1/32", "fd00::1/128")),
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
        spec_hash=naming.spec_hash(spec),
        config=CONFIG,
    )


def jobs_of(built: Subject) -> dict[str, Object]:
    """Return the job of each step, and the job that deletes the data, by role."""
    steps = {step.role: BUILDERS[step.kind](built, f"street-{step.role}", step) for step in stages.steps(built.spec)}
    return {**steps, "delete": job.delete(built, "street-delete", "delete")}


ROLES = ("check", "data", "train-none", "train-1", "mine-1", "train-random-2", "train-2", "delete")


def pod_templates(manifest: Object) -> list[Object]:
    if manifest["kind"] == "Job":
        return [manifest["spec"]["template"]]
    cluster = manifest["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("role", ROLES)
def test_pods_are_admitted_where_restricted_is_enforced(api_server, restricted_namespace, role):
    core = CoreV1Api(api_server.client)
    core.create_namespaced_service_account(restricted_namespace, {"metadata": {"name": "street-negset"}})
    for number, template in enumerate(pod_templates(jobs_of(subject(restricted_namespace))[role])):
        body = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": f"p{number}"}}
        core.create_namespaced_pod(restricted_namespace, body, dry_run="All", field_validation="Strict")


def test_a_pod_that_is_not_restricted_would_have_been_refused(api_server, restricted_namespace):
    core = CoreV1Api(api_server.client)
    core.create_namespaced_service_account(restricted_namespace, {"metadata": {"name": "street-negset"}})
    (template,) = pod_templates(jobs_of(subject(restricted_namespace))["train-1"])
    (container,) = template["spec"]["containers"]
    careless = {**template["spec"], "containers": [{**container, "securityContext": {}}]}
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_pod(restricted_namespace, {"metadata": {"name": "p"}, "spec": careless}, dry_run="All")
    assert 'violates PodSecurity \\"restricted' in caught.value.body


@pytest.mark.parametrize("role", ROLES)
def test_jobs_have_no_field_that_their_schema_does_not_know(api_server, namespace, role):
    accepted_strictly(Cluster(api_server, namespace), jobs_of(subject(namespace))[role])


def test_supporting_objects_have_no_field_that_their_schema_does_not_know(api_server, namespace):
    cluster, built = Cluster(api_server, namespace), subject(namespace)
    for manifest in (*every_supporting_object(built), supporting_objects.headless_service(built, "street-train-1", "train-1")):
        accepted_strictly(cluster, manifest)


def accepted_strictly(cluster: Cluster, manifest: Object) -> None:
    """Create it by a dry run, which fails for unknown fields and for invalid values."""
    resource: Any = cluster.kind(manifest["apiVersion"], manifest["kind"])
    path = f"{resource.path(namespace=cluster.namespace)}?fieldValidation=Strict&dryRun=All"
    cluster.dynamic.request("post", path, body=manifest)
