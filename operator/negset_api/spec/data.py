"""The parts of the spec that decide the data."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from negset_api.spec.fields import MAX_ITEMS, MAX_URL, ClassName, ImageUrl, ObjectName, OptionalUrl, Percent, Spec, Url, rules


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


_SOURCE_RULES = rules(("[has(self.coco)].filter(given, given).size() == 1", "must have exactly one kind of source: coco"))


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
                extra_json_schema=rules(("self.contains('{filename}')", "must contain {filename}: each image needs a URL of its own")),
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


_POSITIVES_RULES = rules(
    (
        "[has(self.coco), has(self.voc), has(self.tfrecords) && self.tfrecords.size() > 0].filter(given, given).size() == 1",
        "must have exactly one of coco, voc and tfrecords",
    ),
    (
        "!has(self.labelMap) || (has(self.tfrecords) && self.tfrecords.size() > 0)",
        "labelMap must come only with tfrecords: for coco and voc it is made from classes",
    ),
)
