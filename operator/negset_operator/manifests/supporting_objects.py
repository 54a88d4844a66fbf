"""The objects that the jobs need: the resolved manifest, an identity, and NetworkPolicies."""

from __future__ import annotations

import base64
import json
from typing import Final

from negset_api import names
from negset_operator import naming
from negset_operator.manifests import network_policies
from negset_operator.manifests.subject import Object, Subject, metadata, with_applied_annotation

_COMPONENT: Final = "jobs"


def before_pods(subject: Subject) -> tuple[Object, ...]:
    """Return the objects that must exist before the first pod, in order.

    Without the manifest, a pod would wait. Without the policies, it would run unprotected. The
    ServiceAccount is last, because no pod can be created without it.
    """
    policies = (network_policies.network_policy(subject),) if subject.config.networks.policies else ()
    return tuple(with_applied_annotation(each) for each in (config_map(subject), *policies, service_account(subject)))


def before_reports(subject: Subject) -> tuple[Object, ...]:
    """Return the objects that a job needs only to report progress.

    That is seconds after the creation of its pods, so these may be created after it.
    """
    policies = (network_policies.reports_policy(subject),) if network_policies.has_reports_policy(subject.config.networks) else ()
    return tuple(with_applied_annotation(each) for each in (role(subject), role_binding(subject), *policies))


def keys(subject: Subject) -> frozenset[tuple[str, str]]:
    """Return kind and name of each supporting object, without the cost of building them."""
    account, networks = naming.account(subject.name), subject.config.networks
    found = [("ConfigMap", naming.config_map(subject.name, subject.spec_hash))]
    found += [(kind, account) for kind in ("ServiceAccount", "Role", "RoleBinding")]
    if networks.policies:
        found.append(("NetworkPolicy", account))
    if network_policies.has_reports_policy(networks):
        found.append(("NetworkPolicy", network_policies.reports_name(subject)))
    return frozenset(found)


def config_map(subject: Subject) -> Object:
    """Return the ConfigMap with the resolved manifest and a copy of the user's pipeline.config.

    The manifest is JSON, which every YAML parser reads. The ConfigMap is immutable: every pod of a
    run reads the same bytes. A changed spec or pipeline.config is another run, with another
    ConfigMap.
    """
    name = naming.config_map(subject.name, subject.spec_hash)
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
            # The jobs use this revision and spec hash, even if their version would compute others.
            "annotations": {
                names.LABEL_REVISION: subject.revision,
                names.LABEL_SPEC_HASH: subject.spec_hash,
                **({names.LABEL_PIPELINE: subject.pipeline.counts} if subject.pipeline.counts else {}),
            },
        },
        "spec": subject.manifest,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(subject, name, "manifest", per_run=True),
        "immutable": True,
        **_data({names.MANIFEST_FILE.rpartition("/")[2]: json.dumps(document, indent=2, sort_keys=True)}, subject.pipeline.content),
    }


def _data(texts: dict[str, str], pipeline: bytes) -> Object:
    """Return the data of a ConfigMap with these texts and a pipeline.config, unless it is empty.

    A pipeline.config that is not UTF-8 is stored as binary data. The jobs report the error.
    """
    if not pipeline:
        return {"data": texts}
    try:
        return {"data": {**texts, names.PIPELINE_CONFIG_KEY: pipeline.decode()}}
    except UnicodeDecodeError:
        return {"data": texts, "binaryData": {names.PIPELINE_CONFIG_KEY: base64.b64encode(pipeline).decode()}}


def service_account(subject: Subject) -> Object:
    """Return the jobs' identity. Only pods that report progress mount its token."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(subject, naming.account(subject.name), _COMPONENT),
        "automountServiceAccountToken": False,
    }


def role(subject: Subject) -> Object:
    """Return a role that only allows to read and patch the status of this one object."""
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


def headless_service(subject: Subject, child: str, role_name: str) -> Object:
    """Return the Service that gives DNS names to the pods of one training job.

    Its workers find each other by these names, which resolve before the pods are ready.
    """
    return with_applied_annotation(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(subject, child, role_name, per_run=True),
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {names.LABEL_CHILD: child}},
        }
    )
