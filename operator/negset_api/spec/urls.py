"""The URLs of a spec."""

from __future__ import annotations

from collections.abc import Iterator

from negset_api.spec.dataset import NegativeDatasetSpec
from negset_api.spec.positives import Positives
from negset_api.spec.source import Source


def urls_of(spec: NegativeDatasetSpec) -> Iterator[tuple[str, str]]:
    """Yield each field that names a file or folder, and its URL or path.

    A template of an image's URL is among them if it begins with text.
    """
    yield from _sources(spec.source)
    for index, url in enumerate(spec.selection.exclude_images_of):
        yield f"spec.selection.excludeImagesOf[{index}]", url
    yield "spec.output.url", spec.output.url
    if spec.positives:
        yield from _positives(spec.positives)
    if training := spec.training:
        if training.pipeline_config.url:
            yield "spec.training.pipelineConfig.url", training.pipeline_config.url
        if training.fine_tune_checkpoint:
            yield "spec.training.fineTuneCheckpoint", training.fine_tune_checkpoint


def _sources(source: Source) -> Iterator[tuple[str, str]]:
    if coco := source.coco:
        yield "spec.source.coco.annotations", coco.annotations
        yield from _template("spec.source.coco.imageUrl", coco.image_url)
    if images := source.images:
        for index, url in enumerate(images.urls):
            yield f"spec.source.images.urls[{index}]", url
    if open_images := source.open_images:
        yield "spec.source.openImages.classDescriptions", open_images.class_descriptions
        for name in ("labels", "images"):
            for index, url in enumerate(getattr(open_images, name)):
                yield f"spec.source.openImages.{name}[{index}]", url
        yield from _template("spec.source.openImages.imageUrl", open_images.image_url)


def _positives(positives: Positives) -> Iterator[tuple[str, str]]:
    if positives.coco:
        yield "spec.positives.coco.annotations", positives.coco.annotations
        yield from _template("spec.positives.coco.imageUrl", positives.coco.image_url)
    if positives.voc:
        yield "spec.positives.voc.annotations", positives.voc.annotations
        yield from _template("spec.positives.voc.imageUrl", positives.voc.image_url)
    if positives.yolo:
        yield "spec.positives.yolo.data", positives.yolo.data
    for index, url in enumerate(positives.tfrecords):
        yield f"spec.positives.tfrecords[{index}]", url
    if positives.label_map:
        yield "spec.positives.labelMap", positives.label_map


def _template(field: str, template: str) -> Iterator[tuple[str, str]]:
    if not template.startswith("{"):  # {coco_url} and similar placeholders: the annotations have the URL
        yield field, template
