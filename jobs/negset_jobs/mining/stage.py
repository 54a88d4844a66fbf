"""Records and a trained round → what the next round trains on."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from typing import Final

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset, Training
from negset_api.values import Mining, Positives, Records, Round, ScoredImage, decode, digest, encode
from negset_jobs.mining.decide import Decision, decide
from negset_jobs.mining.scoring import ShardScorer
from negset_jobs.mining.tables import score_table
from negset_jobs.mining.write import write_hard, write_without
from negset_jobs.progress import Progress
from negset_jobs.store import Store

log = logging.getLogger(__name__)

Scored = dict[str, tuple[ScoredImage, ...]]
"""Shard key → its pictures."""

SHOWN: Final = 48
"""How many of the hardest negatives the value itself names, for the report; all of them are in the table of scores."""


def mine_round(store: Store, dataset: NegativeDataset, number: int, progress: Progress) -> Mining:
    """Scores every training negative with the model of round `number` and writes what round `number + 1` trains on. Needs an open Ray session.

    Files: the hard negatives' records, every shard with a picture under review once more without it, and a table of all scores; the marker last.
    """
    training = dataset.spec.training
    if training is None:
        raise InvalidInput("spec.training: expected training, since only a trained model can be mined with; got none")
    records = decode(store.read(names.RECORDS), Records)
    trained = decode(store.read(names.round_marker(number)), Round)
    scored = _score(store, dataset, trained, records, progress)
    decision = decide(
        [image for images in scored.values() for image in images],
        threshold=trained.measurement.threshold,
        hard_percent=training.hard_negative_mining.hard_percent,
        review_above_percent=training.hard_negative_mining.review_above_percent,
        carried=_earlier_review(store, number),
    )
    value = _commit(store, _write(store, trained, training, scored, decision))
    _log(value)
    return value


def mining_inputs(store: Store, dataset: NegativeDataset, number: int) -> str:
    """The digest of everything that decides what the mining after round `number` gives. Needs the values before it."""
    assert dataset.spec.training is not None
    trained = decode(store.read(names.round_marker(number)), Round)
    shards = decode(store.read(names.RECORDS), Records).files.get(names.TRAIN, ())
    return _inputs(trained, shards, dataset.spec.training)


def _inputs(trained: Round, shards: tuple[str, ...], training: Training) -> str:
    mining = training.hard_negative_mining
    return digest(trained.inputs, shards, mining.hard_percent, mining.review_above_percent, training.workers)


def _earlier_review(store: Store, number: int) -> tuple[ScoredImage, ...]:
    """What the mining before this one put under review."""
    if number <= 1:
        return ()
    return decode(store.read(names.mining_marker(number - 1)), Mining).review


def _score(store: Store, dataset: NegativeDataset, trained: Round, records: Records, progress: Progress) -> Scored:
    """Every training negative, scored, by shard in the order of the shards."""
    from negset_jobs import on_ray

    shards = records.files.get(names.TRAIN, ())
    progress.start(f"Scoring negatives, round {trained.number}", records.images.get(names.TRAIN, 0), "images")
    make_worker = functools.partial(ShardScorer, store, trained, decode(store.read(names.POSITIVES), Positives).classes)
    found: Scored = {}
    for result in on_ray.map_with_actors(make_worker, shards, workers=max(1, min(dataset.spec.ray.workers, len(shards)))):
        found[result.key] = result.images
        progress.advance(len(result.images))
    progress.finish()
    return {shard: found[shard] for shard in shards}


def _write(store: Store, trained: Round, training: Training, scored: Scored, decision: Decision) -> Mining:
    """Every file of the mining but the marker."""
    hard = write_hard(store, by_shard(scored, decision.hard), folder=names.mining_hard(trained.number), at_least=training.workers)
    negatives = write_without(store, tuple(scored), by_shard(scored, decision.review), folder=names.mining_negatives(trained.number))
    images = [image for shard in scored.values() for image in shard]
    scores = names.mining_scores(trained.number)
    store.write(scores, score_table(images, decision, trained.measurement.threshold))
    return Mining(
        number=trained.number,
        inputs=_inputs(trained, tuple(scored), training),
        threshold=trained.measurement.threshold,
        scored=len(images),
        fooled=decision.fooled,
        hard=hard,
        hard_images=len(decision.hard),
        negatives=negatives,
        review=decision.review,
        scores=scores,
        review_declined=decision.review_declined,
        hardest=decision.hard[:SHOWN],
    )


def by_shard(scored: Scored, images: Iterable[ScoredImage]) -> dict[str, frozenset[str]]:
    """The ids of the given pictures by the shard that holds them, in the order of the shards; shards that hold none are left out."""
    wanted = {image.image_id for image in images}
    grouped = {shard: frozenset(image.image_id for image in held if image.image_id in wanted) for shard, held in scored.items()}
    return {shard: ids for shard, ids in grouped.items() if ids}


def _commit(store: Store, value: Mining) -> Mining:
    """Names the files for good. Where another attempt was first, its value counts and the files that only this one wrote go away."""
    marker = names.mining_marker(value.number)
    if store.create(marker, encode(value)):
        return value
    winner = decode(store.read(marker), Mining)
    prefix = f"{names.round_folder(value.number)}/"
    ours = {key for key in (*value.hard, *value.negatives) if key.startswith(prefix)}
    store.remove(sorted(ours - {*winner.hard, *winner.negatives}))
    return winner


def _log(value: Mining) -> None:
    log.info(
        "round %d: %d of %d negatives fool the model, %d are hard, %d are for review",
        value.number,
        value.fooled,
        value.scored,
        value.hard_images,
        len(value.review),
    )
    if value.review_declined:
        log.warning(
            "round %d: the model is sure of an object in %d of the %d negatives it was trained on; so many are hardly mislabelled, it needs more steps, and none is put under review for it",
            value.number,
            value.review_declined,
            value.scored,
        )
