"""The operator's command line: each error is one line."""

from __future__ import annotations

import logging
import socket

import pytest

from negset_operator.config import Config, Networks, Proxy
from negset_operator.main import _check_proxy, main

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


PROXY = {
    "a private address that no network has": (
        ("10.1.2.3",),
        ("10.9.0.0/16",),
        "add 10.1.2.3/32 or, for a Service, the network of its pods, or the network policy keeps the jobs",
    ),
    "two addresses of which a network has one": (("10.1.2.3", "fd00::3"), ("10.1.0.0/16",), "add fd00::3/128 or,"),
    "no address": ((), (), "networks.proxy.url: cannot resolve the name of the proxy (http://proxy.example:3128)"),
    "a public address": (("8.8.8.8", "2606:4700::1"), (), ""),
    "a private address that a network has": (("10.1.2.3",), ("10.1.0.0/16",), ""),
}


@pytest.mark.parametrize(("addresses", "networks", "warning"), PROXY.values(), ids=PROXY.keys())
def test_at_the_start_a_warning_names_the_setting_if_the_name_of_the_proxy_leads_to(addresses, networks, warning, monkeypatch, caplog):
    def resolve(host, port, **_):
        assert (host, port) == ("proxy.example", 3128)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(None, None, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    proxy = Proxy(url="http://proxy.example:3128", networks=networks)
    _check_proxy(Config(networks=Networks(proxy=proxy)))
    assert bool(caplog.text) is bool(warning)
    assert warning in caplog.text


def test_an_address_in_the_url_of_the_proxy_is_checked_like_that_of_a_name(caplog):
    _check_proxy(Config(networks=Networks(proxy=Proxy(url="http://10.1.2.3:3128", networks=("10.1.3.0/24",)))))
    assert "each address of the proxy (http://10.1.2.3:3128) that is not public; add 10.1.2.3/32 or," in caplog.text


def test_without_a_proxy_nothing_is_resolved(monkeypatch, caplog):
    monkeypatch.delattr(socket, "getaddrinfo")
    _check_proxy(Config())
    assert caplog.text == ""
