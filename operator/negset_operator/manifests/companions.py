"""What the jobs need beside them: the resolved manifest, an identity that may do one thing, and a fence."""

from __future__ import annotations

import json
from typing import Final

from negset_api import names
from negset_operator import naming
from negset_operator.manifests.subject import Object, Subject, metadata, stamped

_COMPONENT: Final = "jobs"
DASHBOARD_PORT: Final = 8265
"""Where KubeRay submits a job to the head (HTTPMode) and asks how it is."""

# Everything that is not public: a picture's URL must not lead into the cluster. The jobs refuse such addresses themselves; this is the second fence.
_NOT_PUBLIC_V4: Final = ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
_NOT_PUBLIC_V6: Final = ("::1/128", "fc00::/7", "fe80::/10")


def all_of(subject: Subject) -> tuple[Object, ...]:
    """The companions of every job."""
    return (*before_pods(subject), *before_reports(subject))


def before_pods(subject: Subject) -> tuple[Object, ...]:
    """What must be there before the first pod: without the manifest it would wait, without the fence it would run unfenced. The service account stands last,
    because no pod that names it is made without it.
    """
    policies = (network_policy(subject),) if subject.config.networks.policies else ()
    return tuple(stamped(each) for each in (config_map(subject), *policies, service_account(subject)))


def before_reports(subject: Subject) -> tuple[Object, ...]:
    """What a job needs only once it has progress to report, seconds after its pods were asked for: these may be made after it."""
    return stamped(role(subject)), stamped(role_binding(subject))


def keys(subject: Subject) -> frozenset[tuple[str, str]]:
    """Kind and name of each, without the cost of building them."""
    account = naming.account(subject.name)
    kinds = ("ServiceAccount", "Role", "RoleBinding", *(("NetworkPolicy",) if subject.config.networks.policies else ()))
    return frozenset((("ConfigMap", naming.config_map(subject.name, subject.run)), *((kind, account) for kind in kinds)))


def config_map(subject: Subject) -> Object:
    """The resolved manifest, as JSON, which every YAML parser reads. Immutable: a changed spec is another run, with a ConfigMap of its own."""
    name = naming.config_map(subject.name, subject.run)
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
            # The jobs write where the operator says that they do, whatever their version would compute.
            "annotations": {names.LABEL_REVISION: subject.revision},
        },
        "spec": subject.manifest,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(subject, name, "manifest", per_run=True),
        "immutable": True,
        "data": {names.MANIFEST_FILE.rpartition("/")[2]: json.dumps(document, indent=2, sort_keys=True)},
    }


def service_account(subject: Subject) -> Object:
    """The jobs' identity. Its token is mounted only where a driver reports progress."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(subject, naming.account(subject.name), _COMPONENT),
        "automountServiceAccountToken": False,
    }


def role(subject: Subject) -> Object:
    """Reading and patching the status of this one object, and nothing else."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": metadata(subject, naming.account(subject.name), _COMPONENT),
        "rules": [
            {
                "apiGroups": [names.GROUP],
                "resources": [f"{names.PLURAL}/status"],
                "resourceNames": [subject.name],
                "verbs": ["get", "patch"],
            }
        ],
    }


def role_binding(subject: Subject) -> Object:
    account = naming.account(subject.name)
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata(subject, account, _COMPONENT),
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": subject.namespace}],
    }


def network_policy(subject: Subject) -> Object:
    """In: the data set's own pods and KubeRay. Out: the own pods, names, the API server, public addresses, and the networks that the administrator allows."""
    networks = subject.config.networks
    own = {"podSelector": {"matchLabels": {names.LABEL_DATASET: naming.label(subject.name)}}}
    # A tenant can give a pod any label, but cannot make a namespace with this one: the API server sets it to the namespace's name.
    where = [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": list(networks.kuberay_namespaces)}]
    kuberay = {"namespaceSelector": {"matchExpressions": where}, "podSelector": {"matchLabels": networks.kuberay_pod_labels}}
    public = [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_NOT_PUBLIC_V4)}},
        {"ipBlock": {"cidr": "::/0", "except": list(_NOT_PUBLIC_V6)}},
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(subject, naming.account(subject.name), _COMPONENT),
        "spec": {
            "podSelector": own["podSelector"],
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [own]}, {"from": [kuberay], "ports": [{"port": DASHBOARD_PORT, "protocol": "TCP"}]}],
            "egress": [
                {"to": [own, *public, *({"ipBlock": {"cidr": cidr}} for cidr in networks.allowed)]},
                {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
                {
                    "to": [{"ipBlock": {"cidr": cidr}} for cidr in networks.api_server],
                    "ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}],
                },
            ],
        },
    }


def headless_service(subject: Subject, child: str, role_name: str) -> Object:
    """Names for the pods of one training job, so that its workers find each other. They resolve before the pods are ready."""
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(subject, child, role_name, per_run=True),
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {names.LABEL_CHILD: child}},
        }
    )
