"""Types → the CustomResourceDefinition.

A CRD's schema is "structural": it has no `$ref`, no `anyOf` with null and no titles. This module
converts the JSON Schema that msgspec derives from the types
(https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).
"""

from __future__ import annotations

import copy
import functools
from typing import Any

import msgspec

from negset_api import names
from negset_api.spec import LONGEST_LABEL, LONGEST_NAME, NAME_RULE, SPEC_RULES, NegativeDatasetSpec
from negset_api.status import Status

Schema = dict[str, Any]

_NAME: Schema = {"type": "string", "maxLength": LONGEST_NAME, "description": f"A DNS label of at most {LONGEST_LABEL} characters."}

_INT32 = range(-(2**31), 2**31)

_COLUMNS = (
    (
        "Ready",
        "string",
        '.status.conditions[?(@.type=="Ready")].status',
        "Whether every step is done and the report is written.",
    ),
    ("Stage", "string", ".status.stage", "What is being done now."),
    ("Progress", "integer", ".status.progress.percent", "Percentage of the current stage that is done."),
    ("Images", "integer", ".status.images.stored", "Number of stored images."),
    ("Failed", "integer", ".status.images.failed", "Number of images that could not be stored."),
    ("FP/Image", "string", ".status.falsePositivesPerImage", "False positives per held-out negative after the last completed round."),
    ("Age", "date", ".metadata.creationTimestamp", ""),
)
_WIDE_COLUMNS = (
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', "Reason of the condition Ready."),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', "Message of the condition Ready."),
    ("URL", "string", ".status.url", "URL of the data."),
)


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return `node` with references inlined and without `anyOf` for optional fields."""
    node = dict(node)
    if reference := node.pop("$ref", None):
        node = {**copy.deepcopy(definitions[reference.removeprefix("#/$defs/")]), **node}
    if alternatives := node.pop("anyOf", None):
        (present,) = (choice for choice in alternatives if choice != {"type": "null"})
        node = {**_structural(present, definitions), **node}
    node.pop("title", None)
    node.pop("additionalProperties", None)
    # msgspec gives an optional field the default null, which a structural schema leaves out.
    if node.get("default", ...) is None:
        del node["default"]
    if "enum" in node:
        node.setdefault("type", "string")
    if node.get("type") == "integer":
        node["format"] = _integer_format(node)
    if "properties" in node:
        required = set(node.get("required", ()))
        node["properties"] = {
            name: _defaulted(_structural(child, definitions), name in required) for name, child in node["properties"].items()
        }
        if not node.get("required"):
            node.pop("required", None)
    if "items" in node:
        node["items"] = _structural(node["items"], definitions)
    return node


def _integer_format(node: Schema) -> str:
    """Return the format that holds every value within the bounds, so that it refuses no other."""
    bounded = "minimum" in node and "maximum" in node
    return "int32" if bounded and node["minimum"] >= _INT32.start and node["maximum"] < _INT32.stop else "int64"


def _defaulted(child: Schema, required: bool) -> Schema:
    """Return the schema of a field, with the default `{}` if all fields inside have defaults.

    So the API server fills them in, and `kubectl get -o yaml` shows them.
    """
    optional_group = not required and child.get("type") == "object" and "required" not in child and "x-kubernetes-validations" not in child
    if optional_group and any("default" in grandchild for grandchild in child["properties"].values()):
        return {**child, "default": {}}
    return child


def _of(kind: type) -> Schema:
    (root,), definitions = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema_components([kind])))
    return _structural(root, definitions)


def _without_defaults(node: Schema) -> Schema:
    """Return the schema without defaults: an unknown counter of a status is absent, not 0."""
    bare = {key: value for key, value in node.items() if key != "default"}
    if "properties" in bare:
        bare["properties"] = {name: _without_defaults(child) for name, child in bare["properties"].items()}
    if "items" in bare:
        bare["items"] = _without_defaults(bare["items"])
    return bare


@functools.cache
def resource_schema() -> Schema:
    """Return the openAPIV3Schema of the whole object. Do not change the result: it is shared."""
    spec = {**_of(NegativeDatasetSpec), "description": "The desired state.", **SPEC_RULES}
    status = {**_without_defaults(_of(Status)), "description": "The observed state."}
    return {
        "type": "object",
        "description": "A set of images that provably show none of the given classes and, with `training`, a detector that is trained with them.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this schema."},
            "kind": {"type": "string", "description": f"Always {names.KIND}."},
            # A CRD may restrict only name and generateName of the metadata.
            "metadata": {"type": "object", "properties": {"name": _NAME}},
            "spec": spec,
            "status": status,
        },
        **_name_rule(),
    }


def _name_rule() -> Schema:
    """Return the rule for the name. The API server applies it only when an object is created."""
    rule, message = NAME_RULE
    for_new = {"rule": f"oldSelf.hasValue() || ({rule})", "optionalOldSelf": True}
    return {"x-kubernetes-validations": [{**for_new, "message": message, "fieldPath": ".metadata.name"}]}


def custom_resource_definition() -> Schema:
    """Return the CRD as one Kubernetes object.

    `charts/negset/files/crd.yaml` has it as YAML. A test fails if that file is stale.
    """
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": names.CRD_NAME},
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": f"{names.KIND}List",
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": list(names.SHORT_NAMES),
                "categories": list(names.CATEGORIES),
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        *(
                            {"name": name, "type": kind, "jsonPath": path, **({"description": text} if text else {})}
                            for name, kind, path, text in _COLUMNS
                        ),
                        *(
                            {"name": name, "type": kind, "jsonPath": path, "description": text, "priority": 1}
                            for name, kind, path, text in _WIDE_COLUMNS
                        ),
                    ],
                    "schema": {"openAPIV3Schema": copy.deepcopy(resource_schema())},
                }
            ],
        },
    }
