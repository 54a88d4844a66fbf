"""obstore connects in Rust, where no audit hook sees it. It is guarded all the same.

Every server here counts its connections.
"""

from __future__ import annotations

import base64
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import fsspec
import pytest
from tests.azure_server import ACCOUNT, KEY, azure_server
from tests.google_server import google_server
from tests.local.guard.guarding import SCHEMES, STORES, STRICT, Counting, get
from tests.s3_server import s3_server

from negset_api.errors import InvalidInput, NegsetError
from negset_api.values import Outcome
from negset_jobs.adapters import address_guard, object_store_client
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.guard_proxy import proxy_for
from negset_jobs.adapters.inputs import expand, list_input, read_input
from negset_jobs.adapters.store import Store

ONE_HOST = Access(local_files=False, schemes=(*SCHEMES, "gs", "abfs"), store_networks=("127.0.0.2/32",))
CLOUDS = Access(local_files=False, schemes=(*SCHEMES, "gs", "abfs"))
REFUSED = r"127\.0\.0\.1 is not allowed: .*--allow-store$"


@pytest.fixture(autouse=True)
def _no_cached_stores() -> None:
    for scheme in ("gs", "abfs"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()


def of_s3(url: str) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": url}


def of_azure(url: str) -> dict[str, str]:
    return {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={url}"}


def of_google(url: str) -> dict[str, str]:
    return {"STORAGE_EMULATOR_HOST": url, "GOOGLE_SKIP_SIGNATURE": "true"}


STORES_OF: dict[str, tuple[str, Callable[[str], dict[str, str]]]] = {
    "S3": ("s3://bucket/out", of_s3),
    "Azure": ("abfs://container/out", of_azure),
    "Google": ("gs://bucket/out", of_google),
}


def configured(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("cloud", STORES_OF)
def test_an_endpoint_with_a_private_address_is_refused(
    cloud: str, secure: bool, private: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    url, variables = STORES_OF[cloud]
    configured(monkeypatch, variables(private.url.replace("http:", "https:") if secure else private.url))
    (tmp_path / "file").write_bytes(b"1")
    with address_guard.enforced(CLOUDS):
        store = Store(url)
        for act in (
            lambda: store.write("x", b"1"),
            lambda: store.read("x"),
            lambda: store.read_range("x", 0, 1),
            lambda: store.reading("x").__enter__(),
            lambda: store.get("x", f"{tmp_path}/got"),
            lambda: store.put(f"{tmp_path}/file", "x"),
            lambda: store.create("x", b"1"),
            lambda: store.copy(store, "y", "x"),
            lambda: store.exists("x"),
            lambda: store.modified("x"),
            lambda: store.remove(["x"]),
            store.keys,
            store.folders,
        ):
            with pytest.raises(InvalidInput, match=REFUSED):
                act()
    for act in (read_input, list_input, expand):
        with pytest.raises(InvalidInput, match=REFUSED):
            act(f"{url}/*", CLOUDS, "spec.x")
    assert get(f"{url}/x.jpg", CLOUDS) is Outcome.BLOCKED_ADDRESS
    assert private.connections == 0


@pytest.mark.parametrize("cloud", STORES_OF)
def test_a_redirect_to_a_private_address_is_refused(cloud: str, private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    url, variables = STORES_OF[cloud]
    # obstore retries a tunnel that is refused.
    monkeypatch.setitem(object_store_client.RETRIES, "max_retries", 1)
    for location in (f"{private.url}/secret", f"{private.url.replace('http:', 'https:')}/secret"):
        with Counting("127.0.0.2", location=location).running() as endpoint:
            configured(monkeypatch, variables(endpoint.url))
            fsspec.get_filesystem_class(url.partition(":")[0]).clear_instance_cache()
            with address_guard.enforced(ONE_HOST):
                for act in (lambda: Store(url).read("x"), lambda: Store(url).write("x", b"1"), Store(url).keys):
                    with pytest.raises(NegsetError, match=r"127\.0\.0\.1 is not allowed|redirects to another server"):
                        act()
            assert get(f"{url}/x.jpg", ONE_HOST) is not Outcome.STORED
            assert endpoint.requests
    assert private.connections == 0


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
def test_a_name_that_changes_after_it_was_checked_leads_nowhere(secure: bool, private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve, asked = socket.getaddrinfo, []

    def lie(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if host not in ("rebind.example", b"rebind.example"):
            return resolve(host, port, *arguments, **options)
        asked.append(host)
        return resolve("127.0.0.2" if len(asked) == 1 else "127.0.0.1", port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{'https' if secure else 'http'}://rebind.example:{private.port}")
    with address_guard.enforced(ONE_HOST), pytest.raises(InvalidInput, match=REFUSED):
        Store("s3://bucket/out").read("x")
    assert len(asked) > 1
    assert private.connections == 0


def test_variables_cannot_lead_around_the_proxy(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    configured(
        monkeypatch,
        {
            **of_s3(private.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy", "AWS_PROXY_EXCLUDES"), "*"),
            **dict.fromkeys(("AWS_PROXY_URL", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "AWS_ENDPOINT"), private.url),
            "AWS_ALLOW_HTTP": "true",
            "AWS_S3_EXPRESS": "false",
        },
    )
    with address_guard.enforced(STRICT), pytest.raises(InvalidInput, match=REFUSED):
        Store("s3://bucket/out").read("x")
    assert private.connections == 0


SERVICES_OF_CREDENTIALS = {
    "a container's service": ("s3://bucket/out", lambda server, file: {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/x", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": file}),
    "an instance of AWS": ("s3://bucket/out", lambda server, _: {
        "AWS_METADATA_ENDPOINT": server.url, "AWS_EC2_METADATA_DISABLED": "false"}),
    "an instance of Azure": ("abfs://container/out", lambda server, _: {
        "AZURE_STORAGE_ACCOUNT_NAME": "a", "IDENTITY_ENDPOINT": server.url}),
    "an instance of Google": ("gs://bucket/out", lambda server, _: {"GCE_METADATA_HOST": f"127.0.0.1:{server.port}"}),
}  # fmt: skip


@pytest.mark.parametrize("service", SERVICES_OF_CREDENTIALS)
def test_credentials_are_not_asked_for_at_a_private_address(
    service: str, private: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("token")
    url, variables = SERVICES_OF_CREDENTIALS[service]
    configured(monkeypatch, {**variables(private, f"{tmp_path}/token"), "AWS_DEFAULT_REGION": "eu-west-1"})
    with address_guard.enforced(CLOUDS), pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed|there are no credentials"):
        Store(url).read("x")
    assert private.connections == 0


PROGRAMS = {
    "Google": ("gs://bucket/out", "GOOGLE_APPLICATION_CREDENTIALS", """{"type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x",
        "subject_token_type": "urn:ietf:params:oauth:token-type:id_token", "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"executable": {"command": "/usr/bin/touch %s", "timeout_millis": 5000}}}"""),
    "S3": ("s3://bucket/out", "AWS_CONFIG_FILE", """[profile of-another]
credential_process = /usr/bin/touch %s
[default]
role_arn = x
source_profile = of-another
"""),
}  # fmt: skip


@pytest.mark.parametrize("cloud", PROGRAMS)
def test_a_tenants_file_runs_no_program(cloud: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """The guard does not see what a program connects to."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    url, variable, text = PROGRAMS[cloud]
    (tmp_path / "pipeline.config").write_text(text % (tmp_path / "ran"))
    configured(
        monkeypatch,
        {"HOME": str(tmp_path), variable: f"{tmp_path}/pipeline.config", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES": "1"},
    )
    with address_guard.enforced(CLOUDS), pytest.raises(NegsetError):
        Store(url).read("x")
    assert not (tmp_path / "ran").exists()


SERVERS: dict[str, Callable[[], Any]] = {"s3://": s3_server, "abfs://": azure_server, "gs://": google_server}


@pytest.mark.parametrize("scheme", SERVERS)
def test_what_is_allowed_goes_through_the_proxy_whole(scheme: str, tmp_path: pathlib.Path) -> None:
    data = os.urandom(1 << 20) * 21
    (tmp_path / "up").write_bytes(data)
    before = proxy_for(STORES.stores).connections
    with SERVERS[scheme](), address_guard.enforced(STORES):
        store = Store(f"{scheme}tests/{os.urandom(4).hex()}")
        store.put(f"{tmp_path}/up", "large")
        store.get("large", f"{tmp_path}/down")
        for index in range(30):
            store.write(f"small/{index}", str(index).encode())
        assert (store.create("marker", b"1"), store.create("marker", b"2")) == (True, False)
        assert len(store.keys("small")) == 30
        store.remove(store.keys("small"))
        assert store.keys() == ["large", "marker"]
    assert (tmp_path / "down").read_bytes() == data
    assert proxy_for(STORES.stores).connections > before


def test_a_proxy_that_cannot_start_is_an_error_and_nobody_waits_for_it() -> None:
    program = """
import os, resource
from negset_jobs.adapters import guard_proxy
from negset_jobs.adapters.access import Reach
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), 64))
guard_proxy.Proxy(Reach())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr.endswith("OSError: [Errno 24] Too many open files\n")


def test_the_proxy_serves_only_who_knows_its_password(private: Counting) -> None:
    proxy = proxy_for(STORES.stores)
    port = int(proxy.url.rpartition(":")[2])
    password = proxy.url.partition("//")[2].partition("@")[0].encode()
    answers = []
    for authorization in (b"", b"Proxy-Authorization: Basic eDp4\r\n", b"Proxy-Authorization: Basic %s\r\n" % base64.b64encode(password)):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET %s/x HTTP/1.1\r\nHost: x\r\n%s\r\n" % (private.url.encode(), authorization))
            answers.append(client.recv(20)[9:12])
    assert answers == [b"407", b"407", b"200"]
    assert private.requests == ["/x"]
