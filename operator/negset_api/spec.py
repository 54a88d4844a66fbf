"""The `NegativeDataset` resource, as frozen types.

The CRD is generated from them (`negset_api.schema`), so a description, a default or a rule is
written here and nowhere else.

Kubernetes API conventions: camelCase, no floats (percents are integers), enums in CamelCase, a
bound on every list and string so that the API server can bound the cost of the CEL rules. A rule
that one field's type can say is in its `Meta`; a rule that spans fields is CEL, with the message
that the user reads.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from negset_api import names, patterns

MAX_URL = 2048
MAX_ITEMS = 256
LONGEST_LABEL = 63  # of a DNS label, and of the value of a label
LONGEST_NAME = 253


class Spec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of the spec's types: immutable, camelCase.

    Unknown fields are skipped: a newer CRD may have admitted them. In a manifest that a person
    wrote they are mistakes, which `validation` finds.
    """


def _rules(*rules: tuple[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


# An empty string where a value is due is a mistake that nobody wants to find at run time.
ClassName = Annotated[str, Meta(min_length=1, max_length=128)]
Url = Annotated[str, Meta(min_length=1, max_length=MAX_URL)]
Percent = Annotated[int, Meta(ge=0, le=100)]

# Release 0.1.0 admitted an empty string, and any text, in these fields. The types still accept
# them, so that stored objects are read; only the schema refuses them, in new objects
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
        extra_json_schema={"minLength": 1, "pattern": patterns.EXTENDED_RESOURCE, **_rules(_GPU_RESOURCE_RULE)},
    ),
]

_IMAGE_URL_RULE = (
    "self.contains('{') == self.contains('}') && (self == '{coco_url}' || self == '{flickr_url}' || self.contains('{file_name}'))",
    "must contain {file_name}, or be {coco_url} or {flickr_url}: each image needs a URL of its own",
)
ImageUrl = Annotated[str, Meta(min_length=1, max_length=MAX_URL, extra_json_schema=_rules(_IMAGE_URL_RULE))]


class CocoSource(Spec, frozen=True, kw_only=True):
    annotations: Annotated[
        Url,
        Meta(
            description="Annotations in COCO's instances format: any fsspec URL or, on a laptop, a path. Plain .json, .json.gz, or a member of an archive as "
            "zip://annotations/instances_train2017.json::https://example.org/annotations.zip."
        ),
    ]
    image_url: Annotated[
        ImageUrl,
        Meta(
            description="Where each image is: a template over the fields of COCO's image entry, {file_name}, {coco_url} or {flickr_url}; http, https or any fsspec URL."
        ),
    ] = "{coco_url}"


class Source(Spec, frozen=True, kw_only=True):
    """A union with one member so far.

    The schema does not require `coco`, so that a later release can add another kind. Its rule
    requires exactly one kind, so here `coco` is always set. A spec with a kind of a newer CRD is
    not understood.
    """

    coco: Annotated[CocoSource, Meta(description="Images annotated in COCO's format.")]


_SOURCE_RULES = _rules(("[has(self.coco)].filter(given, given).size() == 1", "must have exactly one kind of source: coco"))


class Selection(Spec, frozen=True, kw_only=True):
    count: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="How many negative images to take. A larger count with the same seed contains the smaller set, so growing a dataset downloads only the new ones.",
        ),
    ]
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Decides which images are drawn. The same seed draws the same images everywhere.")
    ] = 0
    strategy: Annotated[
        Literal["Stratified", "Random"],
        Meta(
            description="Stratified spreads the images evenly over the classes that remain, so that rare scenes are not drowned; Random draws every candidate with the same chance."
        ),
    ] = "Stratified"
    unannotated: Annotated[
        Literal["Include", "Exclude"],
        Meta(
            description="What to do with images that carry no annotation at all. COCO's annotators looked for every class in every image, so such an image is a good negative (Include, "
            "the default); choose Exclude where an image may simply not have been annotated yet."
        ),
    ] = "Include"
    allow_fewer: Annotated[bool, Meta(description="Take what there is where fewer candidates than `count` exist, instead of stopping.")] = (
        False
    )
    exclude_images_of: Annotated[
        tuple[Url, ...],
        Meta(
            max_length=32,
            description="Annotation files (any URL that `annotations` takes) whose images must not be used: the leakage guard against your validation set.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    licenses: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=2**31 - 1)], ...],
        Meta(
            max_length=MAX_ITEMS,
            description="Licence ids of the annotation file that you accept; empty accepts all.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    min_side: Annotated[int, Meta(ge=0, le=100_000, description="Shortest side that an image must have, in pixels.")] = 0


class Download(Spec, frozen=True, kw_only=True):
    verify: Annotated[
        Literal["Structure", "Decode"],
        Meta(
            description="How each image is checked before it counts: Structure reads markers, dimensions and length; Decode decodes every pixel, at several times the cost."
        ),
    ] = "Structure"
    max_failed_percent: Annotated[
        Percent,
        Meta(description="Percentage of the planned images that may fail before the dataset is refused instead of shipped incomplete."),
    ] = 5
    attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=20,
            description="How often an image is asked for before a passing fault (timeout, 429, 5xx, broken connection) becomes its outcome.",
        ),
    ] = 5
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="Seconds that one request may take, from connecting to the last byte.")
    ] = 30
    connections: Annotated[int, Meta(ge=1, le=512, description="Images that one worker fetches at the same time.")] = 32
    connections_per_host: Annotated[
        int, Meta(ge=1, le=512, description="Connections that one worker opens to one host at the same time.")
    ] = 32
    max_image_mebibytes: Annotated[int, Meta(ge=1, le=1024, description="Largest encoded image accepted, in MiB.")] = 32
    max_image_megapixels: Annotated[int, Meta(ge=1, le=1000, description="Largest image accepted, in millions of pixels.")] = 100
    contact: Annotated[
        str,
        Meta(
            max_length=256,
            description="A URL or e-mail address for the User-Agent header, so that whoever serves the images can reach you.",
        ),
    ] = ""
    robots_tag: Annotated[
        Literal["Honour", "Ignore"],
        Meta(description="Whether an image whose answer says `X-Robots-Tag: noai`, `noimageai`, `noindex` or `noimageindex` is left out."),
    ] = "Honour"


class Output(Spec, frozen=True, kw_only=True):
    url: Annotated[
        Url,
        Meta(
            description="Where the dataset goes: any fsspec URL or, on a laptop, a path. Files lie under <url>/<namespace>/<name>/<revision>/, so that a changed spec never overwrites earlier data."
        ),
    ]
    formats: Annotated[
        tuple[Literal["TFRecord", "YOLO", "COCO", "VOC"], ...],
        Meta(
            min_length=1,
            max_length=4,
            description="What to write. TFRecord is always written, since the other formats are made from it; YOLO, COCO and VOC are each a dataset of its own with images and labels, under labels/.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ("TFRecord",)
    secret_name: Annotated[
        ObjectName | None,
        Meta(
            description="A Secret in the same namespace whose keys become environment variables of the jobs (AWS_ACCESS_KEY_ID and so on)."
        ),
    ] = None
    revision_history_limit: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(
            description="How many earlier revisions of this object to keep beside the present one. When a revision is done, its last job deletes older ones with all their files. "
            "A revision that another object made as well is never deleted. 0 keeps only the present one. If absent, every revision is kept."
        ),
    ] = None


class CocoPositives(Spec, frozen=True, kw_only=True):
    annotations: Annotated[Url, Meta(description="Annotations in COCO's instances format; any URL that `source.coco.annotations` takes.")]
    image_url: Annotated[ImageUrl, Meta(description="Where each image is, as in `source.coco.imageUrl`.")] = "{coco_url}"


class VocPositives(Spec, frozen=True, kw_only=True):
    annotations: Annotated[
        Url, Meta(description="The Pascal VOC .xml files: a URL or path with a glob, such as s3://team-a/voc/Annotations/*.xml.")
    ]
    image_url: Annotated[
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_URL,
                extra_json_schema=_rules(("self.contains('{filename}')", "must contain {filename}: each image needs a URL of its own")),
            ),
        ],
        Meta(description="Where each image is: a template over the file's <filename>, such as s3://team-a/voc/JPEGImages/{filename}."),
    ]


class Positives(Spec, frozen=True, kw_only=True):
    coco: Annotated[CocoPositives | None, Meta(description="Images with objects, annotated in COCO's format; converted to TFRecords.")] = (
        None
    )
    voc: Annotated[
        VocPositives | None, Meta(description="Images with objects, annotated in Pascal VOC's format; converted to TFRecords.")
    ] = None
    tfrecords: Annotated[
        tuple[Url, ...],
        Meta(
            max_length=MAX_ITEMS,
            description="TFRecords with the Object Detection API's keys; URLs with globs. They are checked and copied into the revision.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    label_map: Annotated[
        OptionalUrl | None,
        Meta(
            description="The label map (.pbtxt) that goes with `tfrecords`. Absent, it is read from the records' own class names (image/object/class/text)."
        ),
    ] = None
    classes: Annotated[
        tuple[ClassName, ...],
        Meta(
            max_length=MAX_ITEMS,
            description="The classes to train, in label-map order; empty means those of `excludeClasses` that the positives show.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    held_out_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)],
        Meta(description="Percentage of the positives that is never trained on and measures recall and average precision."),
    ] = 20


_POSITIVES_RULES = _rules(
    (
        "[has(self.coco), has(self.voc), has(self.tfrecords) && self.tfrecords.size() > 0].filter(given, given).size() == 1",
        "must have exactly one of coco, voc and tfrecords",
    ),
    (
        "!has(self.labelMap) || (has(self.tfrecords) && self.tfrecords.size() > 0)",
        "labelMap must come only with tfrecords: for coco and voc it is made from classes",
    ),
)


class PipelineConfig(Spec, frozen=True, kw_only=True):
    preset: Annotated[
        Literal[
            "ssd-mobilenet-v2-320",
            "ssd-mobilenet-v2-fpnlite-320",
            "ssd-mobilenet-v2-tiny-96",
            "ssd-resnet50-fpn-640",
            "faster-rcnn-resnet50-640",
            "efficientdet-d0-512",
            "centernet-resnet50-v1-fpn-512",
        ]
        | None,
        Meta(description="A configuration that comes with negset."),
    ] = None
    url: Annotated[
        OptionalUrl | None,
        Meta(
            description="Your own pipeline.config: any fsspec URL or, on a laptop, a path. Changed content needs a new name: what is done with the old one stays."
        ),
    ] = None
    config_map: Annotated[
        ObjectName | None,
        Meta(
            description="A ConfigMap in the same namespace whose key pipeline.config holds your own configuration, at most 256 KiB. If its content changes, "
            "the dataset gets another revision, as after a change of the spec."
        ),
    ] = None


_PIPELINE_RULES = _rules(
    (
        "[has(self.preset), has(self.url), has(self.configMap)].filter(given, given).size() == 1",
        "must have exactly one of preset, url and configMap",
    )
)


class HardNegativeMining(Spec, frozen=True, kw_only=True):
    mode: Annotated[
        Literal["Auto", "Miner", "LossFocus", "Off"],
        Meta(
            description="How the loss dwells on the negatives that fool the model. Auto picks what works for the model: the Object Detection API's hard example miner for SSD with softmax or sigmoid "
            "loss, the loss's own focus for focal models and Faster R-CNN's sampler. Off leaves the configuration's loss as it is."
        ),
    ] = "Auto"
    negatives_per_positive: Annotated[
        int, Meta(ge=1, le=1000, description="Negative anchors that the miner keeps per matched anchor (max_negatives_per_positive).")
    ] = 3
    min_negatives_per_image: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="Negative anchors that the miner keeps at least in each image (min_negatives_per_image). With 0 an image without objects would carry no loss at all.",
        ),
    ] = 8
    rounds: Annotated[
        int,
        Meta(
            ge=1,
            le=10,
            description="Training rounds. After each round but the last, the negatives in the pool are scored with the model of the round. The hardest are added to what the next round trains on.",
        ),
    ] = 2
    first_round_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Percentage of the training negatives that round 1 trains on, drawn by `selection.seed`. The rest is the pool: negatives that the model has not seen, where mining looks for "
            "hard ones. 100 leaves no pool; mining then looks at the negatives trained on. With one round all of them are trained on."
        ),
    ] = 50
    hard_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="Percentage of the pool that one mining adds, at most: the negatives with the highest scores. They stay in all later rounds."
        ),
    ] = 20
    review_above_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="A negative that the model was trained on and that still scores at least this (in percent) may well show the object: it is listed for review and not trained on again. "
            "100 suspend_changes the review off."
        ),
    ] = 90
    confirmed_negatives: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=256)], ...],
        Meta(
            max_length=4096,
            description="Ids of images that a person has looked at after a review and found to be true negatives, as report.json lists them under `review`. They are trained on and never listed again.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    gpus_per_worker: Annotated[
        int, Meta(ge=0, le=64, description="GPUs (`training.gpuResourceName`) of each pod that scores negatives; 0 scores on the CPU.")
    ] = 0


class Training(Spec, frozen=True, kw_only=True):
    pipeline_config: Annotated[
        PipelineConfig, Meta(description="The model: exactly one of preset, url and configMap.", extra_json_schema=_PIPELINE_RULES)
    ]
    steps: Annotated[
        int,
        Meta(ge=1, le=10_000_000, description="Training steps of each round. One learning rate schedule spans the steps of all rounds."),
    ]
    batch_size: Annotated[
        Annotated[int, Meta(ge=1, le=4096)] | None,
        Meta(
            description="Images per step, over all workers. If absent, the configuration's. The learning rate is scaled with it: linearly, "
            "or by the square root for Adam and RMSProp."
        ),
    ] = None
    seed: Annotated[int, Meta(ge=0, le=2**31 - 1, description="Seeds the weights and the shuffling.")] = 0
    negative_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)], Meta(description="Percentage of each batch, on average, that is negative images.")
    ] = 10
    hard_negative_mining: Annotated[
        HardNegativeMining, Meta(description="How the model is made to dwell on the negatives that fool it.")
    ] = field(default_factory=HardNegativeMining)
    comparisons: Annotated[
        tuple[Literal["NoNegatives", "RandomNegatives"], ...],
        Meta(
            max_length=2,
            description="Further models to train with the same total steps, schedule and seed, for the report to compare with: NoNegatives without any negative, RandomNegatives with as many "
            "negatives as were mined, drawn from the pool at random.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    held_out_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)],
        Meta(description="Percentage of the negatives that is never trained on and measures false positives."),
    ] = 20
    recall_percent: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        Meta(
            description="The recall on held-out positives, in percent, at which false positives are counted, so that models are compared at the same sensitivity."
        ),
    ] = 80
    checkpoint_every_steps: Annotated[
        int, Meta(ge=1, le=10_000_000, description="Steps between two checkpoints; what a lost pod loses at most.")
    ] = 1000
    fine_tune_checkpoint: Annotated[
        OptionalUrl | None,
        Meta(
            description="A checkpoint to start from: the URL of its prefix (…/checkpoint/ckpt-0), of its folder, of its .index file, or of a .tar.gz archive as the model zoo has them. "
            "What kind of checkpoint it is, is read from the checkpoint. With another number of classes the heads of the model start anew."
        ),
    ] = None
    gpus_per_worker: Annotated[
        int, Meta(ge=0, le=64, description="GPUs (`gpuResourceName`) of each training pod; 0 trains on the CPU.")
    ] = 0
    gpu_resource_name: Annotated[
        GpuResourceName,
        Meta(
            description="The Kubernetes resource that pods for training and mining request as GPUs: an extended resource such as nvidia.com/gpu, amd.com/gpu or "
            "nvidia.com/mig-1g.10gb. The trainer image must support it."
        ),
    ] = "nvidia.com/gpu"
    mixed_precision: Annotated[
        bool,
        Meta(
            description="Compute in 16 bits and keep the weights in 32: float16 with loss scaling on GPUs (compute capability 7.0 or more), "
            "bfloat16 on CPUs. Faster and smaller on such GPUs."
        ),
    ] = False
    workers: Annotated[int, Meta(ge=1, le=64, description="Training pods. More than one train together (MultiWorkerMirroredStrategy).")] = 1
    max_parallel: Annotated[
        int,
        Meta(
            ge=1,
            le=8,
            description="Maximum number of trainings and minings of this dataset that run at the same time. Each training takes workers x gpusPerWorker GPUs. "
            "A value above 1 has an effect only with `comparisons`: the rounds of one model never run at the same time.",
        ),
    ] = 1


_TRAINING_RULES = _rules(
    (
        "!self.comparisons.exists(c, c == 'RandomNegatives') || self.hardNegativeMining.rounds > 1",
        "comparisons: RandomNegatives compares with mined negatives, so it needs hardNegativeMining.rounds of at least 2",
    ),
)


class Ray(Spec, frozen=True, kw_only=True):
    workers: Annotated[int, Meta(ge=1, le=1000, description="Ray workers that download at the same time; on a laptop, processes.")] = 2


class NegativeDatasetSpec(Spec, frozen=True, kw_only=True):
    source: Annotated[Source, Meta(description="The annotated images to choose from.", extra_json_schema={"required": [], **_SOURCE_RULES})]
    exclude_classes: Annotated[
        tuple[ClassName, ...],
        Meta(
            min_length=1,
            max_length=MAX_ITEMS,
            description="The classes (or supercategories) that you train. An image with any annotation of any of them, crowd regions included, is not a negative.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    selection: Annotated[Selection, Meta(description="How many negatives, and which.")]
    download: Annotated[Download, Meta(description="How the images are fetched and checked.")] = field(default_factory=Download)
    output: Annotated[Output, Meta(description="Where the dataset goes, and in which formats.")]
    positives: Annotated[
        Positives | None,
        Meta(description="Images with objects to train on: exactly one of coco, voc and tfrecords.", extra_json_schema=_POSITIVES_RULES),
    ] = None
    training: Annotated[
        Training | None,
        Meta(
            description="Train a detector with the negatives and measure what they are worth. Absent, the dataset itself is the product.",
            extra_json_schema=_TRAINING_RULES,
        ),
    ] = None
    ray: Annotated[Ray, Meta(description="How much runs at the same time.")] = field(default_factory=Ray)
    queue_name: Annotated[QueueName | None, Meta(description="The Kueue LocalQueue that admits every job of this dataset.")] = None
    suspend: Annotated[bool, Meta(description="Stop everything at a safe point; false goes on without losing work.")] = False
    deletion_policy: Annotated[
        Literal["Retain", "Delete"], Meta(description="Whether the data in the output stays when this object is deleted.")
    ] = "Retain"


SPEC_RULES = _rules(
    (
        "has(self.training) == has(self.positives)",
        "training and positives must come together: a detector is not trained on negatives alone, and positives are for training",
    ),
)


NAME_RULE = (
    f"self.metadata.name.size() <= {LONGEST_LABEL} && self.metadata.name.matches('{patterns.LABEL}')",
    f"must be a DNS label: lower case letters, digits and '-', starting and ending with a letter or digit, at most {LONGEST_LABEL} characters",
)
"""For new objects only: a name cannot be changed, and 0.1.0 admitted longer ones."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The part of Kubernetes' object metadata that negset reads; the rest belongs to the API
    server.
    """

    name: Annotated[str, Meta(max_length=LONGEST_NAME, pattern=patterns.LABEL)]
    namespace: Annotated[str, Meta(max_length=LONGEST_LABEL, pattern=patterns.LABEL)] = names.DEFAULT_NAMESPACE
    uid: str = ""


class NegativeDataset(msgspec.Struct, frozen=True, kw_only=True):
    """One NegativeDataset as a user writes it."""

    metadata: Metadata
    spec: NegativeDatasetSpec
