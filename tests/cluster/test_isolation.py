"""One tenant's data and Ray cluster are closed to everybody else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from datasets import EXAMPLE, apply_and_hold, data_only, example
from image_host import ImageHost
from kubernetes.client import ApiException, CoreV1Api
from tenant import Tenant, Timed
from testbed import objects
from testbed.surroundings import Surroundings

MINUTES = 60

POD = ("v1", "Pod")


def test_a_ray_head_answers_nobody_without_its_token(
    around: Surroundings, make_tenant: Callable[[str], Tenant], release: str, many_images: ImageHost, timed: Timed
) -> None:
    tenant = make_tenant("team-a")
    apply_and_hold(tenant, data_only(tenant.namespace, around.bucket, many_images, count=300), many_images, timed)
    (head,) = (pod for pod in tenant.children(POD) if pod["metadata"]["labels"].get("ray.io/node-type") == "head")
    core, address = CoreV1Api(tenant.client.client), f"{head['metadata']['name']}:8265"
    with pytest.raises(ApiException) as refused:
        core.connect_get_namespaced_pod_proxy_with_path(address, tenant.namespace, "api/jobs/")
    assert refused.value.status == 401
    many_images.release()
    tenant.wait_for_ready("small", 10 * MINUTES, timed)


def test_credentials_of_another_bucket_end_in_a_condition_that_says_so(
    make_tenant: Callable[[str], Tenant], around: Surroundings, image_host: ImageHost, release: str, timed: Timed
) -> None:
    if around.outsider is None:
        pytest.skip("NOT TESTED: this test knows no second tenant of the S3 server in NEGSET_TEST_S3")
    thief = make_tenant("team-b")
    variables = {
        **around.s3_variables,
        "AWS_ACCESS_KEY_ID": around.outsider.access_key,
        "AWS_SECRET_ACCESS_KEY": around.outsider.secret_key,
    }
    thief.write_secret("s3-credentials", variables)
    wanted = example(thief.namespace, around.bucket, image_host)
    thief.apply({**wanted, "spec": {key: value for key, value in wanted["spec"].items() if key not in ("training", "positives")}})

    def refusal() -> str:
        conditions = (thief.dataset(EXAMPLE).get("status") or {}).get("conditions") or ()
        return next((entry["message"] for entry in conditions if entry["type"] == "Ready" and "enied" in entry["message"]), "")

    with timed("another tenant's bucket is refused"):
        assert around.bucket in objects.wait_for("the condition says that access is denied", refusal, seconds=4 * MINUTES, between=1)
