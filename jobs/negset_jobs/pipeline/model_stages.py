"""Training and mining, and the checks of their configuration."""

from __future__ import annotations

from negset_api import names, stages
from negset_api.values import Mining, Round
from negset_jobs.adapters.progress import Progress
from negset_jobs.formats.stored import find
from negset_jobs.pipeline.reuse import reuse
from negset_jobs.pipeline.revision import Revision


def check(revision: Revision) -> None:
    """Check that the configuration can train, before the first download. Takes a moment.

    Raises `InvalidInput`.
    """
    if revision.dataset.spec.training is not None:
        from negset_jobs.training.config import check

        check(revision.dataset.spec, revision.access)


def needs_api_check(revision: Revision) -> bool:
    """Return True if the configuration or the initial checkpoint is the user's own.

    Such a configuration must be checked with the Object Detection API.
    """
    training = revision.dataset.spec.training
    return training is not None and (training.pipeline_config.preset is None or bool(training.fine_tune_checkpoint))


def check_with_api(revision: Revision) -> None:
    """Check the configuration with the Object Detection API. Raises `InvalidInput`.

    Imports TensorFlow, so it needs a process of its own.
    """
    if needs_api_check(revision):
        from negset_jobs.training.check import check

        spec = revision.dataset.spec
        assert spec.training is not None
        check(spec.training, revision.access, (spec.positives and spec.positives.classes) or spec.exclude_classes)


def train(revision: Revision, step: stages.Step, progress: Progress) -> Round:
    """Run one training round. Imports TensorFlow, so it needs a process of its own."""
    from negset_jobs.training.stage import train_round

    existing = trained(revision, step)
    return existing if existing is not None else train_round(revision.store, revision.dataset, step, revision.access, progress)


def trained(revision: Revision, step: stages.Step) -> Round | None:
    """Return the round if it is done, here or, from the same inputs, in another revision.

    Does not import TensorFlow.
    """
    from negset_jobs.training.task import round_input_digest

    existing = find(revision.store, step.marker, Round)
    if existing is not None or not revision.siblings:
        return existing
    training = revision.dataset.spec.training
    exported = training is not None and stages.is_exported(step.round, step.arm, training)
    input_digest = round_input_digest(revision.store, revision.dataset, step, revision.access)
    # With fewer rounds, a former intermediate round is now the last one. Its model was not exported
    # then.
    return reuse(
        revision,
        step.marker,
        input_digest,
        Round,
        files=[name(step.round, step.arm) for name in (names.round_config, names.round_detections)],
        folders=[name(step.round, step.arm) for name in (names.round_checkpoints, names.round_events, names.round_saved_model)],
        usable=lambda found: bool(found.saved_model) or not exported,
    )


def mine(revision: Revision, number: int, progress: Progress) -> Mining:
    """Score the negatives with the model of a round."""
    from negset_jobs.mining.stage import mine_round

    existing = mined(revision, number)
    return existing if existing is not None else mine_round(revision.store, revision.dataset, number, progress)


def mined(revision: Revision, number: int) -> Mining | None:
    """Return the mining after a round if it is done, here or in another revision.

    The other revision must have made it from the same inputs.
    """
    from negset_jobs.mining.stage import mining_input_digest

    marker = names.mining_marker(number)
    existing = find(revision.store, marker, Mining)
    if existing is not None or not revision.siblings:
        return existing
    return reuse(
        revision,
        marker,
        mining_input_digest(revision.store, revision.dataset, number),
        Mining,
        files=(names.mining_scores(number),),
        folders=(names.mining_hard(number), names.mining_random(number), names.mining_negatives(number)),
    )
