"""Options of stores by the beginning of a URL."""

from __future__ import annotations

import json

import pytest
from aiohttp import web
from tests.faulty_front import faulty_front
from tests.image_server import image_server
from tests.s3_server import s3_server

from negset_api.errors import InvalidInput
from negset_api.spec import StoreAccess
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.clouds import S3
from negset_jobs.adapters.inputs import read_input
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_rules import options_of, rule_for

RULES = tuple(StoreAccess(prefix=prefix) for prefix in ("s3://a", "s3://a/b/", "s3://", "gs://a", "abfs://c@account"))


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("s3://a/x", "s3://a"),
        ("s3a://a/x", "s3://a"),
        ("s3://a", "s3://a"),
        ("s3://a/b/x", "s3://a/b/"),
        ("s3://a/bc/x", "s3://a"),
        ("s3://ab/x", "s3://"),
        ("gcs://a/x", "gs://a"),
        ("gs://ab/x", None),
        ("az://c@account/x", "abfs://c@account"),
        ("http://a/x", None),
    ],
)
def test_the_longest_prefix_counts_and_ends_where_a_name_ends(url, prefix):
    found = rule_for(RULES, url)
    assert (found and found.prefix) == prefix


KEYS = {"NEGSET_PARTNER_S3_AWS_ACCESS_KEY_ID": "k", "NEGSET_PARTNER_S3_AWS_SECRET_ACCESS_KEY": "s", "AWS_ACCESS_KEY_ID": "other"}


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        pytest.param({"prefix": "s3://a", "anonymous": True}, {"anon": True}, id="a public bucket of S3"),
        pytest.param({"prefix": "gs://a", "anonymous": True}, {"token": "anon"}, id="a public bucket of Google"),
        pytest.param({"prefix": "abfs://a@b", "anonymous": True}, {"anon": True}, id="a public container of Azure"),
        pytest.param({"prefix": "s3://a", "requester_pays": True}, {"requester_pays": True}, id="requester pays"),
        pytest.param(
            {"prefix": "s3://a", "endpoint_url": "http://h:1", "region": "eu-west-1"},
            {"endpoint_url": "http://h:1", "client_kwargs": {"region_name": "eu-west-1"}},
            id="another endpoint",
        ),
        pytest.param({"prefix": "s3://a", "secret_name": "partner-s3"}, {"key": "k", "secret": "s"}, id="other credentials"),
    ],
)
def test_the_options_of_a_rule(rule, options):
    assert options_of(StoreAccess(**rule), KEYS) == options


def test_the_secrets_of_the_other_clouds():
    key = {"type": "service_account"}
    found = {"NEGSET_G_GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key), "NEGSET_A_AZURE_STORAGE_SAS_TOKEN": "sv=1"}
    assert options_of(StoreAccess(prefix="gs://a", secret_name="g"), found) == {"token": key}
    assert options_of(StoreAccess(prefix="az://a@b", secret_name="a"), found) == {"sas_token": "sv=1"}


@pytest.mark.parametrize("prefix", ["s3://a", "gs://a", "abfs://a@b"])
def test_a_secret_without_keys_is_named(prefix):
    with pytest.raises(
        InvalidInput, match=r"^spec\.stores: expected .* in the Secret 'partner' of the prefix .* start with NEGSET_PARTNER_\)$"
    ):
        options_of(StoreAccess(prefix=prefix, secret_name="partner"), KEYS)


def test_a_public_bucket_is_read_beside_a_private_output(tmp_path):
    (tmp_path / "a.json").write_bytes(b"[1]")
    signed = []

    async def public(request):
        signed.append("Authorization" in request.headers)
        return web.FileResponse(tmp_path / "a.json")

    with s3_server() as s3, image_server() as server:
        server.answer("/public/a.json", public)
        rule = StoreAccess(prefix="s3://public", anonymous=True, endpoint_url=server.url)
        with address_guard.enforced(Access(store_rules=(rule,))):
            assert read_input("s3://public/a.json", Access(), "spec.x") == b"[1]"
            store = Store(f"s3://{s3.bucket}/out")
            store.write("x", b"private")
            assert store.read("x") == b"private"
        assert signed
        assert not any(signed)
    S3.clear_instance_cache()


def test_a_requester_who_pays_says_so_to_the_other_endpoint():
    seen = []

    def note(request):
        seen.append(request.headers.get("x-amz-request-payer"))
        return ""

    with s3_server() as s3, faulty_front(s3.endpoint, note) as (url, _):
        Store(f"s3://{s3.bucket}/paid").write("a.json", b"[1]")
        prefix = f"s3://{s3.bucket}/paid/"
        rule = StoreAccess(prefix=prefix, requester_pays=True, endpoint_url=url, region="us-east-1")
        with address_guard.enforced(Access(allowed_networks=("127.0.0.1/32",), store_rules=(rule,))):
            assert read_input(f"s3://{s3.bucket}/paid/a.json", Access(), "spec.x") == b"[1]"
        assert set(seen) == {"requester"}
    S3.clear_instance_cache()


def test_an_endpoint_of_a_manifest_is_guarded_like_any_other():
    rule = StoreAccess(prefix="s3://a", anonymous=True, endpoint_url="http://127.0.0.1:9")
    access = Access(local_files=False, store_rules=(rule,))
    with address_guard.enforced(access), pytest.raises(InvalidInput, match="the address is private"):
        read_input("s3://a/x", access, "spec.x")
    S3.clear_instance_cache()
