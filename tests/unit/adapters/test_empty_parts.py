"""Keys with empty parts between their slashes, on a server of S3 that has them."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from negset_api.spec import StoreAccess
from negset_jobs.adapters import address_guard
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.clouds import S3
from negset_jobs.adapters.inputs import expand, read_input
from negset_jobs.adapters.s3_listing import Place, signed

OBJECTS = {key: key.encode() for key in ("img/a.xml", "img/b c.xml", "img//d.xml", "img//e/f.xml", "/g.xml", "img/-h.xml", "other/i.xml")}


class _Handler(BaseHTTPRequestHandler):
    """A bucket of S3 named b, whose pages have three entries."""

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if query.get("list-type"):
            self._respond(_listing(query.get("prefix", ""), query.get("delimiter", ""), query.get("continuation-token", "")))
        elif (data := OBJECTS.get(unquote(parts.path).removeprefix("/b/"))) is not None:
            self._respond(data)
        else:
            self._respond(b"<Error><Code>NoSuchKey</Code></Error>", 404)

    do_HEAD = do_GET  # noqa: N815 - the standard library's name

    def _respond(self, data: bytes, status: int = 200) -> None:
        start, last = 0, len(data) - 1
        if status == 200 and (wanted := self.headers.get("Range")):
            status, start = 206, int(wanted.removeprefix("bytes=").partition("-")[0])
            last = min(last, int(wanted.partition("-")[2] or last))
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last + 1 - start))
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[start : last + 1])


def _listing(prefix: str, delimiter: str, token: str) -> bytes:
    def shown(key: str) -> str:
        rest = key.removeprefix(prefix)
        return prefix + rest[: rest.index(delimiter) + 1] if delimiter and delimiter in rest else key

    every = sorted({shown(key) for key in OBJECTS if key.startswith(prefix)})
    page = [name for name in every if name > token][:3]
    entries = "".join(
        f"<Contents><Key>{escape(name)}</Key><Size>{len(OBJECTS[name])}</Size><LastModified>2020-01-01T00:00:00.000Z</LastModified></Contents>"
        if name in OBJECTS
        else f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
        for name in page
    )
    more = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page[-1]}</NextContinuationToken>"
        if page and page[-1] != every[-1]
        else "<IsTruncated>false</IsTruncated>"
    )
    return f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{more}{entries}</ListBucketResult>'.encode()


@pytest.fixture(params=["signed", "public"])
def _bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rule = StoreAccess(
        prefix="s3://b", endpoint_url=f"http://127.0.0.1:{server.server_port}", region="us-east-1", anonymous=request.param == "public"
    )
    with address_guard.enforced(Access(allowed_networks=("127.0.0.1/32",), store_rules=(rule,))):
        yield
    server.shutdown()
    server.server_close()
    S3.clear_instance_cache()


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [
        ("img/*.xml", ["img/-h.xml", "img/a.xml", "img/b c.xml"]),
        ("img//*.xml", ["img//d.xml"]),
        ("img/**/*.xml", ["img/-h.xml", "img//e/f.xml", "img/a.xml", "img/b c.xml"]),
        ("other/*.xml", ["other/i.xml"]),
    ],
)
@pytest.mark.usefixtures("_bucket")
def test_a_folder_whose_keys_have_empty_parts_is_listed_and_read(pattern, keys):
    access = Access(allowed_networks=("127.0.0.1/32",))
    found = expand(f"s3://b/{pattern}", access, "spec.x")
    assert sorted(found) == sorted(f"s3://b/{key}" for key in keys)
    assert sorted(read_input(url, access, "spec.x") for url in found) == sorted(key.encode() for key in keys)


@pytest.mark.usefixtures("_bucket")
def test_a_key_may_begin_with_a_slash():
    assert read_input("s3://b//g.xml", Access(allowed_networks=("127.0.0.1/32",)), "spec.x") == b"/g.xml"


def test_a_request_is_signed_as_in_the_documentation():
    # "Get Bucket (List Objects)" of
    # https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    place = Place(
        "https://examplebucket.s3.amazonaws.com/", "us-east-1", "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    )
    headers = signed(place, f"{place.url}?max-keys=2&prefix=J", dt.datetime(2013, 5, 24, tzinfo=dt.UTC))
    assert headers["Authorization"].endswith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
