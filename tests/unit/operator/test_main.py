"""The operator's command line: each error is one line."""

from __future__ import annotations

import logging
import socket

import pytest

from negset_operator.main import main

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
"""


@pytest.fixture(autouse=True)
def _logging_as_before():
    """`main` configures logging for its own process."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def kubeconfig(tmp_path) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return str(path)


def test_a_port_that_is_none(capsys, kubeconfig):
    assert main(["--kubeconfig", kubeconfig, "--listen", "0.0.0.0:http"]) == 2
    assert capsys.readouterr().err == "negset-operator: --listen: expected an address such as 0.0.0.0:8080, got '0.0.0.0:http'\n"


def test_a_port_that_is_taken(capsys, kubeconfig):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert main(["--kubeconfig", kubeconfig, "--listen", address]) == 2
    assert capsys.readouterr().err == f"negset-operator: --listen: cannot listen on {address}: Address already in use\n"


def test_a_configuration_that_is_not_there(capsys):
    assert main(["--config", "/nowhere/config.yaml"]) == 2
    assert capsys.readouterr().err == "negset-operator: --config: cannot read '/nowhere/config.yaml': No such file or directory\n"


def test_a_kubeconfig_that_is_not_there(capsys):
    assert main(["--kubeconfig", "/nowhere/kubeconfig"]) == 2
    assert capsys.readouterr().err.startswith("negset-operator: --kubeconfig: ")
