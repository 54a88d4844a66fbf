"""The administrator's configuration: images, resources, networks and timeouts.

It comes from the chart, never from a tenant's object.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, field

from negset_api import decoding
from negset_api.errors import InvalidInput
from negset_api.networks import is_public
from negset_api.version import version

Count = Annotated[int, Meta(ge=1)]
Seconds = Annotated[int, Meta(ge=1)]
MemorySize = Annotated[str, Meta(pattern=r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$")]
"""Bytes as a Kubernetes quantity."""
Port = Annotated[int, Meta(ge=1, le=65535)]
Scheme = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9+.-]*$")]
RayVersion = Annotated[str, Meta(pattern=r"^[1-9][0-9]*\.[0-9]+\.[0-9]+")]
Cidr = str
"""A network such as 10.96.0.0/12. `read` checks it."""

OLDEST_RAY: Final = (2, 53)
"""KubeRay needs Ray 2.52 for token authentication, and probes `/api/healthz` from 2.53 on."""


class Setting(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the configuration's types: immutable, camelCase, and unknown fields are errors."""


class Resources(Setting, frozen=True, kw_only=True):
    """A container's requests and limits, as Kubernetes quantities.

    Every container has both, so that quotas can count it.
    """

    requests: dict[str, str]
    limits: dict[str, str]


class Images(Setting, frozen=True, kw_only=True):
    """Container images. `jobs` has everything except TensorFlow. `trainer` has TensorFlow, too."""

    jobs: str = f"negset/jobs:{version()}"
    trainer: str = f"negset/trainer:{version()}"
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


class Placement(Setting, frozen=True, kw_only=True):
    """The nodes that pods may run on, with the fields of a Kubernetes PodSpec."""

    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[dict[str, Any], ...] = ()


def _resources(cpu: str, memory: str, *, cpu_limit: str, memory_limit: str) -> Resources:
    return Resources(requests={"cpu": cpu, "memory": memory}, limits={"cpu": cpu_limit, "memory": memory_limit})


class Pods(Setting, frozen=True, kw_only=True):
    """Resources and placement, by the role of a pod.

    A Ray head runs Ray's own services and the job's driver, but no tasks.
    `trainer_shared_memory` is the size of a training pod's /dev/shm, which NCCL uses between the
    GPUs of one pod. Its used part counts towards the pod's memory limit.
    """

    ray_head: Resources = _resources("500m", "2Gi", cpu_limit="2", memory_limit="4Gi")
    data_worker: Resources = _resources("1", "1Gi", cpu_limit="2", memory_limit="2Gi")
    mine_worker: Resources = _resources("1", "2Gi", cpu_limit="2", memory_limit="4Gi")
    trainer: Resources = _resources("2", "4Gi", cpu_limit="8", memory_limit="16Gi")
    check: Resources = _resources("500m", "2Gi", cpu_limit="2", memory_limit="4Gi")
    trainer_shared_memory: MemorySize = "1Gi"
    delete: Resources = _resources("100m", "256Mi", cpu_limit="1", memory_limit="512Mi")
    placement: Placement = field(default_factory=Placement)
    trainer_placement: Placement = field(default_factory=Placement)


_KUBE_SYSTEM: Final = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
_OPENSHIFT_DNS: Final = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-dns"}}}
_DNS: Final[tuple[dict[str, Any], ...]] = (
    {**_KUBE_SYSTEM, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}},
    _OPENSHIFT_DNS,
    # NodeLocal DNSCache (https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/).
    {"ipBlock": {"cidr": "169.254.20.10/32"}},
)


class Proxy(Setting, frozen=True, kw_only=True):
    """The forward proxy that jobs use for web servers and object stores.

    `url`: where it listens; if empty, connections are direct. It has no password, because tenants
    can read the pods of their jobs.
    `bypass`: hosts, with everything below them, and networks (CIDR) that are reached directly.
    `networks`: CIDRs of the proxy, which the network policy lets the jobs reach at its port.
    """

    url: Annotated[str, Meta(pattern=r"^(https?://[A-Za-z0-9._-]+(:[1-9][0-9]{0,4})?/?)?$")] = ""
    bypass: tuple[Annotated[str, Meta(min_length=1)], ...] = ("svc", "cluster.local")
    networks: tuple[Cidr, ...] = ()

    @property
    def host(self) -> str:
        """The name or the address in the URL; empty if there is none."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port of the URL, or its scheme's."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "https" else 80)


class Networks(Setting, frozen=True, kw_only=True):
    """What jobs may reach besides public addresses, and who may reach them.

    `images`: CIDRs that the URL of an image or an input may lead to.
    `stores`: CIDRs of object stores, which the URL of an image may not lead to.
    `schemes`: the URL schemes that a manifest may use.
    `proxy`: the proxy that jobs use. The variables of their pods name none, since a tenant's Secret
    can set them.
    `dns`: NetworkPolicyPeers of the cluster's DNS. OpenShift's pods listen on port 5353.
    `api_server`: CIDRs of the API server, to which jobs report progress. If it is empty, the
    operator finds them (`kube.api_server`).
    `kuberay_namespaces`, `kuberay_pod_labels`: the pods that may reach the head of a Ray cluster.
    Others may not, because they could try to run code in it.
    """

    policies: bool = True
    images: tuple[Cidr, ...] = ()
    stores: tuple[Cidr, ...] = ()
    schemes: Annotated[tuple[Scheme, ...], Meta(min_length=1)] = ("s3", "gs", "abfs", "http", "https")
    proxy: Proxy = field(default_factory=Proxy)
    dns: tuple[dict[str, Any], ...] = _DNS
    dns_ports: tuple[Port, ...] = (53, 5353)
    api_server: tuple[Cidr, ...] = ()
    api_server_ports: tuple[Port, ...] = (443, 6443)
    kuberay_namespaces: tuple[str, ...] = ("kuberay-system", "kuberay-operator", "ray-system")
    kuberay_pod_labels: dict[str, str] = field(default_factory=lambda: {"app.kubernetes.io/component": "kuberay-operator"})

    def unreachable_proxy(self, addresses: Iterable[str]) -> str:
        """Return why the network policy may keep jobs from the proxy; empty if it does not.

        `addresses` are the IP addresses of the proxy. Other policies may allow more. Most network
        plugins compare the addresses of a Service's pods, and not the Service's.
        """
        allowed = [ipaddress.ip_network(cidr) for cidr in (*self.images, *self.stores, *self.proxy.networks)]
        found = [ipaddress.ip_address(text) for text in addresses]
        missing = [each for each in found if not is_public(each) and not any(each in network for network in allowed)]
        if not self.policies or not missing:
            return ""
        listed = ", ".join(f"{each}/{each.max_prefixlen}" for each in missing)
        return (
            f"networks.proxy.networks: expected a network with each address of the proxy ({self.proxy.url}) that is not public; "
            f"add {listed} or, for a Service, the network of its pods, or the network policy keeps the jobs from the proxy"
        )


class Patience(Setting, frozen=True, kw_only=True):
    """How long the operator waits, and how often it retries.

    `attempts`: how often a Ray job may fail by its own fault before the dataset stalls.
    `most_attempts`: the limit for all attempts at a step. Transient errors and interruptions count
    as well. With the default pauses, 60 attempts take nine hours.
    `retries`: how often Kubernetes restarts the pods of a Job, for each worker.
    `retry_seconds`: the pause before a failed step is retried. It doubles for each further retry.
    `retry_limit_seconds`: the longest of these pauses.
    `unseen_seconds`: how long KubeRay may leave a RayJob untouched before the condition
    becomes `NotPickedUp`.
    `start_seconds`: how long a Ray cluster may take to start before it is created again.
    `lost_node_seconds`: how long a pod waits for its node to answer before it is replaced.
    Kubernetes' default is 300.
    `keep_finished_seconds`: how long finished children stay for `kubectl logs` and `kubectl
    describe` after the dataset is ready.
    `training_grace_seconds`: how long a terminating training pod may take to save a checkpoint.
    `deletion_seconds`: how long an object that is being deleted waits for the deletion of its data.
    After that, the object is deleted, and an event names the URL of the data.
    `stuck_seconds`: a running job that makes no progress for this time is stopped and retried, as
    after an interruption; 0 disables that.
    `check_seconds`: how long checking the configuration may take.
    """

    attempts: Count = 3
    most_attempts: Count = 60
    retries: Annotated[int, Meta(ge=0)] = 4
    retry_seconds: Seconds = 20
    retry_limit_seconds: Seconds = 600
    unseen_seconds: Seconds = 30
    start_seconds: Seconds = 3600
    lost_node_seconds: Annotated[int, Meta(ge=0)] = 60
    keep_finished_seconds: Seconds = 24 * 3600
    training_grace_seconds: Seconds = 120
    deletion_seconds: Seconds = 3600
    stuck_seconds: Annotated[int, Meta(ge=0)] = 1800
    check_seconds: Seconds = 1800


class Config(Setting, frozen=True, kw_only=True):
    """The whole configuration. If `namespaces` is empty, all namespaces are watched."""

    images: Images = field(default_factory=Images)
    pods: Pods = field(default_factory=Pods)
    networks: Networks = field(default_factory=Networks)
    patience: Patience = field(default_factory=Patience)
    ray_version: RayVersion = "2.60.0"
    namespaces: tuple[str, ...] = ()
    workers: Count = 8
    resync_seconds: Seconds = 600


DEFAULT: Final = Config()


def read(path: str) -> Config:
    """Return the configuration in a YAML file. Missing fields have their defaults.

    Raise `InvalidInput` that names the file and the field.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as stream:
            document = yaml.safe_load(stream)
    except OSError as error:
        raise InvalidInput(f"--config: cannot read {path!r}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--config: expected YAML in {path!r}: {' '.join(str(error).split())}") from error
    try:
        _check_moved(document)
        config = decoding.convert(document or {}, Config)
        _check(config)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidInput(f"--config: {path}: {error}") from error
    return config


def _check_moved(document: Any) -> None:
    """Raise ValueError for a setting of an earlier version."""
    networks = document.get("networks") if isinstance(document, dict) else None
    if isinstance(networks, dict) and "allowed" in networks:
        raise ValueError(
            "networks.allowed: expected networks.images (networks of images and annotations) and networks.stores "
            "(networks of object stores), got networks.allowed; move each network to one of them"
        )


def _check(config: Config) -> None:
    """Raise ValueError that names the setting, for rules that the types do not state."""
    networks = config.networks
    listed = {
        "images": networks.images,
        "stores": networks.stores,
        "apiServer": networks.api_server,
        "proxy.networks": networks.proxy.networks,
    }
    try:
        _ = networks.proxy.port
    except ValueError as error:
        raise ValueError(f"networks.proxy.url: expected a port of at most 65535, got {networks.proxy.url!r}") from error
    for setting, cidrs in listed.items():
        for cidr in cidrs:
            try:
                ipaddress.ip_network(cidr)
            except ValueError as error:
                raise ValueError(f"networks.{setting}: expected a network such as 10.96.0.0/12: {error}") from error
    if tuple(map(int, config.ray_version.split(".")[:2])) < OLDEST_RAY:
        oldest = ".".join(map(str, OLDEST_RAY))
        raise ValueError(
            f"rayVersion: expected {oldest} or later, which has token authentication and one health check, "
            f'got "{config.ray_version}"; set images.jobs and images.trainer to images with a later Ray'
        )
