"""The addresses of the API server, for the NetworkPolicy of the pods that report progress.

A pod connects to the Service `default/kubernetes`. Some network plugins check a packet by the
Service's address, others by the endpoint's, after the translation. The policy needs both. The
Service's address is in every pod's environment. The API server keeps its endpoints in the
EndpointSlice `default/kubernetes`, which has this name in every cluster
(https://kubernetes.io/docs/reference/networking/virtual-ips/).
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from negset_operator.config import Networks
from negset_operator.kube.client import FORBIDDEN, NOT_FOUND, ApiError, Client, Kind
from negset_operator.kube.objects import Object

log = logging.getLogger(__name__)

ENDPOINT_SLICE: Final = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
NAMESPACE: Final = "default"
NAME: Final = "kubernetes"


class Endpoint(Object, frozen=True, kw_only=True):
    addresses: tuple[str, ...] = ()


class EndpointPort(Object, frozen=True, kw_only=True):
    port: int | None = None


class EndpointSlice(Object, frozen=True, kw_only=True):
    """The addresses of a Service. Both lists are null, not empty, if there are none."""

    endpoints: tuple[Endpoint, ...] | None = None
    ports: tuple[EndpointPort, ...] | None = None


def located(networks: Networks, environment: Mapping[str, str], found: EndpointSlice) -> Networks:
    """Return the networks with the API server's addresses, unless the administrator names them."""
    if networks.api_server:
        return networks
    service = environment.get("KUBERNETES_SERVICE_HOST", "")
    addresses = [service, *(address for endpoint in found.endpoints or () for address in endpoint.addresses)]
    ports = [int(environment.get("KUBERNETES_SERVICE_PORT") or 0), *(each.port or 0 for each in found.ports or ())]
    return msgspec.structs.replace(
        networks,
        api_server=tuple(sorted({_single(address) for address in addresses if _is_address(address)})),
        api_server_ports=_sorted((*networks.api_server_ports, *ports)),
    )


def locate(client: Client, networks: Networks) -> Networks:
    """Return the networks with the API server's addresses.

    The endpoints are read from the API server, unless the administrator names the addresses or
    there are no policies. Raise `Unreachable`, or `ApiError` for a transient error.
    """
    if networks.api_server or not networks.policies:
        return networks
    try:
        found = client.get(ENDPOINT_SLICE, NAMESPACE, NAME, EndpointSlice)
    except ApiError as error:
        if error.status not in {FORBIDDEN, NOT_FOUND}:
            raise
        log.warning(
            "failed to read EndpointSlice %s/%s: jobs may not reach the API server to report progress; "
            "let the operator get it or set config.networks.apiServer: %s",
            NAMESPACE,
            NAME,
            error,
        )
        found = EndpointSlice()
    return located(networks, os.environ, found)


def _single(address: str) -> str:
    ip = ipaddress.ip_address(address)
    return f"{ip}/{ip.max_prefixlen}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:  # empty, or a host name, which a NetworkPolicy cannot have
        return False
    return True


def _sorted(ports: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(ports) - {0}))
