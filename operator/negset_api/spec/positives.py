"""The images with objects that a detector is trained on."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from negset_api.spec.fields import MAX_ITEMS, MAX_URL, ClassName, ImageUrl, OptionalUrl, Spec, Url, rules


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


POSITIVES_RULES = rules(
    (
        "[has(self.coco), has(self.voc), has(self.yolo), has(self.tfrecords) && self.tfrecords.size() > 0].filter(given, given).size() == 1",
        "must have exactly one of coco, voc, yolo and tfrecords",
    ),
    (
        "!has(self.labelMap) || (has(self.tfrecords) && self.tfrecords.size() > 0)",
        "labelMap must come only with tfrecords: for the other kinds it is derived from classes",
    ),
)
