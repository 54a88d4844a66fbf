"""The inputs that decide a training round, gathered from earlier values. Imports no TensorFlow."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from negset_api import names, stages
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset, Training
from negset_api.values import Copies, Mining, Positives, Records, Round, digest
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.formats.stored import find, load
from negset_jobs.training import config, families, mix

log = logging.getLogger(__name__)


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs that decide a round.

    `before` is the round whose weights this one starts from. `input_digest` is the digest of all
    inputs.
    """

    number: int
    arm: str
    training: Training
    records: Records
    positives: Positives
    copies: Copies
    before: Round | None
    chosen: mix.Mix
    config: Any
    input_digest: str
    max_failed_percent: int

    @property
    def negative_percent(self) -> int:
        return self.chosen.negative_percent(self.training.negative_percent)

    @property
    def earlier_steps(self) -> int:
        return self.before.total_steps if self.before is not None else 0

    @property
    def total_steps(self) -> int:
        return stages.total_steps(self.number, self.training)


def round_input_digest(store: Store, dataset: NegativeDataset, step: stages.Step, access: Access) -> str:
    """Return the digest of everything that decides the result of a round.

    Needs the values of the earlier stages. Raises what `train_round` raises.
    """
    return prepare(store, dataset, step, access).input_digest


def prepare(store: Store, dataset: NegativeDataset, step: stages.Step, access: Access) -> Task:
    """Read the values of the earlier stages, and make the configuration of the round.

    Raises `InvalidInput` if the round cannot train.
    """
    training = dataset.spec.training
    if training is None:
        raise InvalidInput("spec.training: expected training, the manifest has none")
    records, positives = load(store, names.RECORDS, Records), load(store, names.POSITIVES, Positives)
    copies = _copies(store)
    mining, before = _before(store, step, training)
    chosen = mix.choose(step.arm, positives, records, mining)
    _require_held_out(positives, records)
    own_steps = stages.total_steps(step.round, training) - (before.total_steps if before else 0)
    patched = config.patch_steps(config.patch_data(config.prepare(training, access), _data(store, positives, chosen, training)), own_steps)
    parts = _deciding(training, patched, chosen)
    return Task(
        number=step.round,
        arm=step.arm,
        training=training,
        records=records,
        positives=positives,
        copies=copies,
        before=before,
        chosen=chosen,
        config=patched,
        input_digest=digest(
            parts,
            chosen.hard,
            records.input_digest,
            positives.input_digest,
            copies.input_digest,
            mining.input_digest if mining else "",
            before.input_digest if before else "",
        ),
        max_failed_percent=dataset.spec.download.max_failed_percent,
    )


def _require_held_out(positives: Positives, records: Records) -> None:
    if not positives.files.get(names.HELD_OUT) or not records.files.get(names.HELD_OUT):
        raise InvalidInput(
            "spec.training.heldOutPercent: expected held-out positives and held-out negatives, found none of one kind; raise spec.training.heldOutPercent, "
            "spec.positives.heldOutPercent or spec.selection.count"
        )


def _data(store: Store, positives: Positives, chosen: mix.Mix, training: Training) -> config.Data:
    """Return the files of the round, as its configuration names them."""
    return config.Data(
        classes=positives.classes,
        label_map=store.location(positives.label_map),
        train=mix.weighted(chosen, training.negative_percent, store),
        held_out=tuple(store.location(key) for key in positives.files.get(names.HELD_OUT, ())),
        most_boxes=positives.most_boxes,
    )


def _copies(store: Store) -> Copies:
    """Return the held-out copies to exclude.

    Revisions that an early version of negset made have no such value.
    """
    copies = find(store, names.COPIES, Copies)
    if copies is None:
        log.warning("%s does not exist, so no held-out image is excluded as a copy of a training image", store.location(names.COPIES))
        return Copies(input_digest="")
    return copies


def _before(store: Store, step: stages.Step, training: Training) -> tuple[Mining | None, Round | None]:
    """Return the mining and the round that a round starts from.

    All arms share round 1, so they differ only in what was added after it.
    """
    if step.round == 1 or step.arm == names.NO_NEGATIVES:
        return None, None
    own = step.round > stages.first_round(step.arm, training)
    marker = names.round_marker(step.round - 1, step.arm if own else names.MINED)
    return load(store, names.mining_marker(step.round - 1), Mining), load(store, marker, Round)


def _deciding(training: Training, patched: Any, chosen: mix.Mix) -> list[Any]:
    """Return the parts of the spec that decide the result.

    The locations of files, the number of pods, and how often checkpoints are saved are excluded.
    """
    classes = tuple(str(index) for index in range(families.model(patched).num_classes))
    portable = config.patch_data(patched, config.Data(classes=classes, label_map="", train=(), held_out=()))
    negatives = chosen.negative_percent(training.negative_percent)
    mixed = ["mixedPrecision"] if training.mixed_precision else []
    return [config.render(portable).decode(), training.seed, negatives, training.recall_percent, training.fine_tune_checkpoint, *mixed]
