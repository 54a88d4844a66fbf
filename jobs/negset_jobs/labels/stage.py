"""Make the label datasets from the stored records, without another download.

An image that was not stored is in no list.
"""

from __future__ import annotations

import logging
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import Labels, Plan, Records, digest
from negset_jobs.adapters import work
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.formats.class_names import distinct
from negset_jobs.formats.stored import commit
from negset_jobs.labels.formats import Contents
from negset_jobs.labels.label_task import FORMATS, LabelledShard, LabelTask, write_shard
from negset_jobs.labels.labelled import unique_stems

log = logging.getLogger(__name__)

NAMED: Final = 10
"""The number of unreadable images that are named."""


def labels_stage(store: Store, dataset: NegativeDataset, plan: Plan, records: Records, progress: Progress) -> Labels:
    """Write a dataset in every format of the manifest except TFRecord.

    An image that cannot be read is in none of them. Raises `WorkFailed` if an object cannot be
    written.
    """
    formats = _formats(dataset)
    progress.start("Writing labels", records.stored, "images")
    shards: dict[int, LabelledShard] = {}
    tasks = list(label_tasks(store.url, plan, records, formats))
    for index, done in work.map_unordered(_write, tasks, workers=dataset.spec.ray.workers):
        shards[index] = done
        progress.advance(len(done.images))
    labelled_images = [labelled for index in range(len(tasks)) for labelled in shards[index].images]
    unreadable = [reason for index in range(len(tasks)) for reason in shards[index].unreadable]
    for name in formats:
        for file in FORMATS[name].index_files(labelled_images, _contents(dataset, plan)):
            store.write(f"{names.labels_folder(name)}/{file.key}", file.data)
    progress.finish()
    if unreadable:
        log.warning("left %d images that cannot be read out of the labels: %s", len(unreadable), "; ".join(unreadable[:NAMED]))
    labels = Labels(
        input_digest=labels_input_digest(dataset, plan, records),
        folders={name: names.labels_folder(name) for name in formats},
        images=len(labelled_images),
        unreadable=len(unreadable),
        unreadable_examples=tuple(unreadable[:NAMED]),
    )
    return commit(store, names.LABELS, labels)


def labels_input_digest(dataset: NegativeDataset, plan: Plan, records: Records) -> str:
    """Return the digest of all inputs of the label datasets.

    They are the stored files, the plan, the formats and the title. Here the title says "pictures",
    as in earlier versions: with another digest, labels of their revisions would not be copied.
    """
    return digest(records.files, plan.input_digest, _formats(dataset), _title(dataset, plan, "pictures"))


def _formats(dataset: NegativeDataset) -> tuple[str, ...]:
    return tuple(name for name in FORMATS if name in dataset.spec.output.formats)


def _write(task: LabelTask, _: work.Report) -> LabelledShard:
    return write_shard(task)


def label_tasks(store_url: str, plan: Plan, records: Records, formats: Sequence[str]) -> Iterator[LabelTask]:
    """Yield one task for each stored shard, in plan order."""
    images = {image.image_id: image for shard in plan.shards for image in shard.images}
    stems = dict(zip(plan.image_ids, unique_stems(images[image_id] for image_id in plan.image_ids), strict=True))
    members = {shard.name: shard.images for shard in plan.shards}
    for split, keys in records.files.items():
        for key in keys:
            # In records/train-00003-of-00010.0123abcd.tfrecord, the shard's name is before the
            # digest.
            shard = posixpath.basename(key).split(".")[0]
            planned = {str(image.image_id): (image, stems[image.image_id]) for image in members[shard]}
            yield LabelTask(store_url=store_url, key=key, split=split, formats=tuple(formats), planned=planned)


def _contents(dataset: NegativeDataset, plan: Plan) -> Contents:
    return Contents(
        title=_title(dataset, plan, "images"),
        classes=distinct(plan.excluded_classes),
        categories=plan.categories,
        licenses=plan.licenses,
    )


def _title(dataset: NegativeDataset, plan: Plan, things: str) -> str:
    classes = ", ".join(distinct(plan.excluded_classes))
    return f"{dataset.metadata.namespace}/{dataset.metadata.name}: {things} without {classes}"
