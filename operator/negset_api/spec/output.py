"""Where the dataset is stored, and in which formats."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from negset_api.spec.fields import ObjectName, Spec, Url


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
