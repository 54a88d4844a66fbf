"""The chart's values reach the operator's configuration file."""

from __future__ import annotations

import pytest
from tests.unit.chart.helm import one

from negset_operator import config

DIGEST = "sha256:" + "0123456789abcdef" * 4


def configuration(tmp_path, values):
    """Return the configuration as the operator reads it."""
    path = tmp_path / "config.yaml"
    path.write_text(one(values, "ConfigMap", "negset")["data"]["config.yaml"])
    return config.read(str(path))


def test_the_charts_defaults_are_the_operators(tmp_path):
    assert configuration(tmp_path, {}) == config.DEFAULT


SETTINGS = {
    "the images of jobs and trainer": (
        {
            "jobs": {"image": {"repository": "example.org/jobs", "tag": "2"}},
            "trainer": {"image": {"repository": "trainer", "digest": DIGEST}},
        },
        lambda c: (c.images.jobs, c.images.trainer),
        ("example.org/jobs:2", f"trainer@{DIGEST}"),
    ),
    "how the jobs' images are pulled": (
        {"jobs": {"imagePullPolicy": "Never", "imagePullSecrets": ["registry"]}},
        lambda c: (c.images.pull_policy, c.images.pull_secrets),
        ("Never", ("registry",)),
    ),
    "the watched namespaces": ({"watchNamespaces": ["team-a"]}, lambda c: c.namespaces, ("team-a",)),
    "the networks of images": ({"config": {"networks": {"images": ["10.96.0.0/12"]}}}, lambda c: c.networks.images, ("10.96.0.0/12",)),
    "the networks of stores": ({"config": {"networks": {"stores": ["10.96.0.0/12"]}}}, lambda c: c.networks.stores, ("10.96.0.0/12",)),
    "the schemes": ({"config": {"networks": {"schemes": ["gs"]}}}, lambda c: c.networks.schemes, ("gs",)),
    "the cluster's DNS": (
        {"config": {"networks": {"dns": [{"ipBlock": {"cidr": "10.0.0.10/32"}}], "dnsPorts": [53]}}},
        lambda c: (c.networks.dns, c.networks.dns_ports),
        (({"ipBlock": {"cidr": "10.0.0.10/32"}},), (53,)),
    ),
    "a trainer's requests, without touching its limits": (
        {"config": {"pods": {"trainer": {"requests": {"cpu": "7"}}}}},
        lambda c: (c.pods.trainer.requests["cpu"], c.pods.trainer.limits),
        ("7", config.DEFAULT.pods.trainer.limits),
    ),
    "the resources of the check and a training pod's shared memory": (
        {"config": {"pods": {"check": {"limits": {"memory": "9Gi"}}, "trainerSharedMemory": "8Gi"}}},
        lambda c: (c.pods.check.limits["memory"], c.pods.trainer_shared_memory),
        ("9Gi", "8Gi"),
    ),
    "a number of seconds that is large": (
        {"config": {"patience": {"keepFinishedSeconds": 31_536_000}}},
        lambda c: c.patience.keep_finished_seconds,
        31_536_000,
    ),
}


@pytest.mark.parametrize(("values", "read", "expected"), SETTINGS.values(), ids=SETTINGS.keys())
def test_the_configuration_carries(tmp_path, values, read, expected):
    assert read(configuration(tmp_path, values)) == expected


def test_a_changed_configuration_restarts_the_operator_and_an_unchanged_one_does_not():
    def checksum(values):
        return one(values, "Deployment")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({"replicaCount": 3})
    assert checksum({}) != checksum({"config": {"workers": 9}})
