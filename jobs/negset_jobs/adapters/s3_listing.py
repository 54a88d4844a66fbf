"""List a bucket of S3 whose keys have empty parts (`a//b`), which obstore cannot list.

The request is signed with version 4:
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

from negset_jobs.adapters import address_guard, web
from negset_jobs.adapters.object_store_errors import Answered, Refused

_EMPTY: Final = hashlib.sha256(b"").hexdigest()
_REFUSALS: Final = (401, 403)
_OK: Final = 200


class Place(NamedTuple):
    """A bucket: its URL, its region, and the keys to sign with, or none for a public bucket."""

    url: str
    region: str
    access_key: str = ""
    secret_key: str = ""
    token: str = ""
    requester_pays: bool = False


async def listed(place: Place, prefix: str, *, delimiter: str = "") -> dict[str, list[Any]]:
    """Return `objects` and `common_prefixes` below a prefix, as obstore does."""
    found: dict[str, list[Any]] = {"objects": [], "common_prefixes": []}
    query = {"list-type": "2", "prefix": prefix, **({"delimiter": delimiter} if delimiter else {})}
    async with web.session(address_guard.reach_here()) as session:
        while True:
            url = f"{place.url}?{'&'.join(f'{_quoted(name)}={_quoted(query[name])}' for name in sorted(query))}"
            async with session.get(web.exact(url), headers=signed(place, url, dt.datetime.now(dt.UTC))) as answer:
                if answer.status != _OK:
                    raise (Refused if answer.status in _REFUSALS else Answered)(answer.status, "")
                token = _add(found, await answer.read())
            if not token:
                return found
            query["continuation-token"] = token


def signed(place: Place, url: str, now: dt.datetime) -> dict[str, str]:
    """Return the headers of a GET request, with its signature. Pure."""
    parts = urlsplit(url)
    headers = {"host": parts.netloc, "x-amz-content-sha256": _EMPTY, "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
    headers |= {"x-amz-security-token": place.token} if place.token else {}
    headers |= {"x-amz-request-payer": "requester"} if place.requester_pays else {}
    if not place.access_key:
        return headers
    names = ";".join(sorted(headers))
    lines = [f"{name}:{headers[name]}" for name in sorted(headers)]
    request = "\n".join(["GET", parts.path, parts.query, *lines, "", names, _EMPTY])
    scope = f"{now:%Y%m%d}/{place.region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{place.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={place.access_key}/{scope}"
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}


def _add(found: Mapping[str, list[Any]], document: bytes) -> str:
    """Add the entries of a response. Return the token for the next one, or an empty text."""
    from defusedxml import ElementTree

    root = ElementTree.fromstring(document)
    space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
    for entry in root.iterfind(f"{space}Contents"):
        values = {name: entry.findtext(f"{space}{name}") or "" for name in ("Key", "Size", "LastModified")}
        modified = dt.datetime.fromisoformat(values["LastModified"])
        found["objects"].append({"path": values["Key"], "size": int(values["Size"]), "last_modified": modified})
    for folder in root.iterfind(f"{space}CommonPrefixes/{space}Prefix"):
        found["common_prefixes"].append((folder.text or "").removesuffix("/"))
    return root.findtext(f"{space}NextContinuationToken") or ""


def _quoted(text: str) -> str:
    return quote(text, safe="-_.~")
