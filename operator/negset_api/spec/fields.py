"""The types of fields, and how a rule is written."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from negset_api import patterns

MAX_URL = 2048
MAX_ITEMS = 256
LONGEST_LABEL = 63  # of a DNS label, and of the value of a label
LONGEST_NAME = 253


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the spec's types: immutable, camelCase.

    Unknown fields are skipped: a newer CRD may have admitted them. In a manifest that a person
    wrote, they are mistakes, which `validation` finds.
    """


def rules(*rules: tuple[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


# An empty string where a value is required must be found before run time.
ClassName = Annotated[str, Meta(min_length=1, max_length=128)]
Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
Percent = Annotated[int, Meta(ge=0, le=100)]

# Release 0.1.0 admitted an empty string, and any text, in these fields. The types still accept
# them, so that stored objects can be read. Only the schema refuses them, in new objects
# (`validation.parse_admitted`).
OptionalUrl = Annotated[str, Meta(max_length=MAX_URL, extra_json_schema={"minLength": 1})]
ObjectName = Annotated[str, Meta(max_length=LONGEST_NAME, extra_json_schema={"minLength": 1, "pattern": patterns.SUBDOMAIN})]
QueueName = Annotated[str, Meta(max_length=LONGEST_LABEL, extra_json_schema={"minLength": 1, "pattern": patterns.SUBDOMAIN})]

_GPU_RESOURCE_RULE = (
    "!self.contains('kubernetes.io/') && !self.startsWith('requests.')",
    "must be an extended resource, such as nvidia.com/gpu: kubernetes.io and requests. are reserved by Kubernetes",
)
# In a ResourceQuota it is called requests.NAME, and the domain of that may have 253 characters.
GpuResourceName = Annotated[
    str,
    Meta(
        max_length=LONGEST_NAME - len("requests."),
        extra_json_schema={"minLength": 1, "pattern": patterns.EXTENDED_RESOURCE, **rules(_GPU_RESOURCE_RULE)},
    ),
]

_IMAGE_URL_RULE = (
    "self.contains('{') == self.contains('}') && (self == '{coco_url}' || self == '{flickr_url}' || ['{file_name}', '{base_name}'].exists(name, self.contains(name)))",
    "must contain {file_name} or {base_name}, or be {coco_url} or {flickr_url}: each image needs a URL of its own",
)
ImageUrl = Annotated[str, Meta(min_length=1, max_length=MAX_URL, extra_json_schema=rules(_IMAGE_URL_RULE))]
