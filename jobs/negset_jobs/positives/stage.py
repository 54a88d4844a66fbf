"""The positives as a stage, from the annotations to `positives.json`.

Annotations → classes, label map and split → records in the store → `positives.json`.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.spec import NegativeDataset, NegativeDatasetSpec
from negset_api.spec import Positives as PositivesSpec
from negset_api.values import Outcome, PlannedImage, Positives, ShardPlan, ShardResult, encode
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.download.orientation import word_of
from negset_jobs.download.shard_maker import ShardMaker
from negset_jobs.download.stage import check_budget, run_shards, tidy, withdraw_positives
from negset_jobs.formats.label_map import write_label_map
from negset_jobs.formats.pictures import families
from negset_jobs.formats.stored import commit, find, load
from negset_jobs.positives import tfrecords
from negset_jobs.positives.annotated import (
    CROWDS,
    OTHER_RECORDS,
    Annotated,
    FailedImage,
    RejectedBox,
    Source,
    planned_images,
    shown_classes,
)
from negset_jobs.positives.boxes import count_boxes
from negset_jobs.positives.checks import boxes_of, check_crowds, check_failed, check_rejected, check_unit, with_stored_sizes
from negset_jobs.positives.classes import Negatives, label_ids, trained_classes, wanted_classes
from negset_jobs.positives.coco import read_coco
from negset_jobs.positives.copies import FoundCopies, find_copies, forget_others, was_searched, with_copies, without_copies, write_again
from negset_jobs.positives.record_files import FIELD as RECORDS_FIELD
from negset_jobs.positives.record_files import CopyTask
from negset_jobs.positives.split import held_out
from negset_jobs.positives.summary import Stored, failed_images, summary, without_records
from negset_jobs.positives.turning import settle_orientation
from negset_jobs.positives.voc import read_voc
from negset_jobs.positives.yolo import read_yolo
from negset_jobs.selection.sharding import shards

log = logging.getLogger(__name__)

_EXAMPLES: Final = 5


class _Request(NamedTuple):
    """The inputs of the stage in one value.

    `wanted` are the classes that may be trained, in label-map order.
    """

    store: Store
    spec: NegativeDatasetSpec
    positives: PositivesSpec
    negatives: Negatives
    wanted: tuple[str, ...]
    access: Access
    siblings: Sequence[Store]
    progress: Progress

    def classes(self, shown: Iterable[str], known: frozenset[str]) -> tuple[str, ...]:
        return trained_classes(
            self.wanted,
            requested=bool(self.positives.classes),
            negatives=self.negatives,
            shown=frozenset(shown),
            known=known,
            allowed=self.spec.selection.allow_classes,
        )

    def held_out(self, families: Mapping[str, str]) -> frozenset[str]:
        return held_out(families, percent=self.positives.held_out_percent, seed=self.spec.selection.seed)

    def known_copies(self) -> FoundCopies:
        """Return the copies that the store remembers, or none."""
        return find(self.store, names.POSITIVE_COPIES, FoundCopies) or FoundCopies()

    def find_copies(self, results: Sequence[ShardResult], known: FoundCopies) -> FoundCopies:
        """Return the copies among the stored images. The store remembers them.

        If these images were searched already, return what is known. So do it with more failures
        than the budget allows: a later run knows more images.
        """
        if was_searched(results, known):
            return known
        try:
            check_budget(results, self.spec, "spec.download.maxFailedPercent")
        except (InvalidInput, WorkFailed):
            return known
        found = find_copies(self.store, results, known, workers=self.spec.ray.workers, progress=self.progress)
        if known == FoundCopies():
            return commit(self.store, names.POSITIVE_COPIES, found)
        self.store.write(names.POSITIVE_COPIES, encode(found))
        return found

    def list_failures(self, rejected: Iterable[RejectedBox], failed: Iterable[FailedImage]) -> None:
        """Store the lists of what cannot be used, before anything is refused for it."""
        for key, values in ((names.REJECTED_BOXES, rejected), (names.FAILED_POSITIVES, failed)):
            self.store.write(key, b"".join(msgspec.json.encode(value) + b"\n" for value in values))


def positives_stage(  # noqa: PLR0917 - the signature that all stages share
    store: Store,
    dataset: NegativeDataset,
    access: Access,
    siblings: Sequence[Store],
    progress: Progress,
    earlier: Positives | None = None,
) -> Positives:
    """Store the positives of a dataset that has a plan. Returns what was stored.

    `earlier` is as in `record_stage`.

    Raises `InvalidInput` if they cannot be used, and `WorkFailed` if no image of a split was
    stored. If more than `maxFailedPercent` of the images were not stored, raises as `check_budget`
    does.
    """
    spec = dataset.spec
    assert spec.positives is not None
    negatives = load(store, names.PLAN, Negatives)
    wanted = wanted_classes(spec.positives.classes, spec.exclude_classes, negatives)
    request = _Request(store, spec, spec.positives, negatives, wanted, access, siblings, progress)
    stored = _from_tfrecords(request) if spec.positives.tfrecords else _from_annotations(request)
    request.list_failures(stored.rejected, failed_images(stored.results))
    check_budget(stored.results, spec, "spec.download.maxFailedPercent")
    check_rejected(stored.rejected, stored.annotations, spec.download.max_failed_percent, "spec.positives")
    if spec.training is None:
        store.remove(store.keys(names.FINGERPRINTS_FOLDER))  # otherwise the search for held-out copies uses them
    positives = summary(stored)
    if positives != earlier:
        if earlier is not None:
            withdraw_positives(store, stored.results)
        tidy(store, names.POSITIVES_FOLDER, stored.results)
    return commit(store, names.POSITIVES, positives)


def _from_annotations(request: _Request) -> Stored:
    """Store positives whose images are downloaded like the negatives."""
    source = _read(request)
    annotated = _checked_source(request, source)
    _tell_rejected(annotated.rejected)
    usable = [image for image in annotated.images if image.objects]
    classes = request.classes({name for image in usable for name in shown_classes(image.objects)}, annotated.classes)
    request.store.write(names.LABEL_MAP, write_label_map(classes))
    plans, results = _recorded(request, [_restricted(image, classes) for image in usable], label_ids(classes))
    if request.positives.check_box_unit:
        check_unit(boxes_of(with_stored_sizes(source.images, results)), source.reading, source.field)
    _tell_unlearnable(
        classes, (name for plan in plans if plan.split == names.TRAIN for image in plan.images for name in shown_classes(image.objects))
    )
    boxes, late = count_boxes(plans, results)
    _tell_rejected(late)
    return Stored(
        classes=classes,
        results=[*results, *without_records(annotated)],
        boxes=boxes,
        rejected=(*annotated.rejected, *late),
        annotations=sum(annotated.annotations.values()),
        left_out=annotated.left_out,
    )


def _recorded(request: _Request, images: Sequence[PlannedImage], ids: Mapping[str, int]) -> tuple[tuple[ShardPlan, ...], list[ShardResult]]:
    """Return the shards of the images and what is stored. Copies are on one side of the split."""
    request.access.check_images((image.url for image in images), "spec.positives")
    found = request.known_copies()
    plans = _plans(request, images, found)
    while True:
        results = _run(request, plans, ids)
        # The run may have stored images whose failure was transient, which were not searched.
        found = request.find_copies(results, found)
        if (decided := _plans(request, images, found)) == plans:
            return plans, results
        plans = decided


def _run(request: _Request, plans: Sequence[ShardPlan], ids: Mapping[str, int]) -> list[ShardResult]:
    maker = ShardMaker(
        request.store, names.POSITIVES_FOLDER, spec=request.spec, access=request.access, label_ids=ids, progress=request.progress
    )
    write_again(maker, plans)
    return settle_orientation(maker, plans, run_shards(maker, plans, request.siblings))


def _checked_source(request: _Request, source: Source) -> Annotated:
    """Return the annotated images. Raises `InvalidInput` if too many of them cannot be used."""
    positives, percent = request.positives, request.spec.download.max_failed_percent
    annotated = planned_images(source, crowds_are_objects=positives.crowds == "Objects", orientation=word_of(positives.exif_orientation))
    request.list_failures(annotated.rejected, annotated.failed)
    if positives.check_box_unit:
        check_unit(boxes_of(source.images), source.reading, source.field)
    check_failed(annotated.failed, len(annotated.images) + len(annotated.failed), percent, source.field)
    check_crowds(annotated.annotations, annotated.crowds, positives.classes, source.field)
    check_rejected(annotated.rejected, sum(annotated.annotations.values()), percent, source.field)
    return annotated


def _from_tfrecords(request: _Request) -> Stored:
    """Store positives that are TFRecords already."""
    workers = request.spec.ray.workers
    rules = tfrecords.rules(request.spec, request.positives, request.wanted, request.access)
    files, rules = tfrecords.scan(request.positives, rules, workers=workers, progress=request.progress)
    records = [record for file in files for record in file.records]
    rejected = tuple(box for record in records for box in record.rejected)
    annotations, crowds = tfrecords.count_objects(files)
    failed = [FailedImage(image_id=each.key, outcome=each.outcome, detail=each.detail) for each in records if each.detail]
    request.list_failures(rejected, failed)
    broken = [each for each in failed if each.outcome is Outcome.INVALID_ANNOTATION]
    check_failed(broken, tfrecords.count_records(files), request.spec.download.max_failed_percent, RECORDS_FIELD)
    if request.positives.check_box_unit:
        check_unit(tfrecords.boxes_of(records), tfrecords.READING, RECORDS_FIELD)
    check_crowds(annotations, crowds, request.positives.classes, RECORDS_FIELD)
    _tell_rejected(rejected)
    classes = request.classes(
        {name for record in records for name in record.shows}, frozenset(name for file in files for _, name in file.names)
    )
    trained = msgspec.structs.replace(rules, wanted=frozenset(classes))
    ids = label_ids(classes)
    usable = [record for record in records if record.outcome is Outcome.STORED]
    own = _families([record.key for record in usable], [record.file_name for record in usable])

    def copied(found: FoundCopies) -> tuple[frozenset[str], list[CopyTask], list[ShardResult]]:
        chosen = request.held_out(with_copies(own, found))
        tasks = tfrecords.copy_tasks(request.store, files, trained, chosen, ids)
        return chosen, tasks, tfrecords.copy(request.store, tasks, request.siblings, workers=workers, progress=request.progress)

    known = request.known_copies()
    chosen, tasks, results = copied(known)
    found = request.find_copies(results, known)
    if request.held_out(with_copies(own, found)) != chosen:
        chosen, tasks, results = copied(found)
        forget_others(request.store, {result.name for result in results})
    _tell_unlearnable(classes, (name for record in records if record.key not in chosen for name in record.shows))
    request.store.write(names.LABEL_MAP, write_label_map(classes))
    boxes: dict[str, list[int]] = collections.defaultdict(list)
    for task in tasks:
        for record in task.file.records:
            boxes[task.splits[record.index]].append(sum(record.boxes.get(name, 0) for name in classes))
    left_out = {CROWDS: sum(crowds.values()), OTHER_RECORDS: sum(file.others for file in files)}
    return Stored(classes, results, boxes, rejected, sum(annotations.values()), left_out)


def _read(request: _Request) -> Source:
    wanted, positives = frozenset(request.wanted), request.positives
    if positives.coco is not None:
        return read_coco(positives.coco, wanted, request.access)
    if positives.yolo is not None:
        return read_yolo(positives.yolo, wanted, request.access)
    assert positives.voc is not None
    return read_voc(positives.voc, wanted, request.access)


def _restricted(image: PlannedImage, classes: Sequence[str]) -> PlannedImage:
    """Return the image with only the objects of the trained classes."""
    return msgspec.structs.replace(image, objects=tuple(box for box in image.objects if box.class_name in classes))


def _families(keys: Sequence[str], file_names: Sequence[str]) -> dict[str, str]:
    """Return what the names of all copies of each image have in common, by its key."""
    return {key: name or key for key, name in zip(keys, families(file_names), strict=True)}


def _plans(request: _Request, images: Sequence[PlannedImage], found: FoundCopies) -> tuple[ShardPlan, ...]:
    """Return the shards to train on, then those held out; each in the source's order."""
    distinct = without_copies(images, found)
    own = _families([str(image.image_id) for image in distinct], [image.file_name for image in distinct])
    kept = request.held_out(with_copies(own, found))
    sides = {
        split: [image for image in distinct if (str(image.image_id) in kept) == (split == names.HELD_OUT)]
        for split in (names.TRAIN, names.HELD_OUT)
    }
    return tuple(shard for split, members in sides.items() for shard in shards(split, members))


def _tell_rejected(rejected: Sequence[RejectedBox]) -> None:
    for box in rejected[:_EXAMPLES]:
        log.warning("%s: rejected a box of %r: %s (%s)", box.file_name or box.image_id, box.class_name, box.reason.sentence, box.given)
    if len(rejected) > _EXAMPLES:
        log.warning("rejected %d more boxes; %s lists all of them", len(rejected) - _EXAMPLES, names.REJECTED_BOXES)


def _tell_unlearnable(classes: Sequence[str], learnt: Iterable[str]) -> None:
    if missing := set(classes) - set(learnt):
        log.warning("all images of %s are held out, so none is left to train on; add images of it", ", ".join(map(repr, sorted(missing))))
