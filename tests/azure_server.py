"""A server of Azure Blob Storage (Azurite) on the loopback, for as long as a test needs it.

Azurite is a program of Node. npm installs it once into the cache of `NEGSET_CACHE`.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import fcntl
import hashlib
import hmac
import os
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

import pytest

from tests.servers import free_ports, wait_for

VERSION = "3.35.0"
# Azurite's own account, which its documentation names.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_API = "2021-08-06"


@dataclass(frozen=True)
class AzureServer:
    """A running server with an existing container.

    `environment` has the variables that a process needs to connect. This process has them already.
    """

    endpoint: str
    container: str
    environment: dict[str, str]


@contextlib.contextmanager
def azure_server(container: str = "tests") -> Iterator[AzureServer]:
    """Start the server, with data in memory. AZURE_STORAGE_CONNECTION_STRING is set."""
    program = _azurite()
    (port,) = free_ports(1)
    endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
    connection = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint};"
    environment = {"AZURE_STORAGE_CONNECTION_STRING": connection}
    folder = tempfile.mkdtemp(prefix="negset-azure-")
    # obstore may ask for a version of the API that Azurite does not know yet.
    command = [
        program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence", "--silent", "--skipApiVersionCheck",
        "--disableTelemetry",
    ]  # fmt: skip
    with open(f"{folder}/log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        wait_for(process, endpoint, pathlib.Path(folder, "log"), accepted=(400, 403, 404))
        _create(endpoint, container)
        with mock.patch.dict(os.environ, environment):
            yield AzureServer(endpoint, container, environment)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _azurite() -> str:
    """Return the program. Install it if it is not in the cache; skip the test without npm."""
    root = os.environ.get("NEGSET_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "negset")
    folder = os.path.join(root, "npm", f"azurite-{VERSION}")
    program = f"{folder}/node_modules/.bin/azurite-blob"
    npm = shutil.which("npm")
    if not os.path.exists(program) and npm is None:
        pytest.skip("Azurite, the server of the Azure tests, is a program of Node: install npm")
    os.makedirs(folder, exist_ok=True)
    with open(f"{folder}/.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(program):
            done = subprocess.run(
                [str(npm), "install", "--silent", "--no-fund", "--no-audit", "--prefix", folder, f"azurite@{VERSION}"],
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                pytest.skip(f"npm cannot install Azurite, the server of the Azure tests: {done.stderr.strip()[-300:]}")
    return program


def _create(endpoint: str, container: str) -> None:
    """Create a container; obstore cannot. The request is signed by the account's key."""
    date = dt.datetime.now(dt.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    resource = f"/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    text = "\n".join(["PUT", *[""] * 11, f"x-ms-date:{date}", f"x-ms-version:{_API}", resource])
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": _API, "Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0"}
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{container}?restype=container", method="PUT", headers=headers)).close()
