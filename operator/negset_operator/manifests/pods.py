"""Pod templates that pass Pod Security "restricted" and have a read-only root file system.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

import posixpath
from typing import Any, Final

import msgspec

from negset_api import names
from negset_api.spec import secret_prefix
from negset_operator import naming
from negset_operator.config import Placement, Resources
from negset_operator.manifests.subject import Object, Subject

USER: Final = 10001
_WRITABLE: Final = "/tmp"  # noqa: S108 - the mount point of a volume of the pod's own
_SHARED_MEMORY: Final = "/dev/shm"  # noqa: S108 - the mount point of a volume of the pod's own
_LOADERS: Final = ("LD_AUDIT", "LD_PRELOAD", "PYTHONHOME", "PYTHONPATH")
"""Variables that decide which code a process loads. A tenant's Secret must not set them."""
_LOST_NODE: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """The one container of a pod.

    `command`: if it is empty, KubeRay sets it.
    `token`: whether it gets a token, to report progress to the API server.
    `gpus`: how many of the resource `gpu_resource`.
    `shared_memory`: the size of /dev/shm, a quantity. Empty keeps the container runtime's 64 MiB.
    `readiness_probe`: if it is empty, KubeRay sets it.
    `pipeline`: whether it reads the user's pipeline.config, if the spec names a ConfigMap.
    """

    name: str
    image: str
    resources: Resources
    command: tuple[str, ...] = ()
    env: tuple[Object, ...] = ()
    token: bool = False
    gpus: int = 0
    gpu_resource: str = ""
    shared_memory: str = ""
    readiness_probe: Object = msgspec.field(default_factory=dict)
    pipeline: bool = False


def template(subject: Subject, *, child: str, role: str, container: Container, placement: Placement, extra: Object | None = None) -> Object:
    """Return a pod template. `extra` are further fields of the pod's spec."""
    labels = naming.labels(subject.name, role)
    labels |= {names.LABEL_SPEC_HASH: subject.spec_hash, names.LABEL_REVISION: subject.revision, names.LABEL_CHILD: child}
    if container.token:
        labels[names.LABEL_REPORTS] = "true"
    return {"metadata": {"labels": labels}, "spec": {**_pod_spec(subject, container, placement), **(extra or {})}}


def command(subject: Subject, *words: str) -> tuple[str, ...]:
    """Return the command of a job, with the networks, schemes and proxy of the administrator."""
    networks = subject.config.networks
    given = [("--allow-address", networks.images), ("--allow-store", networks.stores), ("--allow-scheme", networks.schemes)]
    if networks.proxy.url:
        given += [("--proxy", (networks.proxy.url,)), ("--no-proxy", networks.proxy.bypass)]
    options = (part for option, values in given for value in values for part in (option, value))
    return ("negset", "job", *words, "--file", names.MANIFEST_FILE, "--cluster", *options)


def _pod_spec(subject: Subject, container: Container, placement: Placement) -> Object:
    images = subject.config.images
    spec: dict[str, Any] = {
        "serviceAccountName": naming.account(subject.name),
        "automountServiceAccountToken": container.token,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(subject, container)],
        "tolerations": _tolerations(placement, subject.config.patience.lost_node_seconds),
        "volumes": _volumes(subject, container),
    }
    optional = {
        "imagePullSecrets": [{"name": name} for name in images.pull_secrets],
        "nodeSelector": dict(placement.node_selector),
    }
    return spec | {name: value for name, value in optional.items() if value}


def _tolerations(placement: Placement, seconds: int) -> list[Object]:
    """Return the administrator's tolerations, and those for a node that does not answer.

    The latter limit how long a pod stays on such a node, unless the administrator's do
    (https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions).
    """
    given = [dict(toleration) for toleration in placement.tolerations]
    keys = {toleration.get("key") for toleration in given}
    lost = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds} for key in _LOST_NODE if key not in keys
    ]
    return [*given, *lost]


def _container(subject: Subject, container: Container) -> Object:
    secrets = _secrets(subject)
    # A variable that is given here is stronger than one of a Secret. An empty one counts as unset.
    unset = [{"name": name, "value": ""} for name in _LOADERS if secrets]
    env = [{"name": "HOME", "value": _WRITABLE}, *unset, *container.env]
    mounts = [
        {"name": "tmp", "mountPath": _WRITABLE},
        {"name": "manifest", "mountPath": posixpath.dirname(names.MANIFEST_FILE), "readOnly": True},
    ]
    if container.shared_memory:
        mounts.append({"name": "shared-memory", "mountPath": _SHARED_MEMORY})
    if container.pipeline and _own_pipeline(subject):
        env.append({"name": names.PIPELINE_CONFIG_VARIABLE, "value": names.PIPELINE_CONFIG_FILE})
        mounts.append({"name": "pipeline", "mountPath": posixpath.dirname(names.PIPELINE_CONFIG_FILE), "readOnly": True})
    return {
        "name": container.name,
        "image": container.image,
        "imagePullPolicy": subject.config.images.pull_policy,
        **({"command": list(container.command)} if container.command else {}),
        "env": env,
        **({"envFrom": secrets} if secrets else {}),
        **({"readinessProbe": container.readiness_probe} if container.readiness_probe else {}),
        "resources": _resources(container),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }


def _secrets(subject: Subject) -> list[Object]:
    """Return the Secrets whose keys become variables: the output's, and those of other stores."""
    spec = subject.spec
    own = [{"secretRef": {"name": spec.output.secret_name}}] if spec.output.secret_name else []
    others = dict.fromkeys(store.secret_name for store in spec.stores if store.secret_name)
    return [*own, *({"prefix": secret_prefix(name), "secretRef": {"name": name}} for name in others)]


def _resources(container: Container) -> Object:
    gpus = {container.gpu_resource: str(container.gpus)} if container.gpus else {}
    return {"requests": container.resources.requests | gpus, "limits": container.resources.limits | gpus}


def _volumes(subject: Subject, container: Container) -> list[Object]:
    volumes: list[Object] = [
        {"name": "tmp", "emptyDir": {}},
        {"name": "manifest", "configMap": {"name": naming.config_map(subject.name, subject.spec_hash)}},
    ]
    if container.shared_memory:
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": container.shared_memory}})
    if container.pipeline and _own_pipeline(subject):
        # The run's copy is mounted: the user's ConfigMap may change during the run.
        items = [{"key": names.PIPELINE_CONFIG_KEY, "path": posixpath.basename(names.PIPELINE_CONFIG_FILE)}]
        volumes.append({"name": "pipeline", "configMap": {"name": naming.config_map(subject.name, subject.spec_hash), "items": items}})
    return volumes


def _own_pipeline(subject: Subject) -> bool:
    training = subject.spec.training
    return training is not None and bool(training.pipeline_config.config_map)
