"""What the end-to-end tests use: a cluster, an S3 server, images, and an address of this machine.

By default, this is the project's own test cluster. For your own cluster, set these variables:

    NEGSET_TEST_KUBECONFIG   the cluster. It has KubeRay, and your account may create namespaces
                             and install the chart.
    NEGSET_TEST_IMAGES       the repository of the images: `registry.example/team` for
                             `registry.example/team/operator:TAG`, `…/jobs:TAG`, `…/trainer:TAG`
    NEGSET_TEST_TAG          the tag of the images
    NEGSET_TEST_S3           the S3 server's URL
    NEGSET_TEST_BUCKET       a bucket. AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY may write to it.
    NEGSET_TEST_ADDRESS      this machine's address, as pods reach it. The tests serve images there.
    NEGSET_TEST_NETWORKS     private networks (CIDR) of the S3 server, separated by spaces; optional
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from testbed import cluster, images, layout, machine
from testbed.binaries import Unavailable


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What the end-to-end tests use.

    `address`: this machine, as pods reach it.
    `networks`: the private networks (CIDR) of the S3 server and the images.
    `outsider`: the credentials of another tenant, who may not read `bucket`; None without one.
    `own`: the project's own test cluster; None on a cluster of yours.
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
        """Return the content of a tenant's Secret."""
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_ENDPOINT_URL": self.s3}


def find(environment: Mapping[str, str]) -> Surroundings:
    """Return the surroundings in the variables, or those of the running test cluster.

    Raise Unavailable if there is neither.
    """
    if "NEGSET_TEST_KUBECONFIG" in environment:
        return _foreign(environment)
    own = cluster.Cluster(cluster.layout())
    if not own.running:
        raise Unavailable("No test cluster is up, and NEGSET_TEST_KUBECONFIG is not set. Run `make cluster` first.")
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
        raise Unavailable(f"NEGSET_TEST_KUBECONFIG is set. The tests on your own cluster also need {', '.join(missing)}.")
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
