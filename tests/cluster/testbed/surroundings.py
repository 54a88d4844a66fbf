"""What the end-to-end tests need around them: a cluster, an S3 server, images, and an address of
this machine that pods reach.

By default all of it is this project's own test cluster. On a cluster of your own, variables say
where they are:

    NEGSET_TEST_KUBECONFIG   the cluster. It has KubeRay, and your account may make namespaces and install the chart.
    NEGSET_TEST_IMAGES       where the images were pushed: `registry.example/team` for `registry.example/team/operator:TAG`, `…/jobs:TAG`, `…/trainer:TAG`
    NEGSET_TEST_TAG          their tag
    NEGSET_TEST_S3           the S3 server's URL. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY may write to the bucket NEGSET_TEST_BUCKET.
    NEGSET_TEST_ADDRESS      this machine's address as pods see it: the tests serve their images there
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from testbed import cluster, images, layout, machine
from testbed.binaries import Unavailable


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """`networks` are the private networks (CIDR) in which the S3 server and the images lie.

    `outsider` are the credentials of another tenant, who may not read `bucket`; None where there is
    no such tenant.
    """

    kubeconfig: str
    images: str
    tag: str
    s3: str
    bucket: str
    access_key: str
    secret_key: str
    outsider: layout.Account | None
    address: str
    networks: tuple[str, ...]
    own: cluster.Cluster | None

    @property
    def s3_variables(self) -> dict[str, str]:
        """The content of a tenant's Secret."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_ENDPOINT_URL": self.s3}


def find(environment: Mapping[str, str]) -> Surroundings:
    """The surroundings that the variables name, or else those of the test cluster that is up.

    Raises Unavailable where there is neither.
    """
    if "NEGSET_TEST_KUBECONFIG" in environment:
        return _foreign(environment)
    own = cluster.Cluster(cluster.layout())
    if not own.running:
        raise Unavailable("No test cluster is up, and NEGSET_TEST_KUBECONFIG names no other: run `make cluster` first.")
    tenant, outsider = layout.TENANT_ACCOUNTS
    return Surroundings(
        kubeconfig=own.kubeconfig,
        images="docker.io/negset",
        tag=environment.get("NEGSET_TEST_TAG") or images.default_tag(),
        s3=own.layout.s3.endpoint,
        bucket=tenant.bucket,
        access_key=tenant.access_key,
        secret_key=tenant.secret_key,
        outsider=outsider,
        address=machine.MACHINE_ADDRESS,
        networks=(machine.NODES_NETWORK, f"{machine.MACHINE_ADDRESS}/32"),
        own=own,
    )


def _foreign(environment: Mapping[str, str]) -> Surroundings:
    names = ("IMAGES", "TAG", "S3", "BUCKET", "ADDRESS")
    wanted = [f"NEGSET_TEST_{name}" for name in names] + ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    if missing := [name for name in wanted if not environment.get(name)]:
        raise Unavailable(f"NEGSET_TEST_KUBECONFIG is set, and the tests on your own cluster also need {', '.join(missing)}.")
    address = environment["NEGSET_TEST_ADDRESS"]
    return Surroundings(
        kubeconfig=environment["NEGSET_TEST_KUBECONFIG"],
        images=environment["NEGSET_TEST_IMAGES"].rstrip("/"),
        tag=environment["NEGSET_TEST_TAG"],
        s3=environment["NEGSET_TEST_S3"],
        bucket=environment["NEGSET_TEST_BUCKET"],
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=environment["AWS_SECRET_ACCESS_KEY"],
        outsider=None,
        address=address,
        networks=(f"{address}/32", *environment.get("NEGSET_TEST_NETWORKS", "").split()),
        own=None,
    )
