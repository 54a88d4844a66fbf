"""What every test of the address guard needs: a private server, and no cached file systems."""

from __future__ import annotations

from collections.abc import Iterator

import fsspec
import pytest
from tests.local.guard.guarding import Counting


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
