"""A mining as a stage: from the records and a trained round to the next round's training set."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec
from msgspec import MsgspecError

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDataset, Training
from negset_api.values import Mining, Positives, Records, Round, ScoredImage, decode, digest, encode
from negset_jobs.adapters import work
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.formats.stored import commit, load
from negset_jobs.mining.decide import Decision, Rules, decide
from negset_jobs.mining.draw import draw
from negset_jobs.mining.shard_scoring import NAMED, ShardScorer, ShardScores
from negset_jobs.mining.tables import score_table
from negset_jobs.mining.write import ids_in, write_added, write_without
from negset_jobs.training import failures

log = logging.getLogger(__name__)

Scored = dict[str, tuple[ScoredImage, ...]]
"""The images of each shard, by the shard's key."""

SHOWN: Final = 48
"""The number of hardest negatives in the value itself, for the report.

The table of scores has all of them.
"""


class _Task(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs that decide a mining.

    `earlier` is the previous mining. `input_digest` is the digest of all inputs.
    """

    number: int
    dataset: NegativeDataset
    training: Training
    records: Records
    trained: Round
    earlier: Mining | None
    input_digest: str

    @property
    def shards(self) -> tuple[str, ...]:
        """Every shard to score: those of the pool, and those trained on."""
        return (*self.records.files.get(names.POOL, ()), *self.records.files.get(names.TRAIN, ()))

    @property
    def has_pool(self) -> bool:
        return bool(self.records.files.get(names.POOL))

    @property
    def rules(self) -> Rules:
        mining = self.training.hard_negative_mining
        return Rules(
            threshold=self.trained.measurement.threshold,
            hard_percent=mining.hard_percent,
            review_above_percent=mining.review_above_percent,
            confirmed=frozenset(mining.confirmed_negatives),
        )


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """The result of the scores.

    It has the images of the pool, the images trained on, and the decision. It also has the ids that
    the next round adds to the negatives of round 1.
    """

    pool: list[ScoredImage]
    trained_on: list[ScoredImage]
    decision: Decision
    hard: frozenset[str]
    random: frozenset[str]


@failures.translated()
def mine_round(store: Store, dataset: NegativeDataset, number: int, progress: Progress) -> Mining:
    """Score every training negative with the model of round `number`, and write the next files.

    It writes the records of all hard negatives so far, and of as many random ones if the spec
    compares with them. Every shard that has an image under review is copied without it. A table has
    all scores. The marker is written last. An interrupted mining resumes with the shards that are
    not scored yet.
    """
    task = _prepare(store, dataset, number)
    scores = _score(store, task, progress)
    scored = {shard: held.images for shard, held in scores.items()}
    found = _find(store, task, scored)
    value = _commit(store, _with_unreadable(_write(store, task, scored, found), scores.values()))
    store.remove(store.keys(names.mining_scored_shards(number)))
    _log(value)
    return value


def mining_input_digest(store: Store, dataset: NegativeDataset, number: int) -> str:
    """Return the digest of everything that decides the result of the mining after round `number`.

    Needs the values of the earlier stages.
    """
    return _prepare(store, dataset, number).input_digest


def _prepare(store: Store, dataset: NegativeDataset, number: int) -> _Task:
    training = dataset.spec.training
    if training is None:
        raise InvalidInput("spec.training: expected training, because mining needs a trained model; the manifest has none")
    records, trained = load(store, names.RECORDS, Records), load(store, names.round_marker(number), Round)
    earlier = load(store, names.mining_marker(number - 1), Mining) if number > 1 else None
    mining = training.hard_negative_mining
    confirmed, compared = sorted(mining.confirmed_negatives), names.RANDOM_NEGATIVES in training.comparisons
    input_digest = digest(
        trained.input_digest,
        records.input_digest,
        earlier.input_digest if earlier else "",
        [mining.hard_percent, mining.review_above_percent, confirmed, compared, training.workers, dataset.spec.selection.seed],
    )
    return _Task(
        number=number, dataset=dataset, training=training, records=records, trained=trained, earlier=earlier, input_digest=input_digest
    )


def _score(store: Store, task: _Task, progress: Progress) -> dict[str, ShardScores]:
    """Score every training negative. Return the scores by shard, in the order of the shards."""
    images = sum(task.records.images.get(split, 0) for split in (names.POOL, names.TRAIN))
    progress.start(f"Scoring negatives, round {task.number}", images, "images")
    found = _kept(store, task)
    progress.advance(sum(len(scores.images) for scores in found.values()))
    missing = [shard for shard in task.shards if shard not in found]
    if missing:
        make_worker = functools.partial(ShardScorer, store, task.trained, load(store, names.POSITIVES, Positives).classes)
        workers = min(task.dataset.spec.ray.workers, len(missing))
        gpus = task.training.hard_negative_mining.gpus_per_worker
        for result in work.map_with_actors(make_worker, missing, workers=workers, gpus=gpus):
            found[result.key] = result
            store.write(
                names.mining_shard_scores(task.number, result.key), encode(msgspec.structs.replace(result, input_digest=task.input_digest))
            )
            progress.advance(len(result.images))
    progress.finish()
    return {shard: found[shard] for shard in task.shards}


def _kept(store: Store, task: _Task) -> dict[str, ShardScores]:
    """Return the scores that an interrupted mining of the same inputs has stored, by shard.

    It lists the folder once. So a new mining does not ask the store for missing objects.
    """
    left = frozenset(store.keys(names.mining_scored_shards(task.number)))
    kept: dict[str, ShardScores] = {}
    for shard in task.shards:
        if (key := names.mining_shard_scores(task.number, shard)) in left:
            with contextlib.suppress(MissingObject, MsgspecError):
                scores = decode(store.read(key), ShardScores)
                if scores.input_digest == task.input_digest:
                    kept[shard] = scores
    return kept


def _find(store: Store, task: _Task, scored: Scored) -> _Found:
    before = ids_in(store, task.earlier.hard) if task.earlier else frozenset()
    in_pool = set(task.records.files.get(names.POOL, ()))
    everything = [(image, shard in in_pool) for shard, images in scored.items() for image in images]
    pool = [image for image, waits in everything if waits and image.image_id not in before]
    trained_on = [image for image, waits in everything if not waits or image.image_id in before]
    decision = decide(pool, trained_on, task.rules, carried=task.earlier.review if task.earlier else ())
    under_review = {image.image_id for image in decision.review}
    hard = frozenset(image.image_id for image in decision.hard) | (before - under_review)
    # The arm RandomNegatives draws from the whole pool, because it has not seen the mined images.
    drawn_from = [image.image_id for image, waits in everything if waits or not in_pool]
    compared = names.RANDOM_NEGATIVES in task.training.comparisons
    random = draw(drawn_from, len(hard), seed=task.dataset.spec.selection.seed) if compared else frozenset()
    return _Found(pool=pool, trained_on=trained_on, decision=decision, hard=hard, random=random)


def _write(store: Store, task: _Task, scored: Scored, found: _Found) -> Mining:
    """Write every file of the mining except the marker."""
    number, decision, training = task.number, found.decision, task.training
    first_part = task.records.files.get(names.TRAIN, ())
    review = by_shard(scored, [image.image_id for image in decision.review])
    hard = write_added(store, by_shard(scored, found.hard), folder=names.mining_hard(number), at_least=training.workers)
    random = write_added(store, by_shard(scored, found.random), folder=names.mining_random(number), at_least=training.workers)
    negatives = write_without(store, first_part, review, folder=names.mining_negatives(number))
    scores = names.mining_scores(number)
    store.write(scores, score_table(found.pool, found.trained_on, decision, task.rules.threshold))
    return Mining(
        number=number,
        input_digest=task.input_digest,
        threshold=task.rules.threshold,
        floor=task.rules.floor,
        pool=len(found.pool) if task.has_pool else 0,
        trained_on=len(found.trained_on),
        fooled=decision.fooled,
        hard=hard,
        hard_images=len(found.hard),
        added=len(decision.hard),
        random=random,
        negatives=negatives,
        negative_images=sum(len(scored[shard]) - len(review.get(shard, ())) for shard in first_part),
        review=decision.review,
        scores=scores,
        review_declined=decision.review_declined,
        hardest=decision.hard[:SHOWN],
    )


def _with_unreadable(value: Mining, scores: Collection[ShardScores]) -> Mining:
    """Return the value with the records that could not be scored."""
    examples = tuple(example for shard in scores for example in shard.unreadable_examples)
    return msgspec.structs.replace(value, unreadable=sum(shard.unreadable for shard in scores), unreadable_examples=examples[:NAMED])


def by_shard(scored: Scored, wanted: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the wanted ids by the shard that holds them, in the order of the shards.

    Shards without any of them are absent.
    """
    ids: Collection[str] = frozenset(wanted)
    grouped = {shard: frozenset(image.image_id for image in held if image.image_id in ids) for shard, held in scored.items()}
    return {shard: members for shard, members in grouped.items() if members}


def _commit(store: Store, value: Mining) -> Mining:
    """Commit the value.

    If another attempt was first, its value counts, and the files that only this attempt wrote are
    removed.
    """
    marker = names.mining_marker(value.number)
    winner = commit(store, marker, value)
    prefix = f"{names.round_folder(value.number)}/"
    ours = {key for key in _files(value) if key.startswith(prefix)}
    store.remove(sorted(ours - {*_files(winner)}))
    return winner


def _files(value: Mining) -> Sequence[str]:
    return (*value.hard, *value.random, *value.negatives)


def _log(value: Mining) -> None:
    log.info(
        "round %d: scored %d negatives of the pool and %d training negatives: %d with false positives; added %d hard negatives (%d in total), %d for review",
        value.number,
        value.pool,
        value.trained_on,
        value.fooled,
        value.added,
        value.hard_images,
        len(value.review),
    )
    if value.unreadable:
        named = "; ".join(value.unreadable_examples)
        log.warning("round %d: skipped %d records that cannot be read: %s", value.number, value.unreadable, named)
    if not value.pool:
        log.warning(
            "round %d: there is no pool of negatives that the model was not trained on; hard negatives come from those it was trained on, and few of them are hard; "
            "raise spec.selection.count or lower spec.training.hardNegativeMining.firstRoundPercent",
            value.number,
        )
    if value.review_declined:
        log.warning(
            "round %d: the model finds an object with a high score in %d of the %d negatives it was trained on; no image was put under review, because so many wrong labels are unlikely; train with more steps",
            value.number,
            value.review_declined,
            value.trained_on,
        )
