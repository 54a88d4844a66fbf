"""Names that a server or a disk spells otherwise than the annotations."""

from __future__ import annotations

import asyncio
import os
import unicodedata

import pytest
from tests.image_server import jpeg

from negset_api.spec import Download
from negset_api.values import Outcome
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.urls import parse
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.spellings import other_spellings

NFC, NFD = (unicodedata.normalize(form, "cafe\u0301.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("url", "others"),
    [
        pytest.param("/data/a", [], id="a plain name without an ending has no other"),
        pytest.param("/data/a.jpg", ["/data/a.JPG"], id="an ending in capital letters"),
        pytest.param("s3://b/a.JPG", ["s3://b/a.jpg"], id="an ending in small letters"),
        pytest.param("https://h/a.jpg", [], id="a plain web address"),
        pytest.param("https://h/a.JPG", ["https://h/a.jpg"], id="a web address with an ending in small letters"),
        pytest.param("/data\\a", ["/data/a"], id="the separators of Windows"),
        pytest.param(f"/data/{NFC}", [f"/data/{NFD}", f"/data/{NFC[:-3]}JPG"], id="accents as letters of their own"),
        pytest.param(f"s3://b/{NFD}", [f"s3://b/{NFC}", f"s3://b/{NFD[:-3]}JPG"], id="accents as part of a letter"),
        pytest.param("/data/a%20b.jpg", ["/data/a b.jpg", "/data/a%20b.JPG"], id="a name that was percent-encoded"),
        pytest.param("/100%25/a%20b", ["/100%/a b", "/100%25/a b"], id="a name that was percent-encoded in a folder with a percent sign"),
        pytest.param("/data/100%.jpg", ["/data/100%.JPG"], id="a percent sign that encodes nothing"),
        pytest.param("https://h/a%2520b.jpg", ["https://h/a%20b.jpg"], id="a name that was percent-encoded twice"),
        pytest.param("https://h/caf%C3%A9.jpg", ["https://h/cafe%CC%81.jpg"], id="accents of a web address"),
        pytest.param("https://h/a%20b.jpg", [], id="a web address that only says a space"),
        pytest.param("https://h/a%2520b.jpg?sig=x", [], id="a signed address"),
        pytest.param("/data/%2e%2e/a", [], id="a name that would lead out of its folder"),
        pytest.param("zip://a%20b::s3://b/x.zip", ["zip://a b::s3://b/x.zip"], id="a member of an archive"),
    ],
)
def test_the_other_spellings_of(url, others):
    assert [str(other) for other in other_spellings(parse(url))] == others


@pytest.mark.parametrize(
    ("written", "real"),
    [(NFC, NFD), (NFD, NFC), ("a%20b.jpg", "a b.jpg"), ("a%20b.jpg", "a%20b.jpg"), ("a.JPG", "a.jpg"), ("a.jpg", "a.JPG")],
)
def test_an_image_is_found_under_its_other_spelling(written, real, tmp_path):
    (tmp_path / real).write_bytes(jpeg(1))

    async def fetch():
        async with Fetcher(Download(attempts=1), Access()) as fetcher:
            return await fetcher.image(f"{tmp_path}/{written}")

    assert asyncio.run(fetch()).encoded == jpeg(1)


def failure_of(path):
    async def fetch():
        async with Fetcher(Download(attempts=1, timeout_seconds=5), Access()) as fetcher:
            await fetcher.image(str(path))

    with pytest.raises(Failed) as raised:
        asyncio.run(fetch())
    return raised.value


def test_a_pipe_among_images_is_an_outcome_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    assert failure_of(tmp_path / "a.jpg").outcome is Outcome.CLIENT_ERROR


def test_a_name_that_no_file_can_have_is_not_found_and_not_requested_again(tmp_path):
    (tmp_path / "circle.jpg").symlink_to(tmp_path / "circle.jpg")
    (tmp_path / "file.jpg").write_bytes(jpeg(1))
    for name in ("a" * 5000, "circle.jpg", "file.jpg/1.jpg"):
        found = failure_of(tmp_path / name)
        assert (found.outcome, found.retryable) == (Outcome.NOT_FOUND, False)
