"""Every socket is guarded, whichever library opens it.

Real servers on the loopback count the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
import requests
from tests.local.serving import answering
from tests.s3_server import s3_server

from negset_api.errors import InvalidInput
from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.adapters import address_guard, ray_map, ray_session
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import list_input, open_input, read_input
from negset_jobs.adapters.store import Store
from negset_jobs.cli import main
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher

SECRET = b'{"token": "hunter2"}'
SCHEMES = ("s3", "http", "https", "webhdfs")
STRICT = Access(local_files=False, schemes=SCHEMES)
STORES = Access(local_files=False, schemes=SCHEMES, store_networks=("127.0.0.0/8", "::1/128"))
WEB = Access(local_files=False, schemes=SCHEMES, allowed_networks=("127.0.0.0/8", "::1/128"))


class Counting:
    """A web server that counts connections and requests.

    It responds to everything with a secret, or redirects to `location`.
    """

    def __init__(self, host: str = "127.0.0.1", location: str = "") -> None:
        self.connections = 0
        self.requests: list[str] = []
        outer = self

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

            def get_request(self) -> Any:
                outer.connections += 1
                return super().get_request()

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                outer.requests.append(self.path)
                self.send_response(307 if location else 200)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(SECRET)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(SECRET)

            def log_message(self, *_: object) -> None: ...

        for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = Server((host, 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Counting]:
        with answering(self._server):
            yield self


@pytest.fixture
def private() -> Iterator[Counting]:
    with Counting().running() as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_file_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear fsspec's cached file systems.

    Those of other tests keep connections open, and have read an older environment.
    """
    for scheme in ("s3", "webhdfs", "http"):
        fsspec.get_filesystem_class(scheme).clear_instance_cache()
    monkeypatch.setitem(fsspec.config.conf, "s3", {})
    for name in ("FSSPEC_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # botocore retries every error, for seconds.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def get(url: str, access: Access, **download: Any) -> Outcome:
    """The outcome of one image."""

    async def fetch() -> Outcome:
        async with Fetcher(Download(attempts=1, timeout_seconds=20, **download), access) as fetcher:
            try:
                await fetcher.image(url)
            except Failed as failed:
                return failed.outcome
            return Outcome.STORED

    return asyncio.run(fetch())


def raw(port: int) -> None:
    with socket.socket() as client:
        client.connect(("127.0.0.1", port))


def raw_without_error(port: int) -> None:
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", port)) == 0


def by_name(port: int) -> None:
    with socket.socket() as client:
        client.connect(("localhost", port))


def by_number(port: int) -> None:
    with socket.socket() as client:
        client.connect(("127.1", port))


def nowhere_is_here(port: int) -> None:
    with socket.socket() as client:
        client.connect(("", port))


def c_socket(port: int) -> None:
    import _socket

    client = _socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        client.connect(("127.0.0.1", port))
    finally:
        client.close()


def mapped(port: int) -> None:
    with socket.socket(socket.AF_INET6) as client:
        client.connect(("::ffff:127.0.0.1", port))


def standard_client(port: int) -> None:
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    try:
        connection.request("GET", "/")
    finally:
        connection.close()


def datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"x", ("127.0.0.1", port))


def thread(port: int) -> None:
    errors: list[BaseException] = []

    def connect() -> None:
        try:
            raw(port)
        except OSError as error:
            errors.append(error)

    worker = threading.Thread(target=connect)
    worker.start()
    worker.join()
    if errors:
        raise errors[0]


CLIENTS = {
    "a socket": raw,
    "connect_ex": raw_without_error,
    "a socket that is given a name": by_name,
    "a socket that is given half an address": by_number,
    "a socket that is given the empty address": nowhere_is_here,
    "a socket of the C type": c_socket,
    "an IPv4 address in IPv6's clothes": mapped,
    "http.client": standard_client,
    "urllib": lambda port: urllib.request.urlopen(f"http://localhost:{port}/", timeout=5).close(),
    "requests": lambda port: requests.get(f"http://localhost:{port}/", timeout=5).close(),
    "a datagram": datagram,
    "a thread that knows of nothing": thread,
}


@pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS.keys())
def test_a_private_address_is_not_reached_by(client: Any, private: Counting) -> None:
    with address_guard.enforced(STRICT), pytest.raises((OSError, requests.RequestException)) as caught:
        client(private.port)
    assert address_guard.blocked_address(caught.value) is not None
    assert private.connections == 0
    with address_guard.enforced(STRICT), address_guard.exempt():
        if client is not thread:  # it does not inherit the context
            client(private.port)


def test_without_a_rule_nothing_is_guarded(private: Counting) -> None:
    raw(private.port)
    with address_guard.enforced(STRICT):
        pass
    raw(private.port)


def test_sockets_that_do_not_leave_the_machine_work(tmp_path: Any) -> None:
    with address_guard.enforced(STRICT), socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(f"{tmp_path}/s")
        server.listen()
        client.connect(f"{tmp_path}/s")
        first, second = socket.socketpair()
        first.close()
        second.close()


# --- The back ends --------------------------------------------------------------------------------


def test_an_output_on_a_web_server_is_guarded(private: Counting) -> None:
    with address_guard.enforced(STRICT):
        store = Store(f"{private.url}/out")
        with pytest.raises(InvalidInput, match=r"^cannot write http://127.*: 127\.0\.0\.1 is not allowed: .*--allow-address$"):
            store.write("x", b"1")
        with pytest.raises(InvalidInput):
            store.folders()
    assert private.connections == 0


def test_an_input_on_a_web_server_is_guarded(private: Counting) -> None:
    for url in (f"{private.url}/a", f"simplecache::{private.url}/x?]", f"zip://a::{private.url}/x.zip"):
        with pytest.raises(InvalidInput, match=r"^spec\.x: .*127\.0\.0\.1 is not allowed") as caught:
            read_input(url, STRICT, "spec.x")
        assert "hunter2" not in str(caught.value)
    assert private.connections == 0


@pytest.mark.parametrize("url", ["simplecache://::{private}/x?]", "zip://[a::{private}/x.zip::b]", "http://example.org/x::{private}/]"])
def test_a_bracket_behind_two_colons_hides_nothing(url: str, private: Counting) -> None:
    url = url.format(private=private.url)
    for access in (STRICT, Access()):
        with pytest.raises(InvalidInput, match=r"^spec\.x: cannot use the URL"):
            read_input(url, access, "spec.x")
        assert get(url, access) is Outcome.BLOCKED_ADDRESS
    assert private.connections == 0


def test_webhdfs_is_guarded_and_so_are_its_redirects(private: Counting) -> None:
    with pytest.raises(InvalidInput, match=r"^spec\.x: .*127\.0\.0\.1 is not allowed: .*--allow-store$"):
        list_input(f"webhdfs://127.0.0.1:{private.port}/a", STRICT, "spec.x")
    one_host = Access(local_files=False, schemes=SCHEMES, store_networks=("127.0.0.2/32",))
    with Counting("127.0.0.2", location=f"{private.url}/secret").running() as name_node:
        url = f"webhdfs://127.0.0.2:{name_node.port}/a"
        with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed"):
            read_input(url, one_host, "spec.x")
        assert name_node.requests
        assert private.connections == 0
        assert get(url, one_host) is Outcome.BLOCKED_ADDRESS
        assert private.connections == 0


def test_a_redirect_of_an_image_is_guarded(private: Counting) -> None:
    one_host = Access(local_files=False, schemes=SCHEMES, allowed_networks=("127.0.0.2/32",))
    with Counting("127.0.0.2", location=f"{private.url}/secret").running() as first:
        assert get(f"{first.url}/x.jpg", one_host) is Outcome.BLOCKED_ADDRESS
        assert first.requests == ["/x.jpg"]
    assert private.connections == 0


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_from_the_environment_is_guarded(variable: str, private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, private.url)
    with address_guard.enforced(STRICT):
        store = Store("s3://bucket/out")
        for act in (lambda: store.write("x", b"1"), lambda: store.read("x"), store.keys, lambda: store.create("y", b"1")):
            with pytest.raises(InvalidInput, match=r"^cannot \w+ s3://bucket/out.*: 127\.0\.0\.1 is not allowed: .*--allow-store$"):
                act()
    with pytest.raises(InvalidInput, match=r"^spec\.x: cannot read 's3://bucket/k': 127\.0\.0\.1 is not allowed"):
        read_input("s3://bucket/k", STRICT, "spec.x")
    assert get("s3://bucket/k", STRICT) is Outcome.BLOCKED_ADDRESS
    with pytest.raises(InvalidInput, match="is not allowed"):
        read_input("s3://bucket/k", WEB, "spec.x")
    assert private.connections == 0, "what is open to images is not open to stores"
    assert read_input("s3://bucket/k", STORES, "spec.x") == SECRET
    assert private.connections > 0


def test_what_is_open_to_stores_is_not_open_to_web_pages(private: Counting) -> None:
    assert get(f"{private.url}/x.jpg", STORES) is Outcome.BLOCKED_ADDRESS
    with pytest.raises(InvalidInput, match="is not allowed"):
        read_input(f"{private.url}/x", STORES, "spec.x")
    assert private.connections == 0
    assert read_input(f"{private.url}/x", WEB, "spec.x") == SECRET


def test_a_real_store_works_where_it_is_allowed(private: Counting) -> None:
    with s3_server() as s3, address_guard.enforced(STORES):
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        store = Store(f"s3://{s3.bucket}/{os.urandom(4).hex()}")
        store.write("a", b"1")
        assert store.create("b", b"2")
        assert (store.read("a"), store.keys()) == (b"1", ["a", "b"])
        with store.reading("a") as stream:
            assert stream.read() == b"1"
        assert get(store.location("a"), STORES) is Outcome.NOT_AN_IMAGE
        assert get(f"{s3.endpoint}/{s3.bucket}/x.jpg", STORES) is Outcome.BLOCKED_ADDRESS


def test_a_name_that_resolves_to_a_private_address_is_refused(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def lie(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if host in ("rebind.example", b"rebind.example") else host, port, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", lie)
    url = f"//rebind.example:{private.port}/x"
    assert get(f"http:{url}", STRICT) is Outcome.BLOCKED_ADDRESS
    for scheme in ("http", "webhdfs"):
        with pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed"):
            read_input(f"{scheme}:{url}", STRICT, "spec.x")
    assert private.connections == 0
    assert read_input(f"http:{url}", WEB, "spec.x") == SECRET


def test_the_loopback_of_ipv6_is_guarded() -> None:
    try:
        server = Counting("::1")
    except OSError:
        pytest.skip("no IPv6 here")
    with server.running():
        url = f"http://[0:0:0:0:0:0:0:1]:{server.port}/x.jpg"
        assert get(url, STRICT) is Outcome.BLOCKED_ADDRESS
        assert server.connections == 0
        assert get(url, WEB) is Outcome.NOT_AN_IMAGE


def test_a_laptops_store_may_be_anywhere_and_its_images_may_not(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", private.url)
    with address_guard.enforced(Access()):
        assert read_input("s3://bucket/k", Access(), "spec.x") == SECRET
    asked = private.connections
    assert asked > 0
    assert get(f"{private.url}/x.jpg", Access()) is Outcome.BLOCKED_ADDRESS
    assert private.connections == asked


# --- The command line -----------------------------------------------------------------------------


def manifest(folder: pathlib.Path, **spec: Any) -> str:
    document = {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "guarded"},
        "spec": {
            "source": {"coco": {"annotations": "s3://bucket/a.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 2},
            "output": {"url": "memory://guarded"},
            "positives": {"tfrecords": ["s3://bucket/a.tfrecord"]},
            "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1},
            **spec,
        },
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line of a job that stops because its input is wrong."""
    assert main(["job", *words, "--cluster"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("stage", ["check", "delete"])
def test_a_job_reaches_no_endpoint_of_a_secret(
    stage: str, private: Counting, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", private.url)
    path = manifest(tmp_path, output={"url": "s3://bucket/out"})
    line = told(capsys, stage, "--file", path)
    assert "127.0.0.1 is not allowed" in line
    told(capsys, stage, "--file", path, "--allow-address", "127.0.0.0/8")
    assert private.connections == 0
    main(["job", stage, "--file", path, "--cluster", "--allow-store", "127.0.0.0/8"])
    assert private.connections > 0


def test_a_job_reads_no_configuration_from_a_private_address(
    private: Counting, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("check", "--allow-scheme", "memory", "--allow-scheme", "http")
    for url in (f"{private.url}/x", f"simplecache::{private.url}/x?]", f"simplecache://::{private.url}/x?]"):
        model = {"pipelineConfig": {"url": url}, "steps": 1}
        line = told(capsys, *words, "--file", manifest(tmp_path, training=model))
        assert "spec.training.pipelineConfig.url" in line
        model = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1, "fineTuneCheckpoint": url}
        line = told(capsys, *words, "--allow-store", "127.0.0.0/8", "--file", manifest(tmp_path, training=model))
        assert "spec.training.fineTuneCheckpoint" in line
    assert private.connections == 0
    line = told(
        capsys,
        *words,
        "--allow-address",
        "127.0.0.0/8",
        "--file",
        manifest(tmp_path, training={"pipelineConfig": {"url": f"{private.url}/x"}, "steps": 1}),
    )
    assert private.connections > 0
    assert "not a pipeline.config" in line
    assert "hunter2" not in line


def test_a_jobs_schemes_are_the_administrators(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = manifest(tmp_path, output={"url": "webhdfs://namenode:9870/out"})
    line = told(capsys, "delete", "--file", path)
    assert line.startswith(
        "negset: spec.output.url: expected a URL of a scheme that the administrator allows (s3, http, https), got 'webhdfs'"
    )
    line = told(capsys, "delete", "--file", path, "--allow-scheme", "gs", "--allow-scheme", "s3")
    assert "allows (gs, s3), got 'webhdfs'" in line


def test_the_environment_is_not_read_by_a_label_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the process may read, behind a chain that the guard once took for one web URL."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    for url in (
        "simplecache:///proc/self/environ::file://x::http://b]",
        "file:///proc/self/environ",
        "simplecache::/proc/self/environ",
        "zip://a::/proc/self/environ",
    ):
        with pytest.raises(InvalidInput) as caught, open_input(url, STRICT, "spec.positives.labelMap"):
            pass
        assert "hunter2" not in str(caught.value)
        assert get(url, STRICT) is Outcome.BLOCKED_ADDRESS


# --- Other processes ------------------------------------------------------------------------------


def test_rays_workers_are_guarded_like_the_process_they_work_for(private: Counting) -> None:

    port = private.port

    def reach(_: int, __: Any) -> str:
        import socket

        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError as error:
            return type(error).__name__
        return "reached"

    def make() -> Any:
        return lambda batch: reach(batch, None)

    with address_guard.enforced(STRICT), ray_session.session(1):
        assert [ended for _, ended in ray_map.map_unordered(reach, [1], workers=1)] == ["BlockedAddress"]
        assert list(ray_map.map_with_actors(make, [1], workers=1)) == ["BlockedAddress"]
        assert private.connections == 0
        with address_guard.enforced(WEB):
            assert [ended for _, ended in ray_map.map_unordered(reach, [1], workers=1)] == ["reached"]


def test_a_store_that_came_to_a_worker_with_its_task_is_guarded(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:

    for name, value in {
        "AWS_ENDPOINT_URL": private.url,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
    }.items():
        monkeypatch.setenv(name, value)

    def read(store: Store, _: Any) -> bytes:
        return store.read("x")

    store = Store("s3://bucket/out")  # before the guard is enforced
    with (
        address_guard.enforced(STRICT),
        ray_session.session(1),
        pytest.raises(InvalidInput, match=r"127\.0\.0\.1 is not allowed"),
    ):
        list(ray_map.map_unordered(read, [store], workers=1))
    assert private.connections == 0
    with address_guard.enforced(STORES), ray_session.session(1):
        assert [data for _, data in ray_map.map_unordered(read, [store], workers=1)] == [SECRET]


def test_the_status_reaches_an_api_server_with_a_private_address(private: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    from kubernetes import client, config

    from negset_api.spec import Metadata
    from negset_jobs.adapters.kubernetes_status import StatusWriter

    monkeypatch.setattr(config, "load_incluster_config", lambda: None)
    monkeypatch.setattr(client.Configuration, "get_default_copy", classmethod(lambda _: client.Configuration(host=private.url)))
    with address_guard.enforced(STRICT):
        StatusWriter(Metadata(name="a", namespace="n")).write({"x": 1})
    (asked,) = private.requests
    assert asked == "/apis/negset.dev/v1alpha1/namespaces/n/negativedatasets/a/status"
