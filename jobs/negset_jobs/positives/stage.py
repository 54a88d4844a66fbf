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
from negset_api.values import ImageResult, Outcome, PlannedImage, Positives, ShardPlan, ShardResult, digest
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.download.record import image_input_digest
from negset_jobs.download.stage import check_budget, count_outcomes, run_shards, tidy, withdraw
from negset_jobs.formats.label_map import write_label_map
from negset_jobs.formats.stored import commit, load
from negset_jobs.positives import tfrecords
from negset_jobs.positives.annotated import Annotated, RejectedBox, shown_classes
from negset_jobs.positives.classes import Negatives, label_ids, trained_classes, wanted_classes
from negset_jobs.positives.coco import read_coco
from negset_jobs.positives.split import held_out
from negset_jobs.positives.voc import read_voc
from negset_jobs.selection.sharding import shards

log = logging.getLogger(__name__)

_EXAMPLES: Final = 5


class Stored(NamedTuple):
    """The stored positives, from any kind of source.

    It has the shards, the number of boxes of each stored image by split, and the rejected boxes.
    """

    classes: tuple[str, ...]
    results: list[ShardResult]
    boxes: dict[str, list[int]]
    rejected: tuple[RejectedBox, ...]


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
            self.wanted, requested=bool(self.positives.classes), negatives=self.negatives, shown=frozenset(shown), known=known
        )

    def held_out(self, keys: Iterable[str]) -> frozenset[str]:
        return held_out(keys, percent=self.positives.held_out_percent, seed=self.spec.selection.seed)


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
    store.write(names.REJECTED_BOXES, b"".join(msgspec.json.encode(box) + b"\n" for box in stored.rejected))
    check_budget(stored.results, spec, "spec.download.maxFailedPercent")
    positives = _summary(stored)
    if positives != earlier:
        if earlier is not None:
            withdraw(store, names.POSITIVES)
        tidy(store, names.POSITIVES_FOLDER, stored.results)
    return commit(store, names.POSITIVES, positives)


def _from_annotations(request: _Request) -> Stored:
    """Store positives whose images are downloaded like the negatives."""
    annotated = _read(request)
    _tell_rejected(annotated.rejected)
    if annotated.only_crowds:
        log.info("skipped %d images that show crowds of the classes but no single object", annotated.only_crowds)
    usable = [image for image in annotated.images if image.objects]
    classes = request.classes({name for image in usable for name in shown_classes(image.objects)}, annotated.classes)
    plans = _plans(request, [_restricted(image, classes) for image in usable])
    _tell_unlearnable(
        classes, (name for plan in plans if plan.split == names.TRAIN for image in plan.images for name in shown_classes(image.objects))
    )
    ids = label_ids(classes)
    request.store.write(names.LABEL_MAP, write_label_map(classes))
    results = run_shards(
        request.store,
        plans,
        folder=names.POSITIVES_FOLDER,
        spec=request.spec,
        access=request.access,
        label_ids=ids,
        siblings=request.siblings,
        progress=request.progress,
    )
    _check_unchanged(request, plans, results, ids)
    unusable = [image for image in annotated.images if not image.objects]
    return Stored(classes, [*results, *_without_boxes(unusable)], _count_boxes(plans, results), annotated.rejected)


def _from_tfrecords(request: _Request) -> Stored:
    """Store positives that are TFRecords already."""
    workers = request.spec.ray.workers
    rules = tfrecords.rules(request.spec, request.positives, request.wanted, request.access)
    files = tfrecords.scan(request.positives, rules, workers=workers, progress=request.progress)
    records = [record for file in files for record in file.records]
    if others := sum(file.others for file in files):
        log.info("skipped %d records without an object of the classes, because nothing proves that they are negatives", others)
    rejected = tuple(box for record in records for box in record.rejected)
    _tell_rejected(rejected)
    classes = request.classes(
        {name for record in records for name in record.shows}, frozenset(name for file in files for _, name in file.names)
    )
    chosen = request.held_out(record.key for record in records if record.outcome is Outcome.STORED)
    _tell_unlearnable(classes, (name for record in records if record.key not in chosen for name in record.shows))
    ids = label_ids(classes)
    request.store.write(names.LABEL_MAP, write_label_map(classes))
    trained = msgspec.structs.replace(rules, wanted=frozenset(classes))
    tasks = tfrecords.copy_tasks(request.store, files, trained, chosen, ids)
    results = tfrecords.copy(request.store, tasks, request.siblings, workers=workers, progress=request.progress)
    boxes: dict[str, list[int]] = collections.defaultdict(list)
    for task in tasks:
        for record in task.file.records:
            boxes[task.splits[record.index]].append(sum(record.boxes.get(name, 0) for name in classes))
    return Stored(classes, results, boxes, rejected)


def _read(request: _Request) -> Annotated:
    wanted = frozenset(request.wanted)
    if request.positives.coco is not None:
        return read_coco(request.positives.coco, wanted, request.access)
    assert request.positives.voc is not None
    return read_voc(request.positives.voc, wanted, request.access)


def _restricted(image: PlannedImage, classes: Sequence[str]) -> PlannedImage:
    """Return the image with only the objects of the trained classes."""
    return msgspec.structs.replace(image, objects=tuple(box for box in image.objects if box.class_name in classes))


def _plans(request: _Request, images: Sequence[PlannedImage]) -> tuple[ShardPlan, ...]:
    """Return the shards to train on, then those held out; each in the source's order."""
    request.access.check_images((image.url for image in images), "spec.positives")
    kept = request.held_out(str(image.image_id) for image in images)
    sides = {
        split: [image for image in images if (str(image.image_id) in kept) == (split == names.HELD_OUT)]
        for split in (names.TRAIN, names.HELD_OUT)
    }
    return tuple(shard for split, members in sides.items() for shard in shards(split, members))


def _check_unchanged(request: _Request, plans: Sequence[ShardPlan], results: Sequence[ShardResult], ids: Mapping[str, int]) -> None:
    """Check that shards of an earlier, interrupted run have the same annotations."""
    for plan, result in zip(plans, results, strict=True):
        if [ended.input_digest for ended in result.results] != [
            image_input_digest(image, request.spec.download, ids) for image in plan.images
        ]:
            raise InvalidInput(
                f"spec.positives: the annotations have changed since an earlier run stored {request.store.location(result.file)}; "
                "rename the dataset, or remove its folder, to start again"
            )


def _without_boxes(images: Sequence[PlannedImage]) -> list[ShardResult]:
    """Return the outcomes of the images that were not downloaded, as a shard without a file."""
    results = tuple(
        ImageResult(image_id=image.image_id, outcome=Outcome.INVALID_BOX, detail="none of its boxes is usable") for image in images
    )
    return [ShardResult(name="", split=names.TRAIN, input_digest="", file="", sha256="", bytes=0, results=results)] if results else []


def _count_boxes(plans: Sequence[ShardPlan], results: Sequence[ShardResult]) -> dict[str, list[int]]:
    """Return the number of boxes of each stored image, by split."""
    boxes: dict[str, list[int]] = collections.defaultdict(list)
    for plan, result in zip(plans, results, strict=True):
        boxes[plan.split] += [
            len(image.objects) for image, ended in zip(plan.images, result.results, strict=True) if ended.outcome is Outcome.STORED
        ]
    return boxes


def _summary(stored: Stored) -> Positives:
    """Return the stage's value.

    Raises `WorkFailed` if nothing is left to train on or to measure with.
    """
    outcomes = count_outcomes(stored.results)
    files: dict[str, tuple[str, ...]] = {}
    images: dict[str, int] = {}
    for split in (names.TRAIN, names.HELD_OUT):
        shards_of = [result for result in stored.results if result.split == split]
        files[split] = tuple(result.file for result in shards_of if result.file)
        images[split] = count_outcomes(shards_of)[Outcome.STORED]
        if not images[split]:
            purpose = "train on" if split == names.TRAIN else "measure recall with"
            raise WorkFailed(f"spec.positives: none of the images to {purpose} could be stored: {_listed(outcomes)}")
    return Positives(
        input_digest=digest(stored.classes, [result.input_digest for result in stored.results]),
        classes=stored.classes,
        label_map=names.LABEL_MAP,
        files=files,
        images=images,
        boxes={split: sum(stored.boxes[split]) for split in images},
        most_boxes=max(max(stored.boxes[split], default=0) for split in images),
        outcomes={outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        rejected_boxes=dict(sorted(collections.Counter(box.reason.value for box in stored.rejected).items())),
    )


def _listed(outcomes: Mapping[Outcome, int]) -> str:
    return ", ".join(f"{outcome} {count} times" for outcome, count in outcomes.items())


def _tell_rejected(rejected: Sequence[RejectedBox]) -> None:
    for box in rejected[:_EXAMPLES]:
        log.warning("%s: rejected a box of %r: %s (%s)", box.file_name or box.image_id, box.class_name, box.reason.sentence, box.given)
    if len(rejected) > _EXAMPLES:
        log.warning("rejected %d more boxes; %s lists all of them", len(rejected) - _EXAMPLES, names.REJECTED_BOXES)


def _tell_unlearnable(classes: Sequence[str], learnt: Iterable[str]) -> None:
    if missing := set(classes) - set(learnt):
        log.warning("all images of %s are held out, so none is left to train on; add images of it", ", ".join(map(repr, sorted(missing))))
