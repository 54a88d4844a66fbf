"""A rule that the CRD's schema cannot state: on a cluster, every input and output is a URL."""

from __future__ import annotations

from collections.abc import Iterator

from negset_api import names
from negset_api.errors import Problem
from negset_api.spec import NegativeDatasetSpec


def local_paths(spec: NegativeDatasetSpec) -> tuple[Problem, ...]:
    """Return a problem for each field that names a local file."""
    return tuple(
        Problem(field, "local paths work on a laptop only; on a cluster this must be an http(s) or object storage URL", f'"{url}"')
        for field, url in _urls(spec)
        if _is_local(url)
    )


def _is_local(url: str) -> bool:
    """Return True if a URL is a local path. Of a chained URL, the last part decides."""
    scheme, separator, _ = url.rpartition("::")[2].partition("://")
    return (scheme.lower() if separator else "") in names.LOCAL_SCHEMES


def _urls(spec: NegativeDatasetSpec) -> Iterator[tuple[str, str]]:
    coco = spec.source.coco
    yield "spec.source.coco.annotations", coco.annotations
    yield from _template("spec.source.coco.imageUrl", coco.image_url)
    for index, url in enumerate(spec.selection.exclude_images_of):
        yield f"spec.selection.excludeImagesOf[{index}]", url
    yield "spec.output.url", spec.output.url
    if positives := spec.positives:
        if positives.coco:
            yield "spec.positives.coco.annotations", positives.coco.annotations
            yield from _template("spec.positives.coco.imageUrl", positives.coco.image_url)
        if positives.voc:
            yield "spec.positives.voc.annotations", positives.voc.annotations
            yield from _template("spec.positives.voc.imageUrl", positives.voc.image_url)
        for index, url in enumerate(positives.tfrecords):
            yield f"spec.positives.tfrecords[{index}]", url
        if positives.label_map:
            yield "spec.positives.labelMap", positives.label_map
    if training := spec.training:
        if training.pipeline_config.url:
            yield "spec.training.pipelineConfig.url", training.pipeline_config.url
        if training.fine_tune_checkpoint:
            yield "spec.training.fineTuneCheckpoint", training.fine_tune_checkpoint


def _template(field: str, template: str) -> Iterator[tuple[str, str]]:
    if not template.startswith("{"):  # {coco_url} and similar placeholders: the annotations have the URL
        yield field, template
