"""Names that a server or a disk spells otherwise than the annotations."""

from __future__ import annotations

import asyncio
import unicodedata

import pytest
from tests.image_server import jpeg

from negset_api.spec import Download
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.urls import parse
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.spellings import other_spellings

NFC, NFD = (unicodedata.normalize(form, "cafe\u0301.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("url", "others"),
    [
        pytest.param("/data/a.jpg", [], id="a plain name has no other"),
        pytest.param(f"/data/{NFC}", [f"/data/{NFD}"], id="accents as letters of their own"),
        pytest.param(f"s3://b/{NFD}", [f"s3://b/{NFC}"], id="accents as part of a letter"),
        pytest.param("/data/a%20b.jpg", ["/data/a b.jpg"], id="a name that was percent-encoded"),
        pytest.param("/data/100%.jpg", [], id="a percent sign that encodes nothing"),
        pytest.param("https://h/a%2520b.jpg", ["https://h/a%20b.jpg"], id="a name that was percent-encoded twice"),
        pytest.param("https://h/caf%C3%A9.jpg", ["https://h/cafe%CC%81.jpg"], id="accents of a web address"),
        pytest.param("https://h/a%20b.jpg", [], id="a web address that only says a space"),
        pytest.param("https://h/a%2520b.jpg?sig=x", [], id="a signed address"),
        pytest.param("/data/%2e%2e/a.jpg", [], id="a name that would lead out of its folder"),
        pytest.param("zip://a%20b.jpg::s3://b/x.zip", ["zip://a b.jpg::s3://b/x.zip"], id="a member of an archive"),
    ],
)
def test_the_other_spellings_of(url, others):
    assert [str(other) for other in other_spellings(parse(url))] == others


@pytest.mark.parametrize(("written", "real"), [(NFC, NFD), (NFD, NFC), ("a%20b.jpg", "a b.jpg"), ("a%20b.jpg", "a%20b.jpg")])
def test_an_image_is_found_under_its_other_spelling(written, real, tmp_path):
    (tmp_path / real).write_bytes(jpeg(1))

    async def fetch():
        async with Fetcher(Download(attempts=1), Access()) as fetcher:
            return await fetcher.image(f"{tmp_path}/{written}")

    assert asyncio.run(fetch()).encoded == jpeg(1)
