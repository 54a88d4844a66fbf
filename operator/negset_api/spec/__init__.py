"""The `NegativeDataset` resource, as frozen types.

The CRD is generated from them (`negset_api.schema`), so a description, a default or a rule is
written here and nowhere else.

The types follow the Kubernetes API conventions: camelCase, no floats (percents are integers), enums
in CamelCase. Every list and string has a bound, so that the API server can bound the cost of the
CEL rules. A rule for one field is in the field's `Meta`. A rule for several fields is CEL, with the
message that the user reads.
"""

from negset_api.spec.dataset import NAME_RULE, SPEC_RULES, Metadata, NegativeDataset, NegativeDatasetSpec, Ray
from negset_api.spec.download import Download
from negset_api.spec.fields import (
    LONGEST_LABEL,
    LONGEST_NAME,
    MAX_ITEMS,
    MAX_URL,
    ClassName,
    GpuResourceName,
    ImageUrl,
    ObjectName,
    OptionalUrl,
    Percent,
    QueueName,
    Spec,
    Url,
    rules,
)
from negset_api.spec.output import Output
from negset_api.spec.positives import CocoPositives, Positives, VocPositives, YoloPositives
from negset_api.spec.selection import Selection
from negset_api.spec.source import CocoSource, ImagesSource, OpenImagesSource, Source
from negset_api.spec.stores import StoreAccess, secret_prefix
from negset_api.spec.training import HardNegativeMining, PipelineConfig, Training

__all__ = [
    "LONGEST_LABEL",
    "LONGEST_NAME",
    "MAX_ITEMS",
    "MAX_URL",
    "NAME_RULE",
    "SPEC_RULES",
    "ClassName",
    "CocoPositives",
    "CocoSource",
    "Download",
    "GpuResourceName",
    "HardNegativeMining",
    "ImageUrl",
    "ImagesSource",
    "Metadata",
    "NegativeDataset",
    "NegativeDatasetSpec",
    "ObjectName",
    "OpenImagesSource",
    "OptionalUrl",
    "Output",
    "Percent",
    "PipelineConfig",
    "Positives",
    "QueueName",
    "Ray",
    "Selection",
    "Source",
    "Spec",
    "StoreAccess",
    "Training",
    "Url",
    "VocPositives",
    "YoloPositives",
    "rules",
    "secret_prefix",
]
