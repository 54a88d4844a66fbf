"""A store whose server fails: what can be retried is, and a marker is created exactly once."""

from __future__ import annotations

import logging
import os
import random

import pytest
from tests.faulty_front import faulty_front
from tests.s3_server import s3_server

from negset_api.errors import InvalidInput, Unavailable, WorkFailed
from negset_jobs.adapters.aws_profiles import Profile
from negset_jobs.adapters.clouds import S3, Azure, Google
from negset_jobs.adapters.store import Store, _name_unguarded


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture
def through(s3, monkeypatch):
    """A store behind a fault."""
    fronts = []

    def store(fault):
        front = faulty_front(s3.endpoint, fault)
        url, seen = front.__enter__()
        fronts.append(front)
        monkeypatch.setitem(__import__("fsspec").config.conf, "s3", {"endpoint_url": url})
        return Store(f"s3://{s3.bucket}/{os.urandom(4).hex()}"), seen

    yield store
    for front in fronts:
        front.__exit__(None, None, None)
    S3.clear_instance_cache()


@pytest.fixture
def opened_anew():
    """No file system of a cloud is kept from before, or for later."""
    for when in ("before", "after"):
        for cloud in (S3, Azure, Google):
            cloud.clear_instance_cache()
        if when == "before":
            yield


def conditional(request):
    return "If-None-Match" in request.headers


def first(count, fault):
    """The fault for the first conditional requests only."""
    left = [count]

    def decide(request):
        if not conditional(request) or not left[0]:
            return ""
        left[0] -= 1
        return fault

    return decide


def test_a_store_that_refuses_half_of_the_requests_has_everything_once(through, tmp_path):
    draw = random.Random(17)
    store, seen = through(lambda _: draw.choice(["", "503 SlowDown"]))
    data = os.urandom(20 << 20)
    (tmp_path / "up").write_bytes(data)
    store.put(f"{tmp_path}/up", "large")
    for index in range(10):
        store.write(f"small/{index}", bytes([index]))
    assert all(store.create(f"marker/{index}", b"1") for index in range(3))
    assert not any(store.create(f"marker/{index}", b"2") for index in range(3))
    store.get("large", f"{tmp_path}/down")
    assert (tmp_path / "down").read_bytes() == data
    assert len(store.keys("small")) == 10
    store.copy(store, "copied", "large")
    store.remove([f"small/{index}" for index in range(10)])
    assert store.keys("small") == []
    assert sum(line.endswith("SlowDown") for line in seen) > 10


@pytest.mark.parametrize("fault", ["lost", "closed", "503 SlowDown", "500 InternalError", "409 ConditionalRequestConflict"])
def test_a_marker_whose_response_did_not_come_was_created_by_the_one_who_asks(fault, through):
    store, seen = through(first(2, fault))
    assert store.create("marker", b"mine")
    assert store.read("marker") == b"mine"
    assert not store.create("marker", b"other")
    assert sum(line.endswith(fault) for line in seen) == 2


def test_a_marker_of_another_is_not_taken_for_ones_own(through):
    store, _ = through(first(2, "closed"))
    store.write("marker", b"another's")
    assert not store.create("marker", b"mine")
    assert store.read("marker") == b"another's"


@pytest.mark.parametrize(
    "fault",
    ["501 NotImplemented", "400 InvalidArgument", "400 ", "403 SignatureDoesNotMatch", "405 MethodNotAllowed", "412 PreconditionFailed"],
)
def test_a_store_that_cannot_create_exclusively_is_used_and_named_once(fault, through, caplog):
    store, seen = through(lambda request: fault if conditional(request) else "")
    _name_unguarded.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert store.create("marker", b"1")
        assert store.child("x").create("marker", b"2")
    assert caplog.messages == ["s3://tests cannot create objects exclusively; two concurrent attempts of one shard may both commit"]
    assert not store.create("marker", b"2")
    assert store.read("marker") == b"1"
    if not fault.startswith("403"):
        assert sum(line.endswith(fault.strip()) for line in seen) == 1, "the store is asked once"


def test_credentials_that_may_not_write_are_not_taken_for_a_store_that_can_do_less(through):
    store, _ = through(lambda request: "403 AccessDenied" if request.command == "PUT" else "")
    with pytest.raises(InvalidInput, match="HTTP 403 Forbidden"):
        store.create("marker", b"1")


@pytest.mark.parametrize("fault", ["400 RequestTimeout", "400 IncompleteBody", "400 BadDigest"])
def test_a_marker_that_did_not_arrive_whole_is_created_exclusively_all_the_same(fault, through, caplog):
    store, seen = through(first(2, fault))
    with caplog.at_level(logging.WARNING):
        assert store.create("marker", b"1")
    assert (caplog.text, sum(line.endswith(fault) for line in seen)) == ("", 2)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"])
def test_an_expired_token_is_wrong_input_and_not_a_failure_that_passes(code, through):
    store, seen = through(lambda _: f"400 {code}")
    for act in (lambda: store.read("x"), lambda: store.write("x", b"1"), lambda: store.create("x", b"1")):
        with pytest.raises(InvalidInput, match=rf"HTTP 400 Bad Request \({code}\); check the credentials"):
            act()
    assert len(seen) == 3


def test_a_download_that_breaks_in_the_middle_goes_on(through, tmp_path):
    broken = []

    def breaks(request):
        if request.command == "GET" and len(broken) < 3:
            broken.append(request.path)
            return "closed"
        return ""

    store, _ = through(breaks)
    store.write("x", b"1" * 1000)
    store.get("x", f"{tmp_path}/x")
    with store.reading("x") as stream:
        assert stream.read() == b"1" * 1000
    assert len(broken) == 3


def test_a_store_that_stays_away_is_unavailable(through, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    store, seen = through(lambda _: "503 SlowDown")
    with pytest.raises(Unavailable, match=r"HTTP 503 Service Unavailable \(SlowDown\)$"):
        store.write("x", b"1")
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("404 NoSuchBucket", "its bucket does not exist"),
        ("404 ContainerNotFound", "its bucket does not exist"),
        ("404 NoSuchKey", "it does not exist"),
        ("405 MethodNotAllowed", "HTTP 405"),
    ],
)
def test_an_error_that_stays_is_not_retried(status, words, through):
    store, seen = through(lambda _: status)
    with pytest.raises(WorkFailed, match=f"/x: {words}") as raised:
        store.write("x", b"1")
    assert not isinstance(raised.value, Unavailable)
    assert len(seen) == 1


def test_a_key_that_looks_like_an_error_is_none(through, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store, _ = through(lambda _: "503 status: 404,")
    for key in ("x/    status: 404,/y", "kind: Timeout,", "<Code>NoSuchKey</Code>"):
        with pytest.raises(Unavailable, match=r"HTTP 503 Service Unavailable$"):
            store.write(key, b"1")


def test_credentials_that_cannot_be_renewed_are_wrong_input(s3, monkeypatch):
    def expired():
        raise RuntimeError("hunter2")

    monkeypatch.setattr("negset_jobs.adapters.s3_options.botocore_credentials", lambda _: expired)
    monkeypatch.setattr("negset_jobs.adapters.s3_options.read_profile", lambda *_: Profile("sso", {"sso_session": "x"}))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    S3.clear_instance_cache()
    with pytest.raises(InvalidInput, match=r"the credentials cannot be renewed; check the credentials") as raised:
        Store(f"s3://{s3.bucket}/x").read("y")
    assert "hunter2" not in str(raised.value)


def test_a_store_without_any_credentials_is_refused_and_never_read_without(s3, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    S3.clear_instance_cache()
    with pytest.raises(InvalidInput, match=r"there are no credentials, and no instance that gives any .*; check the credentials"):
        Store(f"s3://{s3.bucket}/x").read("y")


UNREADABLE = {
    "the key of an account that is not base64": ("abfs://c/x", {
        "AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_STORAGE_ACCOUNT_KEY": "hunter2!"}),
    "a command line of Azure that is not installed": ("abfs://c/x", {
        "AZURE_STORAGE_ACCOUNT_NAME": "a", "AZURE_USE_AZURE_CLI": "true", "PATH": ""}),
    "a token's file that does not exist": ("s3://b/x", {
        "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": "/none", "AWS_ROLE_ARN": "arn:x"}),
    "a key file of Google that does not exist": ("gs://b/x", {"GOOGLE_SERVICE_ACCOUNT": "/none"}),
}  # fmt: skip


@pytest.mark.parametrize("case", UNREADABLE)
@pytest.mark.usefixtures("opened_anew")
def test_credentials_that_cannot_be_read_are_wrong_input(case, monkeypatch, tmp_path):
    url, variables = UNREADABLE[case]
    for name, value in {**variables, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=r"the credentials cannot be read; check the credentials") as raised:
        Store(url).read("y")
    assert "hunter2" not in str(raised.value)


@pytest.mark.usefixtures("opened_anew")
def test_a_service_of_credentials_without_tls_is_an_error_that_stays(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("token")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_WEB_IDENTITY_TOKEN_FILE": f"{tmp_path}/token",
        "AWS_ROLE_ARN": "arn:x", "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "", "HOME": str(tmp_path),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(__import__("fsspec").config.conf, "s3", {})
    with pytest.raises(WorkFailed, match="a URL in the store's variables does not start with https://") as raised:
        Store("s3://b/x").read("y")
    assert not isinstance(raised.value, Unavailable)


def test_a_panic_is_told_in_words(through, monkeypatch, tmp_path):
    store, seen = through(lambda _: "")
    (tmp_path / "token").write_text("token\n")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{tmp_path}/token",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    S3.clear_instance_cache()
    with pytest.raises(WorkFailed, match="obstore panicked, as it does over a line break in a token's file"):
        Store(store.url).read("x")
    assert seen == []


@pytest.mark.parametrize("bucket", ["b b", "bü", "b%20", "arn:aws:s3:eu-west-1:1:accesspoint"])
def test_a_bucket_that_obstore_cannot_use_is_wrong_input(bucket, s3):
    with pytest.raises(InvalidInput, match="s3: expected a bucket of ASCII letters"):
        Store(f"s3://{bucket}/x").read("y")


@pytest.mark.parametrize("key", ["a/../b", "./a"])
def test_a_key_that_obstore_cannot_use_is_named(key, through):
    store, seen = through(lambda _: "")
    with pytest.raises(WorkFailed, match=r"obstore cannot use a key with an empty part, '\.' or '\.\.' between its slashes"):
        store.read(key)
    assert seen == []
