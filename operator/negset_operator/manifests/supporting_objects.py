"""What the jobs need beside them: the resolved manifest, an identity that may do one thing, and a
fence.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from negset_api import names
from negset_operator import naming
from negset_operator.manifests import fence
from negset_operator.manifests.subject import Object, Subject, metadata, stamped

_COMPONENT: Final = "jobs"


def all_of(subject: Subject) -> tuple[Object, ...]:
    """The supporting_objects of every job."""
    return (*before_pods(subject), *before_reports(subject))


def before_pods(subject: Subject) -> tuple[Object, ...]:
    """What must be there before the first pod: without the manifest it would wait, without the
    fence it would run unfenced. The service account stands last, because no pod that names it is
    made without it.
    """
    policies = (fence.network_policy(subject),) if subject.config.networks.policies else ()
    return tuple(stamped(each) for each in (config_map(subject), *policies, service_account(subject)))


def before_reports(subject: Subject) -> tuple[Object, ...]:
    """What a job needs only once it has progress to report, seconds after its pods were asked for:
    these may be made after it.
    """
    gates = (fence.reports_policy(subject),) if fence.has_reports_policy(subject.config.networks) else ()
    return tuple(stamped(each) for each in (role(subject), role_binding(subject), *gates))


def keys(subject: Subject) -> frozenset[tuple[str, str]]:
    """Kind and name of each, without the cost of building them."""
    account, networks = naming.account(subject.name), subject.config.networks
    found = [("ConfigMap", naming.config_map(subject.name, subject.spec_hash))]
    found += [(kind, account) for kind in ("ServiceAccount", "Role", "RoleBinding")]
    if networks.policies:
        found.append(("NetworkPolicy", account))
    if fence.has_reports_policy(networks):
        found.append(("NetworkPolicy", fence.reports_name(subject)))
    return frozenset(found)


def config_map(subject: Subject) -> Object:
    """The resolved manifest, as JSON, which every YAML parser reads, and a copy of the user's
    pipeline.config.

    Immutable: every pod of a run sees the same bytes. A changed spec, or another pipeline.config,
    is another run, with a ConfigMap of its own.
    """
    name = naming.config_map(subject.name, subject.spec_hash)
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
            # The jobs write where the operator says that they do, and report as the run that it
            # says that they are, whatever their version would compute.
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
    """The data of a ConfigMap with these texts and, where there is one, a pipeline.config.

    It goes in as binary data if it is no text; that this is wrong, the jobs say.
    """
    if not pipeline:
        return {"data": texts}
    try:
        return {"data": {**texts, names.PIPELINE_CONFIG_KEY: pipeline.decode()}}
    except UnicodeDecodeError:
        return {"data": texts, "binaryData": {names.PIPELINE_CONFIG_KEY: base64.b64encode(pipeline).decode()}}


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


def headless_service(subject: Subject, child: str, role_name: str) -> Object:
    """Names for the pods of one training job, so that its workers find each other.

    They resolve before the pods are ready.
    """
    return stamped(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(subject, child, role_name, per_run=True),
            "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {names.LABEL_CHILD: child}},
        }
    )
