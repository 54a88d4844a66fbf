"""The NetworkPolicies of a dataset's pods.

The jobs refuse the same addresses in their own code. The policies are a second protection.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from negset_api import names
from negset_api.networks import NAT64, NOT_PUBLIC_V4, NOT_PUBLIC_V6, PUBLIC_V4, PUBLIC_V6
from negset_operator import naming
from negset_operator.config import Networks
from negset_operator.manifests.subject import Object, Subject, metadata

_COMPONENT: Final = "jobs"
DASHBOARD_PORT: Final = 8265
"""The head's port on which KubeRay submits a job (HTTPMode) and reads its state."""


def network_policy(subject: Subject) -> Object:
    """Return the policy of all pods of a dataset.

    Ingress: from the dataset's pods, and from KubeRay.
    Egress: to the dataset's pods, DNS, public addresses, and the proxy and the networks that the
    administrator allows.
    """
    networks = subject.config.networks
    own = {"podSelector": {"matchLabels": _own(subject)}}
    # A tenant can set any label on a pod. A tenant cannot set this label on a namespace: the API
    # server sets it to the namespace's name.
    expressions = [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(networks.kuberay_namespaces)}]
    kuberay = {"namespaceSelector": {"matchExpressions": expressions}, "podSelector": {"matchLabels": networks.kuberay_pod_labels}}
    ingress = [{"from": [own]}, {"from": [kuberay], "ports": _ports([DASHBOARD_PORT])}]
    egress: list[Object] = [{"to": [own, *_PUBLIC, *_blocks(dict.fromkeys((*networks.images, *networks.stores)))]}]
    if networks.proxy.url and networks.proxy.networks:
        egress.append({"to": _blocks(networks.proxy.networks), "ports": _ports([networks.proxy.port])})
    if networks.dns:
        egress.append({"to": list(networks.dns), "ports": _ports(networks.dns_ports, "UDP", "TCP")})
    spec = {"podSelector": own["podSelector"], "policyTypes": ["Ingress", "Egress"], "ingress": ingress, "egress": egress}
    return _policy(subject, naming.account(subject.name), spec)


def has_reports_policy(networks: Networks) -> bool:
    return networks.policies and bool(networks.api_server)


def reports_name(subject: Subject) -> str:
    return f"{naming.account(subject.name)}-reports"


def reports_policy(subject: Subject) -> Object:
    """Return the policy that lets only the pods that report progress reach the API server."""
    networks = subject.config.networks
    spec = {
        "podSelector": {"matchLabels": {**_own(subject), names.LABEL_REPORTS: "true"}},
        "policyTypes": ["Egress"],
        "egress": [{"to": _blocks(networks.api_server), "ports": _ports(networks.api_server_ports)}],
    }
    return _policy(subject, reports_name(subject), spec)


def _policy(subject: Subject, name: str, spec: Object) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(subject, name, _COMPONENT),
        "spec": spec,
    }


def _own(subject: Subject) -> dict[str, str]:
    return {names.LABEL_DATASET: naming.label(subject.name)}


def _blocks(cidrs: Iterable[str]) -> list[Object]:
    return [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]


def _ports(numbers: Iterable[int], *protocols: str) -> list[Object]:
    return [{"port": number, "protocol": protocol} for number in numbers for protocol in protocols or ("TCP",)]


def _within(public: str, networks: Iterable[str]) -> Object:
    """Return a block with those of the networks as exceptions that are in it.

    The API server refuses an exception outside the block.
    """
    block = ipaddress.ip_network(public)
    # mypy does not know that both networks are of one family.
    excepted = [each for each in networks if ipaddress.ip_network(each).subnet_of(block)]  # type: ignore[arg-type]
    return {"ipBlock": {"cidr": public, "except": excepted}}


def _by_nat64(cidr: str) -> str:
    """Return the IPv6 network that leads to an IPv4 network by NAT64.

    A cluster without IPv4 reaches public IPv4 servers this way.
    """
    inner, outer = ipaddress.IPv4Network(cidr), ipaddress.IPv6Network(NAT64)
    return str(ipaddress.IPv6Network((int(outer[0]) + int(inner[0]), outer.prefixlen + inner.prefixlen)))


_PUBLIC: Final = (
    _within(PUBLIC_V4, NOT_PUBLIC_V4),
    _within(PUBLIC_V6, NOT_PUBLIC_V6),
    _within(NAT64, map(_by_nat64, NOT_PUBLIC_V4)),
)
