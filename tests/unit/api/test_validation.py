"""The messages for an invalid manifest: the field, the expected and the given value."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.unit.api.manifests import DATA_ONLY, OPEN_IMAGES, OWN_IMAGES, TRAINED, with_field

from negset_api import patterns, validation
from negset_api.errors import InvalidSpec


def stores(*secrets: str) -> list[dict[str, str]]:
    """Return a store for each Secret, and one without."""
    return [
        {"prefix": "s3://open", "region": "eu-1"},
        *({"prefix": f"s3://b{number}", "secretName": name} for number, name in enumerate(secrets)),
    ]


WRONG = {
    "a list is no manifest": ([], "(root): Invalid value: []: must be one NegativeDataset object"),
    "the API version is another group's": (
        with_field(DATA_ONLY, "apiVersion", "v1"),
        'apiVersion: Invalid value: "v1": must be "negset.dev/v1alpha1"',
    ),
    "the kind is missing": (with_field(DATA_ONLY, "kind", ...), 'kind: Required value: must be "NegativeDataset"'),
    "the name is missing": (with_field(DATA_ONLY, "metadata.name", ...), "metadata.name: Required value: name is required"),
    "the name has capitals": (
        with_field(DATA_ONLY, "metadata.name", "Street"),
        'metadata.name: Invalid value: "Street": must be a DNS label',
    ),
    "the name has a dot, which a RayJob's name must not have": (
        with_field(DATA_ONLY, "metadata.name", "street.v2"),
        'metadata.name: Invalid value: "street.v2": must be a DNS label',
    ),
    "the name has 64 characters": (
        with_field(DATA_ONLY, "metadata.name", "a" * 64),
        "starting and ending with a letter or digit, at most 63 characters",
    ),
    "the name ends with a line break": (
        with_field(DATA_ONLY, "metadata.name", "street\n"),
        'metadata.name: Invalid value: "street\\n": must be a DNS label',
    ),
    "YAML read the name as a number": (
        with_field(DATA_ONLY, "metadata.name", 17),
        "metadata.name: Invalid value: 17: must be a string; put it in quotes if YAML reads it as a number",
    ),
    "the namespace leaves the folder": (with_field(DATA_ONLY, "metadata.namespace", "../x"), 'metadata.namespace: Invalid value: "../x"'),
    "the namespace is longer than one can be": (
        with_field(DATA_ONLY, "metadata.namespace", "a" * 64),
        "at most 63 characters",
    ),
    "the spec is missing": (with_field(DATA_ONLY, "spec", ...), "spec: Required value"),
    "the spec is a string": (with_field(DATA_ONLY, "spec", "x"), 'spec: Invalid value: "x": must be of type object'),
    "a field is misspelt": (
        with_field(DATA_ONLY, "spec.selection.strateg", "Random"),
        "spec.selection.strateg: unknown field; spec.selection has allowClasses, allowFewer, count,",
    ),
    "a field of the spec stands beside it": (
        with_field(DATA_ONLY, "selection", {"count": 3}),
        "selection: unknown field; indent it below spec, as spec.selection",
    ),
    "a field that is none stands beside the spec": (
        with_field(DATA_ONLY, "data", {}),
        "data: unknown field; expected apiVersion, kind, metadata, spec, status",
    ),
    "the count is missing": (with_field(DATA_ONLY, "spec.selection", {}), "spec.selection.count: Required value"),
    "the count is zero": (
        with_field(DATA_ONLY, "spec.selection.count", 0),
        "spec.selection.count: Invalid value: 0: should be greater than or equal to 1",
    ),
    "the count is a fraction": (
        with_field(DATA_ONLY, "spec.selection.count", 1.5),
        "spec.selection.count: Invalid value: 1.5: must be of type int32",
    ),
    "the count is a string": (
        with_field(DATA_ONLY, "spec.selection.count", "many"),
        'spec.selection.count: Invalid value: "many": must be of type integer',
    ),
    "the count is more than an integer can be": (
        with_field(DATA_ONLY, "spec.selection.count", 2**40),
        "spec.selection.count: Invalid value: 1099511627776: should be less than or equal to 10000000",
    ),
    "the count is true": (
        with_field(DATA_ONLY, "spec.selection.count", True),
        "spec.selection.count: Invalid value: true: must be of type int32",
    ),
    "the seed is negative": (
        with_field(DATA_ONLY, "spec.selection.seed", -1),
        "spec.selection.seed: Invalid value: -1: should be greater than or equal to 0",
    ),
    "the strategy is unknown": (
        with_field(DATA_ONLY, "spec.selection.strategy", "Best"),
        'spec.selection.strategy: Unsupported value: "Best": supported values: "Random", "Stratified"',
    ),
    "no class is excluded": (
        with_field(DATA_ONLY, "spec.excludeClasses", []),
        "spec.excludeClasses: Invalid value: []: should have at least 1 item",
    ),
    "the classes are one string": (
        with_field(DATA_ONLY, "spec.excludeClasses", "person"),
        'spec.excludeClasses: Invalid value: "person": must be of type array',
    ),
    "a class is empty": (
        with_field(DATA_ONLY, "spec.excludeClasses", [""]),
        'spec.excludeClasses[0]: Invalid value: "": should have at least 1 character',
    ),
    "a class is given twice": (
        with_field(DATA_ONLY, "spec.excludeClasses", ["car", "car"]),
        'spec.excludeClasses[1]: Duplicate value: "car"',
    ),
    "every image would have the same URL": (
        with_field(DATA_ONLY, "spec.source.coco.imageUrl", "https://example.org/a.jpg"),
        'spec.source.coco.imageUrl: Invalid value: "https://example.org/a.jpg": must contain {file_name}',
    ),
    "the source is missing": (with_field(DATA_ONLY, "spec.source", ...), "spec.source: Required value"),
    "the source is empty": (
        with_field(DATA_ONLY, "spec.source", {}),
        "spec.source: Invalid value: {}: must have exactly one kind of source: coco, images or openImages",
    ),
    "the source is of a kind that this version does not have": (
        with_field(DATA_ONLY, "spec.source", {"lvis": {"annotations": "s3://x"}}),
        "spec.source.lvis: unknown field; spec.source has coco, images, openImages",
    ),
    "there is a second kind of source": (
        with_field(DATA_ONLY, "spec.source.lvis", {"annotations": "s3://x"}),
        "spec.source.lvis: unknown field; spec.source has coco, images, openImages",
    ),
    "there are two kinds of source": (
        with_field(DATA_ONLY, "spec.source.images", {"urls": ["s3://b/frames"]}),
        "must have exactly one kind of source: coco, images or openImages",
    ),
    "own images are wanted with a proof that they cannot have": (
        with_field(OWN_IMAGES, "spec.selection.minimumProof", "VerifiedAbsent"),
        "selection.minimumProof must be UserWord or absent with source.images",
    ),
    "own images are wanted with annotations": (
        with_field(OWN_IMAGES, "spec.selection.unannotated", "Exclude"),
        "selection.minimumProof must be UserWord or absent with source.images",
    ),
    "Open Images without lists, and a template that needs them": (
        with_field(DATA_ONLY, "spec.source", {"openImages": {"labels": ["s3://b/l.csv"], "classDescriptions": "s3://b/c.csv"}}),
        "imageUrl must use only {image_id} without images",
    ),
    "every image of Open Images would have the same URL": (
        with_field(OPEN_IMAGES, "spec.source.openImages.imageUrl", "s3://b/{subset}.jpg"),
        "must contain {image_id}, or be {original_url} or {thumbnail_url}",
    ),
    "the source has no images": (
        with_field(DATA_ONLY, "spec.source", {"images": {"urls": []}}),
        "spec.source.images.urls: Invalid value: []: should have at least 1 item",
    ),
    "the source has no annotations": (
        with_field(DATA_ONLY, "spec.source", {"coco": {}}),
        "spec.source.coco.annotations: Required value",
    ),
    "the output has no URL": (with_field(DATA_ONLY, "spec.output", {}), "spec.output.url: Required value"),
    "a format is unknown": (
        with_field(DATA_ONLY, "spec.output.formats", ["JPEG"]),
        'spec.output.formats[0]: Unsupported value: "JPEG": supported values: "COCO"',
    ),
    "a format is given twice": (
        with_field(DATA_ONLY, "spec.output.formats", ["YOLO", "YOLO"]),
        'spec.output.formats[1]: Duplicate value: "YOLO"',
    ),
    "a licence is given twice": (
        with_field(DATA_ONLY, "spec.selection.licenses", [4, 1, 4]),
        "spec.selection.licenses[2]: Duplicate value: 4",
    ),
    "the queue's name has capitals": (
        with_field(DATA_ONLY, "spec.queueName", "Team-A"),
        f"spec.queueName: Invalid value: \"Team-A\": should match '{patterns.SUBDOMAIN}'",
    ),
    "the queue's name is longer than a label's value": (
        with_field(DATA_ONLY, "spec.queueName", "q" * 64),
        "should have at most 63 characters",
    ),
    "the Secret's name has an underscore": (
        with_field(DATA_ONLY, "spec.output.secretName", "s3_keys"),
        f"spec.output.secretName: Invalid value: \"s3_keys\": should match '{patterns.SUBDOMAIN}'",
    ),
    "the Secret's name ends with a line break": (
        with_field(DATA_ONLY, "spec.output.secretName", "s3-keys\n"),
        'spec.output.secretName: Invalid value: "s3-keys\\n": should match',
    ),
    "the ConfigMap's name is a path": (
        with_field(TRAINED, "spec.training.pipelineConfig", {"configMap": "../x"}),
        f"spec.training.pipelineConfig.configMap: Invalid value: \"../x\": should match '{patterns.SUBDOMAIN}'",
    ),
    "the pipeline's URL is empty": (
        with_field(TRAINED, "spec.training.pipelineConfig", {"url": ""}),
        'spec.training.pipelineConfig.url: Invalid value: "": should have at least 1 character',
    ),
    "the URL is longer than one can be": (
        with_field(TRAINED, "spec.training.fineTuneCheckpoint", f"s3://{'x' * 2048}"),
        "should have at most 2048 characters",
    ),
    "the GPU's resource has no domain": (
        with_field(TRAINED, "spec.training.gpuResourceName", "gpu"),
        f"spec.training.gpuResourceName: Invalid value: \"gpu\": should match '{patterns.EXTENDED_RESOURCE}'",
    ),
    "the GPU's resource is Kubernetes' own": (
        with_field(TRAINED, "spec.training.gpuResourceName", "kubernetes.io/gpu"),
        "must be an extended resource, such as nvidia.com/gpu",
    ),
    "a percentage is over a hundred": (
        with_field(DATA_ONLY, "spec.download.maxFailedPercent", 101),
        "spec.download.maxFailedPercent: Invalid value: 101: should be less than or equal to 100",
    ),
    "a boolean is a string": (
        with_field(DATA_ONLY, "spec.suspend", "yes please"),
        'spec.suspend: Invalid value: "yes please": must be of type boolean',
    ),
    "training without positives": (with_field(TRAINED, "spec.positives", ...), "training and positives must come together"),
    "positives without training": (with_field(TRAINED, "spec.training", ...), "training and positives must come together"),
    "two kinds of positives": (
        with_field(TRAINED, "spec.positives.coco", {"annotations": "a.json"}),
        "must have exactly one of coco, voc, yolo and tfrecords",
    ),
    "no kind of positives": (with_field(TRAINED, "spec.positives", {}), "must have exactly one of coco, voc, yolo and tfrecords"),
    "a label map for COCO": (
        with_field(TRAINED, "spec.positives", {"coco": {"annotations": "a.json"}, "labelMap": "m.pbtxt"}),
        "labelMap must come only with tfrecords",
    ),
    "no model": (with_field(TRAINED, "spec.training.pipelineConfig", {}), "must have exactly one of preset, url and configMap"),
    "two models": (
        with_field(TRAINED, "spec.training.pipelineConfig.url", "s3://x/y"),
        "must have exactly one of preset, url and configMap",
    ),
    "an unknown preset": (
        with_field(TRAINED, "spec.training.pipelineConfig.preset", "yolo"),
        'spec.training.pipelineConfig.preset: Unsupported value: "yolo": supported values: "centernet-resnet50-v1-fpn-512"',
    ),
    "no steps": (with_field(TRAINED, "spec.training.steps", ...), "spec.training.steps: Required value"),
    "negatives that would carry no loss": (
        with_field(TRAINED, "spec.training.hardNegativeMining.minNegativesPerImage", 0),
        "spec.training.hardNegativeMining.minNegativesPerImage: Invalid value: 0: should be greater than or equal to 1",
    ),
    "no training at any time": (
        with_field(TRAINED, "spec.training.maxParallel", 0),
        "spec.training.maxParallel: Invalid value: 0: should be greater than or equal to 1",
    ),
    "fewer earlier revisions than none": (
        with_field(DATA_ONLY, "spec.output.revisionHistoryLimit", -1),
        "spec.output.revisionHistoryLimit: Invalid value: -1: should be greater than or equal to 0",
    ),
    "two Secrets of stores whose variables have the same names": (
        with_field(DATA_ONLY, "spec.stores", stores("partner.s3", "partner-s3")),
        "must not name two Secrets that differ only in '.' and '-', such as a.b and a-b",
    ),
    "only negatives in the batch": (
        with_field(TRAINED, "spec.training.negativePercent", 100),
        "spec.training.negativePercent: Invalid value: 100: should be less than or equal to 90",
    ),
    "nothing held out": (with_field(TRAINED, "spec.training.heldOutPercent", 0), "spec.training.heldOutPercent: Invalid value: 0"),
    "no attempt": (
        with_field(DATA_ONLY, "spec.download.attempts", 0),
        "spec.download.attempts: Invalid value: 0: should be greater than or equal to 1",
    ),
    "too many connections to a host": (
        with_field(DATA_ONLY, "spec.download.connections", 100_000),
        "spec.download.connections: Invalid value: 100000: should be less than or equal to 512",
    ),
    "a check that does not exist": (
        with_field(DATA_ONLY, "spec.download.verify", "None"),
        'spec.download.verify: Unsupported value: "None": supported values: "Decode", "Structure"',
    ),
    "VOC images that would all have the same URL": (
        with_field(TRAINED, "spec.positives", {"voc": {"annotations": "s3://a/*.xml", "imageUrl": "s3://a/b.jpg"}}),
        'spec.positives.voc.imageUrl: Invalid value: "s3://a/b.jpg": must contain {filename}',
    ),
    "a mining mode that does not exist": (
        with_field(TRAINED, "spec.training.hardNegativeMining.mode", "Hard"),
        'spec.training.hardNegativeMining.mode: Unsupported value: "Hard": supported values: "Auto", "LossFocus", "Miner", "Off"',
    ),
    "a comparison with random negatives where nothing is mined": (
        with_field(with_field(TRAINED, "spec.training.comparisons", ["RandomNegatives"]), "spec.training.hardNegativeMining.rounds", 1),
        "comparisons: RandomNegatives compares with mined negatives, so it needs hardNegativeMining.rounds of at least 2",
    ),
    "a comparison that does not exist": (
        with_field(TRAINED, "spec.training.comparisons", ["Baseline"]),
        "spec.training.comparisons[0]: ",
    ),
    "a comparison given twice": (
        with_field(TRAINED, "spec.training.comparisons", ["NoNegatives", "NoNegatives"]),
        'spec.training.comparisons[1]: Duplicate value: "NoNegatives"',
    ),
    "a confirmed negative given twice": (
        with_field(TRAINED, "spec.training.hardNegativeMining.confirmedNegatives", ["139", "139"]),
        'spec.training.hardNegativeMining.confirmedNegatives[1]: Duplicate value: "139"',
    ),
    "a licence that is a name": (
        with_field(DATA_ONLY, "spec.selection.licenses", ["CC-BY"]),
        'spec.selection.licenses[0]: Invalid value: "CC-BY": must be of type integer',
    ),
    "a round too many": (
        with_field(TRAINED, "spec.training.hardNegativeMining.rounds", 11),
        "spec.training.hardNegativeMining.rounds: Invalid value: 11: should be less than or equal to 10",
    ),
    "no worker": (with_field(DATA_ONLY, "spec.ray.workers", 0), "spec.ray.workers: Invalid value: 0: should be greater than or equal to 1"),
    "an unknown deletion policy": (
        with_field(DATA_ONLY, "spec.deletionPolicy", "Orphan"),
        'spec.deletionPolicy: Unsupported value: "Orphan"',
    ),
}


RIGHT = {
    "a name of 63 characters": with_field(DATA_ONLY, "metadata.name", "a" * 63),
    "a name that begins with a digit": with_field(DATA_ONLY, "metadata.name", "2026-street"),
    "a name of one character": with_field(DATA_ONLY, "metadata.name", "a"),
    "a queue with a dot": with_field(DATA_ONLY, "spec.queueName", "team-a.gpu"),
    "a queue of 63 characters": with_field(DATA_ONLY, "spec.queueName", "q" * 63),
    "a Secret with dots": with_field(DATA_ONLY, "spec.output.secretName", "s3.team-a.example"),
    "different Secrets of stores, one of them twice": with_field(DATA_ONLY, "spec.stores", stores("s3.a", "s3.b", "s3-c", "s3.a")),
    "a ConfigMap of one character": with_field(TRAINED, "spec.training.pipelineConfig", {"configMap": "x"}),
    "GPUs of another maker": with_field(TRAINED, "spec.training.gpuResourceName", "amd.com/gpu"),
    "a slice of a GPU": with_field(TRAINED, "spec.training.gpuResourceName", "nvidia.com/mig-1g.10gb"),
    "a shared GPU": with_field(TRAINED, "spec.training.gpuResourceName", "nvidia.com/gpu.shared"),
    "a GPU with a name as some drivers write it": with_field(TRAINED, "spec.training.gpuResourceName", "gpu.intel.com/i915_monitoring"),
    "own images": OWN_IMAGES,
    "Open Images": OPEN_IMAGES,
    "Open Images without lists": with_field(
        with_field(OPEN_IMAGES, "spec.source.openImages.images", []), "spec.source.openImages.imageUrl", "s3://m/{image_id}.jpg"
    ),
    "own images, with the only proof that they can have": with_field(OWN_IMAGES, "spec.selection.minimumProof", "UserWord"),
    "own images, with the default of the deprecated field": with_field(OWN_IMAGES, "spec.selection.unannotated", "Include"),
    "formats in an order of their own": with_field(DATA_ONLY, "spec.output.formats", ["YOLO", "COCO", "TFRecord"]),
    "no format at all is the default": with_field(DATA_ONLY, "spec.output.formats", None),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_manifest_is_taken(case: str) -> None:
    assert validation.parse(RIGHT[case]).metadata.name


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_manifest_is_refused_when(case: str) -> None:
    manifest, expected = WRONG[case]
    with pytest.raises(InvalidSpec) as caught:
        validation.parse(manifest)
    assert expected in str(caught.value)
    assert len(caught.value.problems) == 1, "one mistake is one problem"


def test_every_mistake_is_reported_at_once() -> None:
    manifest = with_field(with_field(DATA_ONLY, "spec.selection.count", 0), "spec.ray.workers", 0)
    with pytest.raises(InvalidSpec) as caught:
        validation.parse(manifest)
    assert [problem.path for problem in caught.value.problems] == ["spec.selection.count", "spec.ray.workers"]


def test_defaults_are_filled_in_as_the_api_server_does() -> None:
    dataset = validation.parse(DATA_ONLY)
    assert dataset.spec.download.max_failed_percent == 5
    assert dataset.spec.source.coco.image_url == "{coco_url}"
    assert dataset.spec.training is None


def test_the_namespace_is_default_where_the_manifest_names_none() -> None:
    assert validation.parse(with_field(DATA_ONLY, "metadata.namespace", ...)).metadata.namespace == "default"


def test_what_the_api_server_adds_is_accepted() -> None:
    manifest = with_field(DATA_ONLY, "metadata.resourceVersion", "17")
    manifest["status"] = {"stage": "Downloading"}
    assert validation.parse(manifest).metadata.name == "street-background"


def test_parsing_leaves_the_manifest_alone() -> None:
    before = repr(TRAINED)
    validation.parse(TRAINED)
    assert repr(TRAINED) == before


def test_the_resolved_manifest_is_read_back_as_the_same_data_set() -> None:
    dataset = validation.parse(TRAINED)
    assert validation.parse(json.loads(msgspec.json.encode(validation.manifest(dataset)))) == dataset
