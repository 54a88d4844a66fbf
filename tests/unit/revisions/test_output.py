"""`spec.output.url` is a folder that can be written to, one whole file after the other."""

from __future__ import annotations

import pytest

from negset_api import names, validation
from negset_api.errors import InvalidInput
from negset_jobs import pipeline
from negset_jobs.adapters.access import Access

REFUSED = {
    "a web server": ("https://example.org/out", "or a local folder, got 'https://example.org/out'; https is for files that are read"),
    "an sftp server": ("sftp://example.org/out", "sftp is for files that are read"),
    "an archive": ("zip://out::/data/a.zip", "got URLs joined by '::'; give the URL of the folder alone"),
}


@pytest.mark.parametrize(("url", "message"), REFUSED.values(), ids=REFUSED)
def test_an_output_is_not(url, message):
    manifest = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "street"},
        "spec": {
            "source": {"coco": {"annotations": "/a.json"}},
            "excludeClasses": ["person"],
            "selection": {"count": 1},
            "output": {"url": url},
        },
    }
    with pytest.raises(InvalidInput, match=f"^spec.output.url: .*{message}"):
        pipeline.prepare(validation.parse(manifest), Access())
