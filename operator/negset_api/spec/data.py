"""The parts of the spec that decide the data."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from negset_api.spec.fields import MAX_ITEMS, MAX_URL, ClassName, ImageUrl, ObjectName, OptionalUrl, Percent, Spec, Url, rules


class CocoSource(Spec, frozen=True, kw_only=True):
    annotations: Annotated[
        Url,
        Meta(
            description="URL of the annotations in COCO's instances format: any fsspec URL or, on a laptop, a path. "
            "Takes .json, .json.gz, or a member of an archive, such as zip://annotations/instances_train2017.json::https://example.org/annotations.zip."
        ),
    ]
    image_url: Annotated[
        ImageUrl,
        Meta(
            description="URL of each image: http, https or any fsspec URL. "
            "It is a template: {file_name}, {coco_url} and {flickr_url} are replaced by the fields of COCO's image entry. "
            "{base_name} is replaced by the last part of file_name, which in some exports is a path of another machine."
        ),
    ] = "{coco_url}"


class ImagesSource(Spec, frozen=True, kw_only=True):
    urls: Annotated[
        tuple[Url, ...],
        Meta(
            min_length=1,
            max_length=32,
            description="Where the images are. Each entry is one of: a folder, with all folders below it; a glob, such as s3://team-a/camera-7/*.jpg; "
            "one image; a text file (.txt, .lst or .list) with one URL a line; or a file (.csv or .parquet) with a column url and, if you like, "
            "file_name, id, license, width and height. Text may be compressed (.gz). A relative path in a list is relative to the list's folder.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ]


_OPEN_IMAGES_URL_RULE = (
    "self.contains('{') == self.contains('}') && (self == '{original_url}' || self == '{thumbnail_url}' || self.contains('{image_id}'))",
    "must contain {image_id}, or be {original_url} or {thumbnail_url}: each image needs a URL of its own",
)


class OpenImagesSource(Spec, frozen=True, kw_only=True):
    labels: Annotated[
        tuple[Url, ...],
        Meta(
            min_length=1,
            max_length=16,
            description="URLs, with globs, of CSV files with human-verified image-level labels and the columns ImageID, Source, LabelName and Confidence, "
            "such as oidv7-train-annotations-human-imagelabels.csv. Confidence 0 means that a person verified that the class is absent. "
            "Rows with the source machine are skipped. Takes .csv and .csv.gz.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ]
    class_descriptions: Annotated[
        Url,
        Meta(
            description="URL of the CSV file with the names of the classes: LabelName and DisplayName, with or without these headers, "
            "such as oidv7-class-descriptions.csv. `excludeClasses` takes a DisplayName (Car) or a LabelName (/m/0k4j)."
        ),
    ]
    images: Annotated[
        tuple[Url, ...],
        Meta(
            max_length=16,
            description="URLs, with globs, of CSV files that list images, with the columns ImageID, Subset, OriginalURL, OriginalLandingURL, License "
            "and Thumbnail300KURL, such as train-images-boxable-with-rotation.csv. Only listed images are candidates. "
            "If empty, all images with labels are, and nothing is known of their licences.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    image_url: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_URL, extra_json_schema=rules(_OPEN_IMAGES_URL_RULE))],
        Meta(
            description="URL of each image: http, https or any fsspec URL. It is a template: {image_id}, {subset}, {original_url} and {thumbnail_url} "
            "are replaced by the columns of `images`. {image_id} is known without `images`, such as in s3://team-a/open-images/train/{image_id}.jpg."
        ),
    ] = "{original_url}"


_OPEN_IMAGES_RULES = rules(
    (
        "(has(self.images) && self.images.size() > 0) || !['{subset}', '_url}'].exists(text, self.imageUrl.contains(text))",
        "imageUrl must use only {image_id} without images: the other placeholders are columns of the files in images",
    )
)


class Source(Spec, frozen=True, kw_only=True):
    """A union: exactly one member is set.

    The schema requires no member, so that a later release can add another kind, but it has a rule
    for their number. A source of a kind of a newer CRD has no member here, and is not understood.
    """

    coco: Annotated[
        CocoSource | None,
        Meta(
            description="Images annotated in COCO's format. A file in the format of LVIS is recognised by neg_category_ids, not_exhaustive_category_ids "
            "and pos_category_ids in its images: there, an image is a negative only if neg_category_ids lists every excluded class."
        ),
    ] = None
    images: Annotated[
        ImagesSource | None,
        Meta(
            description="Your own images, without annotations. By naming them here you state that none of them shows an excluded class. "
            "That statement is their proof (UserWord). `excludeClasses` names the classes."
        ),
    ] = None
    open_images: Annotated[
        OpenImagesSource | None,
        Meta(
            description="Open Images with its human-verified image-level labels. An image is a negative only if a person verified that every excluded class is absent. "
            "The hierarchy of the classes is not used. An image that shows a class which may be an excluded one, such as Man for Person, is left out, too.",
            extra_json_schema=_OPEN_IMAGES_RULES,
        ),
    ] = None

    def __post_init__(self) -> None:
        # The operator converts admitted objects without the rules of the schema.
        if [self.coco, self.images, self.open_images].count(None) != len(self.__struct_fields__) - 1:
            raise ValueError("expected exactly one kind of source that this version knows")


_SOURCE_RULES = rules(
    (
        "[has(self.coco), has(self.images), has(self.openImages)].filter(given, given).size() == 1",
        "must have exactly one kind of source: coco, images or openImages",
    )
)


class Selection(Spec, frozen=True, kw_only=True):
    count: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000_000,
            description="Number of negative images. "
            "A larger count with the same seed contains the smaller set, so that only the new images are downloaded.",
        ),
    ]
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="Decides which images are drawn. The same seed draws the same images everywhere.")
    ] = 0
    strategy: Annotated[
        Literal["Stratified", "Random"],
        Meta(
            description="How images are drawn. Stratified spreads them evenly over the classes that remain, so that rare classes are represented. "
            "Random gives every candidate the same chance."
        ),
    ] = "Stratified"
    unannotated: Annotated[
        Literal["Include", "Exclude"],
        Meta(
            description="Deprecated: use `minimumProof`. Exclude is the same as `minimumProof: ExhaustivelyAnnotated`. "
            "Include leaves the decision to `minimumProof`."
        ),
    ] = "Include"
    minimum_proof: Annotated[
        Literal["UserWord", "Unannotated", "ExhaustivelyAnnotated", "VerifiedAbsent"] | None,
        Meta(
            description="The weakest accepted proof that an image shows none of the excluded classes. From the weakest to the strongest: "
            "UserWord: nobody annotated the images, and you state that they show none. "
            "Unannotated: the image has no annotation, in a file that annotates other images. "
            "Choose a stronger proof if such an image may not have been annotated yet. "
            "ExhaustivelyAnnotated: the image has annotations, and none of an excluded class. "
            "VerifiedAbsent: a person looked for each excluded class in the image and did not find it (LVIS, Open Images). "
            "If absent, the value is UserWord for `source.images`, and else Unannotated. "
            "A file without a single annotation is accepted only with UserWord."
        ),
    ] = None
    allow_fewer: Annotated[bool, Meta(description="If fewer candidates than `count` exist, take all of them instead of failing.")] = False
    allow_classes: Annotated[
        tuple[ClassName, ...],
        Meta(
            max_length=MAX_ITEMS,
            description="Classes that negatives may show, spelled exactly as in the annotations. "
            "Needed for a class whose name is like that of an excluded class, or that is below an excluded supercategory.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    exclude_images_of: Annotated[
        tuple[Url, ...],
        Meta(
            max_length=32,
            description="Annotation files whose images are never selected, such as those of your validation set. "
            "Images are the same if their names or URLs are, or if they have one id and no name contradicts it. "
            "Takes any URL that `source.coco.annotations` takes.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    licenses: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=2**53 - 1)], ...],
        Meta(
            max_length=MAX_ITEMS,
            description="Licence ids of the annotation file that are accepted. If empty, every licence is accepted.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ()
    min_side: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="Minimum length of the shorter side of an image, in pixels. Above 0, images of unknown size are left out.",
        ),
    ] = 0


class Download(Spec, frozen=True, kw_only=True):
    verify: Annotated[
        Literal["Structure", "Decode"],
        Meta(
            description="How each image is checked before it is stored. Both refuse what TensorFlow cannot decode. "
            "Structure reads the markers and tables of a JPEG up to its end, and decompresses the rows of a PNG. "
            "Decode also decodes each JPEG, and costs several times as much. "
            "Neither sees damage that only changes pixels, such as a grey lower half of a JPEG."
        ),
    ] = "Structure"
    max_failed_percent: Annotated[
        Percent,
        Meta(
            description="Maximum percentage of the planned images that may fail. "
            "With more failures the step fails, instead of storing an incomplete dataset. Negatives and positives are counted apart. "
            "The same limit holds for boxes of positives that cannot be used. "
            "The same limit holds for records that a training cannot read."
        ),
    ] = 5
    attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=20,
            description="Maximum attempts per image. "
            "Transient errors (timeout, 429, 5xx, connection error, truncated image) are retried with growing pauses. "
            "An attempt counts if the host has answered another request since the previous one. "
            "No attempt begins later than `attempts` times `timeoutSeconds`, plus `maxOutageSeconds`, after the first.",
        ),
    ] = 5
    max_outage_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=3600,
            description="Maximum time that a worker waits for a host that does not answer, in seconds. "
            "Images of other hosts are downloaded meanwhile. When it is over, the images of the host fail, and the next run requests them again. "
            "A host that has never answered is waited for at most 30 seconds. With 0, every attempt counts.",
        ),
    ] = 120
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="Maximum duration of one request in seconds, from connecting to the last byte.")
    ] = 30
    connections: Annotated[int, Meta(ge=1, le=512, description="Maximum number of images that one worker downloads at the same time.")] = 32
    connections_per_host: Annotated[
        int, Meta(ge=1, le=512, description="Maximum number of connections that one worker has to one host at the same time.")
    ] = 32
    max_image_mebibytes: Annotated[int, Meta(ge=1, le=1024, description="Maximum size of an encoded image, in MiB.")] = 32
    max_image_megapixels: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Maximum size of an image, in millions of pixels. Checking an image takes at most 8 bytes of memory for each of them. "
            "WebP, AVIF and progressive CMYK JPEG need more for a pixel, so 1/2, 2/3 and 4/7 of this size is their maximum. "
            "TensorFlow decodes at most 178.",
        ),
    ] = 100
    contact: Annotated[
        str,
        Meta(
            max_length=256,
            description="A URL or e-mail address for the User-Agent header, so that the owners of the image servers can contact you.",
        ),
    ] = ""
    robots_tag: Annotated[
        Literal["Honour", "Ignore"],
        Meta(
            description="Honour leaves out an image if the X-Robots-Tag header of the answer has noai, noimageai, noindex, noimageindex or none. "
            "Ignore stores it."
        ),
    ] = "Honour"


class Output(Spec, frozen=True, kw_only=True):
    url: Annotated[
        Url,
        Meta(
            description="Folder of the dataset: any fsspec URL or, on a laptop, a path. "
            "Files are stored under <url>/<namespace>/<name>/<revision>/, so that a changed spec never overwrites earlier data."
        ),
    ]
    formats: Annotated[
        tuple[Literal["TFRecord", "YOLO", "COCO", "VOC"], ...],
        Meta(
            min_length=1,
            max_length=4,
            description="Formats to write. TFRecord is always written, because the other formats are converted from it. "
            "Each of the other formats is a dataset of its own, with images and labels, under labels/.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ("TFRecord",)
    secret_name: Annotated[
        ObjectName | None,
        Meta(
            description="Name of a Secret in the same namespace. Its keys become environment variables of the jobs, such as AWS_ACCESS_KEY_ID."
        ),
    ] = None
    revision_history_limit: Annotated[
        Annotated[int, Meta(ge=0, le=1000)] | None,
        Meta(
            description="Number of earlier revisions of this object to keep besides the current one. "
            "When a revision is done, its last job deletes older ones with all their files. "
            "A revision that another object created as well is never deleted. 0 keeps only the current one. "
            "If absent, every revision is kept."
        ),
    ] = None


class CocoPositives(Spec, frozen=True, kw_only=True):
    annotations: Annotated[
        Url, Meta(description="URL of the annotations in COCO's instances format. Takes any URL that `source.coco.annotations` takes.")
    ]
    image_url: Annotated[ImageUrl, Meta(description="URL of each image, a template like `source.coco.imageUrl`.")] = "{coco_url}"


class VocPositives(Spec, frozen=True, kw_only=True):
    annotations: Annotated[
        Url,
        Meta(
            description="URL or path of the Pascal VOC .xml files: a glob, such as s3://team-a/voc/Annotations/*.xml, or a folder, with all folders below it. "
            "LabelMe's .xml files are read, too: the box of an object is that around its polygon."
        ),
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
        Meta(
            description="URL of each image. "
            "It is a template: {filename} is replaced by the <filename> of the .xml file, such as s3://team-a/voc/JPEGImages/{filename}. "
            "{folder} is replaced by the name of the folder that the .xml file lies in, for exports with a folder for each split."
        ),
    ]


class YoloPositives(Spec, frozen=True, kw_only=True):
    data: Annotated[
        Url,
        Meta(
            description="URL or path of the dataset's data.yaml, as Ultralytics, Roboflow and CVAT write it. "
            "Images and labels are found from it as Ultralytics does: the folders or lists of `train` and `val`, and labels/ beside images/. "
            "Label Studio, labelImg and FiftyOne write no data.yaml: give their classes.txt or .names, in or above the folder of the images."
        ),
    ]
    splits: Annotated[
        tuple[Literal["train", "val", "test"], ...],
        Meta(
            min_length=1,
            max_length=3,
            description="Which of the splits in data.yaml are used. A split that data.yaml does not name is left out. "
            "`heldOutPercent` decides which of the images are held out.",
            extra_json_schema={"x-kubernetes-list-type": "set"},
        ),
    ] = ("train", "val")


class Positives(Spec, frozen=True, kw_only=True):
    coco: Annotated[
        CocoPositives | None, Meta(description="Images with objects, annotated in COCO's format. They are converted to TFRecords.")
    ] = None
    voc: Annotated[
        VocPositives | None, Meta(description="Images with objects, annotated in Pascal VOC's format. They are converted to TFRecords.")
    ] = None
    yolo: Annotated[
        YoloPositives | None, Meta(description="Images with objects, annotated in YOLO's format. They are converted to TFRecords.")
    ] = None
    tfrecords: Annotated[
        tuple[Url, ...],
        Meta(
            max_length=MAX_ITEMS,
            description="URLs, with globs, of TFRecords with the Object Detection API's keys. They are checked and copied into the revision.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    label_map: Annotated[
        OptionalUrl | None,
        Meta(
            description="URL of the label map (.pbtxt) of `tfrecords`. "
            "If absent, it is read from the records' own class names (image/object/class/text)."
        ),
    ] = None
    classes: Annotated[
        tuple[ClassName, ...],
        Meta(
            max_length=MAX_ITEMS,
            description="The classes to train, in label-map order. If empty, those of `excludeClasses` that the positives show.",
            extra_json_schema={"x-kubernetes-list-type": "atomic"},
        ),
    ] = ()
    crowds: Annotated[
        Literal["Ignore", "Objects"],
        Meta(
            description="What an annotation is that is marked iscrowd (COCO) or is_crowd (TFRecord). "
            "Ignore: a region with many objects, which is not learned and not measured. "
            "Objects: a single object like any other. Some tools, such as CVAT, mark every mask so."
        ),
    ] = "Ignore"
    exif_orientation: Annotated[
        Literal["Auto", "Upright", "Ignore"],
        Meta(
            description="How the boxes of an image were drawn that its EXIF turns. TensorFlow ignores EXIF. "
            "Upright: on the turned image, which is then stored turned. Ignore: on the pixels as they are stored. "
            "Auto: as the size in the annotations proves, or else as all images of the source whose size proves it. "
            "An image without proof is not stored and counts as failed (ambiguous_orientation)."
        ),
    ] = "Auto"
    check_box_unit: Annotated[
        bool,
        Meta(
            description="Whether positives are refused if most of their boxes are in another unit than their format wants. "
            "An example is percents instead of pixels. Set it to false if the boxes only look so, and are right."
        ),
    ] = True
    held_out_percent: Annotated[
        Annotated[int, Meta(ge=1, le=90)],
        Meta(description="Percentage of the positives that is never trained on. Recall and average precision are measured on them."),
    ] = 20


_POSITIVES_RULES = rules(
    (
        "[has(self.coco), has(self.voc), has(self.yolo), has(self.tfrecords) && self.tfrecords.size() > 0].filter(given, given).size() == 1",
        "must have exactly one of coco, voc, yolo and tfrecords",
    ),
    (
        "!has(self.labelMap) || (has(self.tfrecords) && self.tfrecords.size() > 0)",
        "labelMap must come only with tfrecords: for the other kinds it is derived from classes",
    ),
)
