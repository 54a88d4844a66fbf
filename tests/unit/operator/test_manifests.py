"""The fields that the builders set, and those that they leave out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from building import DATA_ONLY, TRAINING, DatasetState, merged
from tests.supporting import every_supporting_object

from negset_api import names, stages, validation
from negset_api.revision import revision
from negset_operator.config import Config, Networks, Placement, Pods, Proxy
from negset_operator.decide import subject_of
from negset_operator.facts import Pipeline
from negset_operator.manifests import job, supporting_objects
from negset_operator.manifests.subject import Subject
from negset_operator.policies.creation import BUILDERS


def subject(spec: dict[str, Any], config: Config | None = None) -> Subject:
    facts = DatasetState(spec).facts()
    return subject_of(facts, facts.spec, config or Config())


def containers(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    if manifest["kind"] == "Job":
        templates = [manifest["spec"]["template"]]
    else:
        cluster = manifest["spec"]["rayClusterSpec"]
        templates = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    return [container for template in templates for container in template["spec"]["containers"]]


def jobs_of(spec: dict[str, Any], config: Config | None = None) -> dict[str, dict[str, Any]]:
    """Return the job of each step, and the job that deletes the data, by role."""
    built = subject(spec, config)
    steps = {step.role: BUILDERS[step.kind](built, "c", step) for step in stages.steps(built.spec)}
    return {**steps, "delete": job.delete(built, "c", "delete")}


def all_jobs(spec: dict[str, Any], config: Config | None = None) -> list[dict[str, Any]]:
    return list(jobs_of(spec, config).values())


def worker_group(ray_job: dict[str, Any]) -> dict[str, Any]:
    (group,) = ray_job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    return group


COMMANDS = {
    "check": "check",
    "data": "data",
    "train-none": "train --round 2 --arm NoNegatives",
    "train-1": "train --round 1 --arm Mined",
    "mine-1": "mine --round 1",
    "train-random-2": "train --round 2 --arm RandomNegatives",
    "train-2": "train --round 2 --arm Mined",
    "delete": "delete",
}


def test_each_job_runs_its_stage():
    spec = merged(TRAINING, {"training": {"comparisons": ["NoNegatives", "RandomNegatives"]}})
    built = jobs_of(spec, Config(networks=Networks(images=("10.0.0.0/8",), stores=("10.9.0.0/16",), schemes=("s3", "https"))))
    ran = {role: each["spec"].get("entrypoint") or " ".join(containers(each)[0]["command"]) for role, each in built.items()}
    tail = "--file /etc/negset/dataset.yaml --cluster --allow-address 10.0.0.0/8 --allow-store 10.9.0.0/16 --allow-scheme s3 --allow-scheme https"
    assert ran == {role: f"negset job {words} {tail}" for role, words in COMMANDS.items()}


def test_jobs_use_the_proxy_that_the_administrator_names():
    proxy = Proxy(url="http://proxy.example:3128", bypass=("svc", "10.0.0.0/8"))
    (data,) = (each for role, each in jobs_of(TRAINING, Config(networks=Networks(proxy=proxy))).items() if role == "data")
    assert data["spec"]["entrypoint"].endswith("--proxy http://proxy.example:3128 --no-proxy svc --no-proxy 10.0.0.0/8")


def test_the_secrets_of_other_stores_become_variables_with_a_prefix():
    stores = [
        {"prefix": "s3://a", "secretName": "partner-s3"},
        {"prefix": "s3://b", "secretName": "partner-s3"},
        {"prefix": "s3://c", "anonymous": True},
    ]
    spec = merged(TRAINING, {"output": {"secretName": "own"}, "stores": stores})
    expected = [{"secretRef": {"name": "own"}}, {"prefix": "NEGSET_PARTNER_S3_", "secretRef": {"name": "partner-s3"}}]
    pods = [each for job in jobs_of(spec).values() for each in containers(job)]
    assert all(each["envFrom"] == expected for each in pods)
    given = [{variable["name"]: variable.get("value") for variable in each["env"]} for each in pods]
    assert all(each[name] == "" for each in given for name in ("LD_PRELOAD", "PYTHONPATH")), "a Secret decides no code"


def test_only_what_checks_trains_or_scores_carries_tensorflow():
    with_tensorflow = {
        role for role, each in jobs_of(TRAINING).items() if {found["image"] for found in containers(each)} == {Config().images.trainer}
    }
    assert with_tensorflow == {"check", "train-1", "mine-1", "train-2"}


def test_the_secret_becomes_environment_variables_of_every_container_and_is_named_nowhere_else():
    spec = merged(TRAINING, {"output": {"secretName": "s3-credentials"}})
    for manifest in all_jobs(spec):
        assert all(container["envFrom"] == [{"secretRef": {"name": "s3-credentials"}}] for container in containers(manifest))
    for manifest in all_jobs(TRAINING):
        assert all("envFrom" not in container for container in containers(manifest))


def test_every_container_has_requests_and_limits_and_a_read_only_root():
    for manifest in all_jobs(TRAINING):
        for container in containers(manifest):
            assert set(container["resources"]) == {"requests", "limits"}
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]) & set(container["resources"]["limits"])
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_only_the_pods_that_report_progress_hold_a_token():
    built = jobs_of(TRAINING)
    cluster = built["data"]["spec"]["rayClusterSpec"]
    assert cluster["headGroupSpec"]["template"]["spec"]["automountServiceAccountToken"] is True
    assert worker_group(built["data"])["template"]["spec"]["automountServiceAccountToken"] is False
    tokens = {
        role: built[role]["spec"]["template"]["spec"]["automountServiceAccountToken"] for role in ("check", "train-1", "train-2", "delete")
    }
    assert tokens == {"check": False, "train-1": True, "train-2": True, "delete": False}


GPU_NODES = Placement(node_selector={"pool": "gpu"}, tolerations=({"key": "gpu", "operator": "Exists"},))
ON_GPU_NODES = Config(pods=Pods(placement=Placement(node_selector={"pool": "cpu"}), trainer_placement=GPU_NODES))


def gpus_of(manifest: dict[str, Any], resource: str = "nvidia.com/gpu") -> list[tuple[str | None, str | None]]:
    """Return the requests and limits of each container of a job."""
    found = [container["resources"] for container in containers(manifest)]
    return [(each["requests"].get(resource), each["limits"].get(resource)) for each in found]


GPUS: dict[str, tuple[dict[str, Any], dict[str, list[tuple[str | None, str | None]]]]] = {
    "no GPU is the default": ({}, {}),
    "training asks for its own": ({"gpusPerWorker": 2}, {"train-1": [("2", "2")], "train-2": [("2", "2")]}),
    "mining asks for its own, for the workers and not for the head": (
        {"hardNegativeMining": {"gpusPerWorker": 1}},
        {"mine-1": [(None, None), ("1", "1")]},
    ),
    "neither asks for the other's": (
        {"gpusPerWorker": 4, "hardNegativeMining": {"gpusPerWorker": 1}},
        {"train-1": [("4", "4")], "train-2": [("4", "4")], "mine-1": [(None, None), ("1", "1")]},
    ),
}


@pytest.mark.parametrize(("training", "expected"), GPUS.values(), ids=GPUS.keys())
def test_gpus(training, expected):
    found = {role: gpus_of(each) for role, each in jobs_of(merged(TRAINING, {"training": training})).items()}
    assert {role: gpus for role, gpus in found.items() if any(gpu != (None, None) for gpu in gpus)} == expected


@pytest.mark.parametrize(("gpus", "pool"), [(0, "cpu"), (2, "gpu")])
def test_ray_gets_the_number_of_gpus_and_their_pods_are_placed_on_gpu_nodes(gpus, pool):
    mine = jobs_of(merged(TRAINING, {"training": {"hardNegativeMining": {"gpusPerWorker": gpus}}}), ON_GPU_NODES)["mine-1"]
    group = worker_group(mine)
    assert group["rayStartParams"] == {"num-cpus": "1", "num-gpus": str(gpus)}
    assert group["template"]["spec"]["nodeSelector"] == {"pool": pool}
    assert ("gpu" in {toleration["key"] for toleration in group["template"]["spec"]["tolerations"]}) is bool(gpus)
    assert mine["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["nodeSelector"] == {"pool": "cpu"}


@pytest.mark.parametrize("resource", ["amd.com/gpu", "nvidia.com/mig-1g.10gb", "nvidia.com/gpu.shared", "gpu.intel.com/i915"])
def test_training_and_mining_ask_for_gpus_by_the_name_that_the_cluster_gives_them(resource):
    """KubeRay sets the number of GPUs only for the first two, so that the operator must set it."""
    training = {"gpuResourceName": resource, "gpusPerWorker": 2, "hardNegativeMining": {"gpusPerWorker": 1}}
    built = jobs_of(merged(TRAINING, {"training": training}))
    assert gpus_of(built["train-1"], resource) == [("2", "2")]
    assert gpus_of(built["mine-1"], resource) == [(None, None), ("1", "1")]
    assert worker_group(built["mine-1"])["rayStartParams"]["num-gpus"] == "1"
    assert gpus_of(built["data"], resource) == [(None, None), (None, None)]
    assert all(gpu == (None, None) for each in built.values() for gpu in gpus_of(each)), "and for no other"


def test_a_check_needs_no_gpu_and_occupies_no_gpu_node():
    check = jobs_of(merged(TRAINING, {"training": {"gpusPerWorker": 8, "workers": 4}}), ON_GPU_NODES)["check"]
    assert gpus_of(check) == [(None, None)]
    assert check["spec"]["template"]["spec"]["nodeSelector"] == {"pool": "cpu"}
    assert (check["spec"]["completions"], check["spec"]["backoffLimit"]) == (1, 4)


def test_training_pods_have_shared_memory_of_the_size_that_the_administrator_says():
    train = jobs_of(TRAINING, Config(pods=Pods(trainer_shared_memory="8Gi")))["train-1"]
    volumes = {volume["name"]: volume for volume in train["spec"]["template"]["spec"]["volumes"]}
    assert volumes["shared-memory"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert {"name": "shared-memory", "mountPath": "/dev/shm"} in containers(train)[0]["volumeMounts"]


def test_a_shared_memory_of_ours_does_not_keep_kuberay_from_mounting_its_own():
    for role in ("data", "mine-1"):
        mounts = [mount["mountPath"] for container in containers(jobs_of(TRAINING)[role]) for mount in container["volumeMounts"]]
        assert "/dev/shm" not in mounts


def test_workers_that_train_together_know_each_other():
    train = jobs_of(merged(TRAINING, {"training": {"workers": 3}}))["train-1"]
    index, config = containers(train)[0]["env"][-2:]
    assert index["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    # Kubernetes replaces $(JOB_INDEX) by the pod's index before the container sees it.
    assert json.loads(config["value"].replace("$(JOB_INDEX)", "1")) == {
        "cluster": {"worker": ["c-0.c:2222", "c-1.c:2222", "c-2.c:2222"]},
        "task": {"type": "worker", "index": 1},
    }
    spec = train["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["template"]["spec"]["subdomain"] == "c"


def test_a_single_worker_needs_no_cluster():
    train = jobs_of(TRAINING)["train-1"]
    assert "TF_CONFIG" not in {variable["name"] for variable in containers(train)[0]["env"]}
    assert "subdomain" not in train["spec"]["template"]["spec"]


def with_own_pipeline(content: bytes = b"model { }") -> Subject:
    spec = merged(TRAINING, {"training": {"pipelineConfig": {"configMap": "my-pipeline"}}})
    del spec["training"]["pipelineConfig"]["preset"]
    facts = DatasetState(spec).but(pipeline=Pipeline(content=content, digest="c0ffeec0ffee")).facts()
    return subject_of(facts, facts.spec, Config())


@pytest.mark.parametrize(("role", "reads"), [("check", True), ("train-1", True), ("data", False), ("mine-1", False), ("delete", False)])
def test_a_copy_of_the_users_pipeline_is_mounted_where_a_job_reads_it(role, reads):
    built = with_own_pipeline()
    steps = {step.role: BUILDERS[step.kind](built, "c", step) for step in stages.steps(built.spec)}
    found = {**steps, "delete": job.delete(built, "c", "delete")}[role]
    variable = {"name": names.PIPELINE_CONFIG_VARIABLE, "value": names.PIPELINE_CONFIG_FILE}
    assert [variable in container["env"] for container in containers(found)] == [reads] * len(containers(found))
    assert "my-pipeline" not in json.dumps(found), "after any change of the user's ConfigMap, the pods see the same bytes"
    if reads:
        volumes = {volume["name"]: volume for volume in found["spec"]["template"]["spec"]["volumes"]}
        copy = supporting_objects.config_map(built)
        items = [{"key": "pipeline.config", "path": "pipeline.config"}]
        assert volumes["pipeline"]["configMap"] == {"name": copy["metadata"]["name"], "items": items}
        assert (copy["data"]["pipeline.config"], copy["immutable"]) == ("model { }", True)


def test_what_is_no_text_is_copied_byte_for_byte():
    copy = supporting_objects.config_map(with_own_pipeline(b"\xff\xfem"))
    assert base64.b64decode(copy["binaryData"]["pipeline.config"]) == b"\xff\xfem"
    assert copy["data"].keys() == {"dataset.yaml"}


def test_the_jobs_get_the_digest_of_the_pipeline_config_of_the_revision():
    built = with_own_pipeline()
    document = json.loads(supporting_objects.config_map(built)["data"]["dataset.yaml"])
    assert revision(validation.parse(document).spec, validation.annotated_pipeline(document)) == validation.annotated_revision(document)


def test_the_mounted_manifest_is_what_was_asked_for():
    given = DatasetState(TRAINING)
    facts = given.facts()
    (text,) = supporting_objects.config_map(subject_of(facts, facts.spec, Config()))["data"].values()
    mounted = validation.parse(json.loads(text))
    assert mounted.spec == facts.spec
    assert mounted.metadata.uid == facts.dataset.metadata.uid  # names the owner of the data


def test_suspending_changes_nothing_in_the_manifest_that_a_run_has_mounted():
    assert supporting_objects.config_map(subject(DATA_ONLY)) == supporting_objects.config_map(subject(merged(DATA_ONLY, {"suspend": True})))


def test_the_jobs_may_patch_the_status_of_their_object_and_nothing_else():
    (rule,) = supporting_objects.role(subject(DATA_ONLY))["rules"]
    assert rule == {
        "apiGroups": ["negset.dev"],
        "resources": ["negativedatasets/status"],
        "resourceNames": ["street"],
        "verbs": ["get", "patch"],
    }


def test_everything_belongs_to_its_dataset_without_blocking_its_deletion():
    built = subject(TRAINING)
    for manifest in (*every_supporting_object(built), supporting_objects.headless_service(built, "c", "train-1"), *all_jobs(TRAINING)):
        (owner,) = manifest["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"], owner["blockOwnerDeletion"]) == (
            "NegativeDataset",
            "street",
            True,
            False,
        )
        assert manifest["metadata"]["namespace"] == "team-a"
        assert manifest["metadata"]["labels"][names.LABEL_DATASET] == "street"


def test_builders_give_a_new_object_each_time():
    built = subject(TRAINING)
    first, second = every_supporting_object(built), every_supporting_object(built)
    assert first == second
    first[0]["metadata"]["labels"]["changed"] = "yes"
    assert "changed" not in every_supporting_object(built)[0]["metadata"]["labels"]


def test_a_ray_head_requires_the_token_that_kuberay_creates():
    for role in ("data", "mine-1"):
        cluster = jobs_of(TRAINING)[role]["spec"]["rayClusterSpec"]
        assert cluster["authOptions"] == {"mode": "token"}


def test_a_ray_pod_is_asked_each_second_whether_it_is_ready():
    for role in ("data", "mine-1"):
        for container in containers(jobs_of(TRAINING)[role]):
            probe = container["readinessProbe"]
            assert (probe["initialDelaySeconds"], probe["periodSeconds"]) == (1, 1)
            assert probe["httpGet"] == {"path": "/api/healthz", "port": 52365}


def test_only_the_pods_with_a_token_carry_the_label_that_lets_them_reach_the_api_server():
    built = jobs_of(TRAINING)
    templates = {role: [each["spec"]["template"]] for role, each in built.items() if each["kind"] == "Job"}
    for role, each in built.items():
        if each["kind"] == "RayJob":
            cluster = each["spec"]["rayClusterSpec"]
            templates[role] = [cluster["headGroupSpec"]["template"], worker_group(each)["template"]]
    for found in templates.values():
        for template in found:
            assert (names.LABEL_REPORTS in template["metadata"]["labels"]) == template["spec"]["automountServiceAccountToken"]
    labelled = [names.LABEL_REPORTS in template["metadata"]["labels"] for template in templates["data"]]
    assert labelled == [True, False], "the head, which reports, and not the workers, which read what tenants name"
