"""A training round as a stage: from the values of earlier stages to `Round`, written last."""

from __future__ import annotations

import glob
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from negset_api import names, stages
from negset_api.errors import WorkFailed
from negset_api.spec import NegativeDataset
from negset_api.values import Measurement, Round, ScoredImage
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.formats.stored import commit, find
from negset_jobs.training import (
    checkpoint_upload,
    checkpoints,
    config,
    detections,
    failures,
    fine_tune,
    heldout,
    linter,
    measuring,
    mix,
    screening,
)
from negset_jobs.training.task import Task, prepare

log = logging.getLogger(__name__)

_WORST: Final = 24
_WORST_DETECTIONS: Final = 10
_FLOOR: Final = 1e-3  # detections below this score are not measured; they hardly change COCO's AP
_BATCH: Final = 256  # images held in memory at once while scoring
_CHIEF_SECONDS: Final = 6 * 3600


@failures.translated()
def train_round(store: Store, dataset: NegativeDataset, step: stages.Step, access: Access, progress: Progress) -> Round:
    """Train and measure a round, and export the model of the last round.

    Each round of an arm except its first starts with the weights of the round before. An
    interrupted round resumes from its newest complete checkpoint.

    If `TF_CONFIG` names several workers, each worker calls this. Only the chief writes; the others
    return when it has finished. Raises `InvalidInput`, `WorkFailed` or `Interrupted`.
    """
    task = prepare(store, dataset, step, access)
    from negset_jobs.training import loop, threads

    threads.limit(task.config)
    strategy = loop.distribution_strategy()
    with tempfile.TemporaryDirectory(prefix="negset-") as scratch:
        trained = _train(task, store, access, progress, strategy=strategy, scratch=scratch)
        if not strategy.extended.should_checkpoint:
            return _wait_for_chief(store, step)
        value = _finish(task, store, scratch, trained, progress)
    # If two attempts finish, only the first one counts.
    return commit(store, step.marker, value)


def _train(task: Task, store: Store, access: Access, progress: Progress, *, strategy: Any, scratch: str) -> Any:
    from negset_jobs.training import feeding, loop, precision, scoring

    policy = precision.policy(precision.capabilities(), mixed=task.training.mixed_precision)
    start = _start(task, store, scratch)
    running = _local_config(task, store, access, scratch, fresh=not (start.resume or start.weights))
    local = mix.materialise(store, task.chosen, os.path.join(scratch, "records"))
    chief = strategy.extended.should_checkpoint
    local, unreadable = screening.screen_round(
        store,
        task.chosen,
        local,
        (*task.positives.files[names.HELD_OUT], *task.records.files[names.HELD_OUT]) if chief else (),
        trained=feeding.record_check(running),
        measured=scoring.measured_check,
        folder=os.path.join(scratch, "readable"),
        max_failed_percent=task.max_failed_percent,
    )
    if chief:
        store.write(names.round_config(task.number, task.arm), config.render(task.config))

    def batches(model: Any, context: Any) -> Any:
        # A checkpoint does not hold the position in the data, so a resumed training uses another
        # seed.
        seed = task.training.seed + start.step
        return feeding.batches(running, model, local, negative_percent=task.negative_percent, seed=seed, context=context)

    with (
        checkpoint_upload.Uploader(store, task.number, task.arm, task.input_digest, events=os.path.join(scratch, "train")) as uploader,
        precision.applied(policy),
    ):
        trained = loop.train(
            running,
            batches,
            start,
            strategy=strategy,
            seed=task.training.seed,
            folder=scratch,
            checkpoint_every=task.training.checkpoint_every_steps,
            save=uploader.save,
            progress=progress,
        )
    return msgspec.structs.replace(trained, unreadable=unreadable)


def _start(task: Task, store: Store, scratch: str) -> Any:
    """Return what the training starts from.

    It is the newest intact checkpoint of this round, else the last checkpoint of the previous
    round, else nothing.
    """
    from negset_jobs.training.trainer import Start

    folder = os.path.join(scratch, "start")
    if found := checkpoints.newest(store, names.round_checkpoints(task.number, task.arm), task.input_digest, folder):
        newest, prefix = found
        log.info("round %d (%s) resumes from its checkpoint after step %d", task.number, task.arm, newest.step)
        _fetch_events(task, store, scratch)
        return Start(
            resume=prefix,
            earlier_steps=task.earlier_steps,
            step=newest.step,
            images=newest.images,
            images_without_boxes=newest.images_without_boxes,
        )
    weights = checkpoints.of_round(store, task.before, folder) if task.before else ""
    return Start(weights=weights, earlier_steps=task.earlier_steps)


def _fetch_events(task: Task, store: Store, scratch: str) -> None:
    """Fetch the event files of earlier attempts, so that the loss curve is complete."""
    os.makedirs(os.path.join(scratch, "train"), exist_ok=True)
    for key in store.keys(names.round_events(task.number, task.arm)):
        store.get(key, os.path.join(scratch, "train", os.path.basename(key)))


def _local_config(task: Task, store: Store, access: Access, scratch: str, *, fresh: bool) -> Any:
    """Return the configuration with the local files that TensorFlow itself opens.

    These are the label map and, for a `fresh` start, the checkpoint to fine-tune.
    """
    from negset_jobs.training import warm_start

    label_map = os.path.join(scratch, "label_map.pbtxt")
    store.get(task.positives.label_map, label_map)
    running = (
        warm_start.prepare(task.config, task.training, access, os.path.join(scratch, "fine-tune"))
        if fresh
        else fine_tune.patch(task.config, "", "")
    )
    running.train_input_reader.label_map_path = label_map
    return running


def _finish(task: Task, store: Store, scratch: str, trained: Any, progress: Progress) -> Round:
    """Measure the trained model, and export it if it is the model that the dataset is for."""
    from negset_jobs.training import events
    from negset_jobs.training.scoring import Scorer

    last = checkpoints.complete(store, names.round_checkpoints(task.number, task.arm), task.input_digest)[-1]
    prefix = checkpoints.download(store, last.prefix, os.path.join(scratch, "trained"))
    scorer = Scorer(config.render(task.config), prefix, classes=task.positives.classes, floor=_FLOOR)
    measurement, found = _measure(task, store, scorer, progress)
    store.write(names.round_detections(task.number, task.arm), detections.encode(found))
    return Round(
        number=task.number,
        arm=task.arm,
        input_digest=task.input_digest,
        steps=task.total_steps - task.earlier_steps,
        total_steps=task.total_steps,
        seed=task.training.seed,
        negatives=task.chosen.images,
        negative_percent=task.negative_percent,
        measured_negative_percent=100 * trained.images_without_boxes / max(1, trained.images),
        miner=linter.focus(task.config, task.training.hard_negative_mining.mode),
        config=names.round_config(task.number, task.arm),
        checkpoint=last.prefix,
        saved_model=_export(task, store, scratch, scorer.model) if stages.is_exported(task.number, task.arm, task.training) else "",
        detections=names.round_detections(task.number, task.arm),
        losses=events.losses(os.path.join(scratch, "train")),
        steps_per_second=events.steps_per_second(os.path.join(scratch, "train")),
        measurement=measurement,
        worst=_worst(found.negatives),
        unreadable=trained.unreadable.count,
        unreadable_examples=trained.unreadable.examples,
    )


def _export(task: Task, store: Store, scratch: str, model: Any) -> str:
    """Write the model as a SavedModel to the store. Returns its folder there."""
    from negset_jobs.training import exporting

    folder, local = names.round_saved_model(task.number, task.arm), os.path.join(scratch, "saved_model")
    exporting.export(model, local)
    for path in sorted(glob.glob(f"{glob.escape(local)}/**", recursive=True)):
        if os.path.isfile(path):
            store.put(path, f"{folder}/{os.path.relpath(path, local)}")
    return folder


def _measure(task: Task, store: Store, scorer: Any, progress: Progress) -> tuple[Measurement, detections.HeldOut]:
    positives, negatives = task.positives.files[names.HELD_OUT], task.records.files[names.HELD_OUT]
    copies = task.copies
    total = task.positives.images.get(names.HELD_OUT, 0) + task.records.images.get(names.HELD_OUT, 0) - copies.counts.total
    progress.start("Measuring", total, "images")
    truths, found = _score(store, positives, scorer, progress, excluded=frozenset(copies.positives))
    _, fooled = _score(store, negatives, scorer, progress, excluded=frozenset(copies.negatives))
    progress.finish()
    measurement = measuring.measure(truths, found, fooled, recall=task.training.recall_percent / 100)
    return measurement, detections.HeldOut(truths=tuple(truths), positives=tuple(found), negatives=tuple(fooled))


def _score(
    store: Store, keys: Sequence[str], scorer: Any, progress: Progress, *, excluded: Collection[str]
) -> tuple[list[measuring.Truth], list[ScoredImage]]:
    truths: list[measuring.Truth] = []
    scored: list[ScoredImage] = []
    # The round has already logged the records that it skips.
    stream = heldout.images(store, keys, log.debug, excluded=excluded)
    while part := list(itertools.islice(stream, _BATCH)):
        images = scorer.score([(truth.image_id, encoded) for truth, encoded in part])
        # Unreadable images are in no denominator.
        truths += [truth for (truth, _), image in zip(part, images, strict=True) if not image.unreadable]
        scored += [image for image in images if not image.unreadable]
        progress.advance(len(part))
    return truths, scored


def _worst(negatives: Sequence[ScoredImage]) -> tuple[ScoredImage, ...]:
    """Return the negatives with the highest scores, worst first, each with its best detections."""
    fooled = sorted((image for image in negatives if image.detections), key=lambda image: (-image.score, image.image_id))
    return tuple(ScoredImage(image_id=image.image_id, detections=image.detections[:_WORST_DETECTIONS]) for image in fooled[:_WORST])


def _wait_for_chief(store: Store, step: stages.Step) -> Round:
    """Wait for the round that the chief commits.

    Another worker does this after its training. If the chief fails, the Job ends this pod.
    """
    deadline = time.monotonic() + _CHIEF_SECONDS
    while time.monotonic() < deadline:
        if (done := find(store, step.marker, Round)) is not None:
            return done
        time.sleep(2)
    raise WorkFailed(
        f"the chief did not finish {step.role} within {_CHIEF_SECONDS} seconds of this worker's last step; see the log of the chief"
    )
