"""The addresses of the API server, as the operator finds them for the jobs' NetworkPolicy."""

from __future__ import annotations

import msgspec
import pytest

from negset_operator.config import Networks
from negset_operator.kube import api_server
from negset_operator.kube.api_server import EndpointSlice, located
from negset_operator.kube.client import ApiError, Unreachable

IN_A_POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}
KUBEADM = b'{"endpoints": [{"addresses": ["172.18.0.3"]}, {"addresses": ["172.18.0.2"]}], "ports": [{"name": "https", "port": 16443}]}'


def slice_of(text: bytes) -> EndpointSlice:
    return msgspec.json.decode(text, type=EndpointSlice)


# environment, slice, given networks, addresses, ports
FOUND = {
    "the Service and each endpoint, with their ports": (
        IN_A_POD,
        KUBEADM,
        Networks(),
        ("10.96.0.1/32", "172.18.0.2/32", "172.18.0.3/32"),
        (443, 6443, 16443),
    ),
    "IPv6": (
        {"KUBERNETES_SERVICE_HOST": "fd00::1"},
        b'{"endpoints": [{"addresses": ["fd01::2"]}]}',
        Networks(),
        ("fd00::1/128", "fd01::2/128"),
        (443, 6443),
    ),
    "the Service alone where the endpoints cannot be read": (IN_A_POD, b"{}", Networks(), ("10.96.0.1/32",), (443, 6443)),
    "null lists": (IN_A_POD, b'{"endpoints": null, "ports": null}', Networks(), ("10.96.0.1/32",), (443, 6443)),
    "a host name, which no policy can name": ({"KUBERNETES_SERVICE_HOST": "api.example"}, b"{}", Networks(), (), (443, 6443)),
    "nothing outside of a cluster": ({}, b"{}", Networks(), (), (443, 6443)),
    "what the administrator names": (IN_A_POD, KUBEADM, Networks(api_server=("10.0.0.0/24",)), ("10.0.0.0/24",), (443, 6443)),
}


@pytest.mark.parametrize(("environment", "text", "networks", "addresses", "ports"), FOUND.values(), ids=FOUND.keys())
def test_the_api_server_is(environment, text, networks, addresses, ports):
    found = located(networks, environment, slice_of(text))
    assert (found.api_server, found.api_server_ports) == (addresses, ports)


class Server:
    """Answers the one request, or raises an error."""

    def __init__(self, answer: EndpointSlice | Exception) -> None:
        self.answer, self.asked = answer, 0

    def get(self, _kind, namespace, name, _as_type):
        self.asked += 1
        assert (namespace, name) == ("default", "kubernetes")
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("networks", [Networks(policies=False), Networks(api_server=("10.0.0.0/24",))], ids=["no policies", "named"])
def test_no_request_is_sent_if_the_addresses_are_not_needed(networks):
    server = Server(EndpointSlice())
    assert api_server.locate(server, networks) == networks
    assert server.asked == 0


@pytest.mark.parametrize("status", [403, 404])
def test_an_operator_that_may_not_read_it_says_what_to_do_and_works_on(monkeypatch, caplog, status):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    found = api_server.locate(Server(ApiError(status, "", "no")), Networks())
    assert found.api_server == ("10.96.0.1/32",)
    assert "set config.networks.apiServer" in caplog.text


@pytest.mark.parametrize("trouble", [ApiError(503, "", "starting"), Unreachable("refused")], ids=["starting", "away"])
def test_a_transient_error_is_raised_so_that_the_request_is_retried(trouble):
    with pytest.raises(type(trouble)):
        api_server.locate(Server(trouble), Networks())
