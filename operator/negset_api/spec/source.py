"""Where the negatives come from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from negset_api.spec.fields import MAX_URL, ImageUrl, Spec, Url, rules


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


SOURCE_RULES = rules(
    (
        "[has(self.coco), has(self.images), has(self.openImages)].filter(given, given).size() == 1",
        "must have exactly one kind of source: coco, images or openImages",
    )
)
