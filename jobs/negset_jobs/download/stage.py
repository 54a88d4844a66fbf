"""Make the records of a plan: each image becomes a record or a failure with a reason."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.spec import NegativeDataset, NegativeDatasetSpec
from negset_api.values import Outcome, Plan, Records, ShardPlan, ShardResult, digest
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.progress import DOWNLOADING_NEGATIVES, Progress
from negset_jobs.adapters.quoting import quoted_id
from negset_jobs.adapters.store import Store
from negset_jobs.download.manifest import encode_manifest, most_copied
from negset_jobs.download.shard_cache import Committed, ShardCache, failed, failures, read_committed, transient
from negset_jobs.download.shard_maker import ShardMaker
from negset_jobs.formats.stored import commit

log = logging.getLogger(__name__)

_TITLES: Final = {names.RECORDS_FOLDER: DOWNLOADING_NEGATIVES, names.POSITIVES_FOLDER: "Downloading positives"}


def record_stage(  # noqa: PLR0917 - the signature that all stages share
    store: Store,
    plan: Plan,
    dataset: NegativeDataset,
    access: Access,
    siblings: Sequence[Store],
    progress: Progress,
    earlier: Records | None = None,
) -> Records:
    """Download the planned negatives. Write records/, manifest.parquet and, last, the marker.

    If more than `maxFailedPercent` failed, raise as `check_budget` does. Then manifest.parquet is
    written, so that users see the failures, and the marker is not. Stored records are kept. The
    next run requests the failed images again.

    `earlier` is the value of an earlier run, if it is not the last word (`may_improve`). If this
    run changes it, the markers of all later stages are removed first, and then its own.
    """
    spec = dataset.spec
    maker = ShardMaker(store, names.RECORDS_FOLDER, spec=spec, access=access, label_ids={}, progress=progress)
    results = _without_positives(maker, plan.shards, run_shards(maker, plan.shards, siblings))
    records = _summary(plan, results)
    if records != earlier:
        if earlier is not None:
            withdraw(store, names.RECORDS)
        store.write(names.MANIFEST, encode_manifest(plan.shards, results))
        tidy(store, names.RECORDS_FOLDER, results)
    check_budget(results, spec, "spec.download.maxFailedPercent")
    _tell_copies(plan, results)
    if number := sum(len(transient(result)) for result in results):
        log.warning("%d images could not be stored because of transient errors; another run requests them again", number)
    return commit(store, names.RECORDS, records)


def _without_positives(maker: ShardMaker, shards: Sequence[ShardPlan], committed: Sequence[Committed]) -> list[ShardResult]:
    """Leave out the negatives whose bytes are those of a stored positive: they show a class.

    The annotations of the source lack the objects that those of the positives have.
    """
    positives = read_committed(maker.store, names.POSITIVES_FOLDER).values() if maker.spec.positives is not None else ()
    found = _positives_among((result for _, result in committed), (result for _, result in positives))
    results = [result for _, result in committed]
    if not found:
        return results
    log.warning(
        "%d planned images are positives, too, so they show a class that is trained; they are left out and counted as %s",
        sum(map(len, found.values())),
        Outcome.IS_POSITIVE,
    )
    made = maker.make(
        [maker.task_without(shard, each, found[shard.name]) for shard, each in zip(shards, committed, strict=True) if shard.name in found]
    )
    return [made[result.name].result if result.name in made else result for result in results]


def _positives_among(results: Iterable[ShardResult], positives: Iterable[ShardResult]) -> dict[str, tuple[int, ...]]:
    """Return the positions in each shard, by its name, of images with the bytes of a positive."""
    known = {image.sha256 for result in positives for image in result.results if image.outcome is Outcome.STORED}
    return {
        result.name: positions
        for result in results
        if (positions := tuple(index for index, image in enumerate(result.results) if image.sha256 and image.sha256 in known))
    }


def _tell_copies(plan: Plan, results: Sequence[ShardResult]) -> None:
    """Warn if a server seems to send one image in place of all that it no longer has."""
    if (copied := most_copied(plan.shards, results)) is not None:
        log.warning(
            "%d stored images have the same bytes (the first is image %s); if the server sends an image in place of those that it no longer "
            "has, they are not the planned images; copy_of in manifest.parquet lists them",
            *(copied.images, quoted_id(copied.image_id)),
        )


def may_improve(outcomes: Mapping[str, int], spec: NegativeDatasetSpec) -> bool:
    """Return True if a stage that is done must request its failed images again.

    That is so if a failure was transient, or if the spec now allows fewer failures.
    """
    counted = Counter({Outcome(name): count for name, count in outcomes.items()})
    return any(outcome.transient for outcome in counted) or _exceeds(_failed_images(counted), counted.total(), spec)


def withdraw(store: Store, marker: str) -> None:
    """Remove the markers of all stages that read the data, the last first, and then `marker`.

    A stage without its marker is not done, so it is made again from the new data.
    """
    for key in (names.REPORT, names.COPIES, *([names.LABELS] if marker == names.RECORDS else []), marker):
        store.remove([key])


def withdraw_positives(store: Store, positives: Iterable[ShardResult]) -> None:
    """Remove the markers of all stages that read the positives, and then theirs.

    If one of them is a stored negative, the stage of the negatives is made again, without it. Its
    files in the labels are removed, because some tools train on all files of a folder.
    """
    negatives = (result for _, result in read_committed(store, names.RECORDS_FOLDER).values())
    if _positives_among(negatives, positives):
        withdraw(store, names.RECORDS)
        store.remove(store.keys(names.LABELS_FOLDER))
    withdraw(store, names.POSITIVES)


def _summary(plan: Plan, results: Sequence[ShardResult]) -> Records:
    outcomes = count_outcomes(results)
    return Records(
        input_digest=digest([result.input_digest for result in results]),
        planned=plan.planned,
        stored=outcomes[Outcome.STORED],
        bytes=sum(result.bytes for result in results),
        outcomes={outcome.value: outcomes[outcome] for outcome in Outcome if outcomes[outcome]},
        files=_by_split((result.split, result.file) for result in results if result.file),
        images={split: len(kept) for split, kept in _by_split(_stored(results)).items()},
        manifest=names.MANIFEST,
    )


def run_shards(maker: ShardMaker, shards: Sequence[ShardPlan], siblings: Sequence[Store]) -> list[Committed]:
    """Return the shards as they are committed, in plan order.

    Committed shards are kept, shards of other revisions are copied, and the rest is made now.

    Images whose failure in an earlier run was transient are requested again. If more images failed
    than `maxFailedPercent` allows, those with a permanent failure are, too: the user may have added
    the missing file since. Stored records of the shard are kept.
    """
    earlier = read_committed(maker.store, maker.folder)
    committed = {shard.name: earlier[shard.name] for shard in shards if shard.name in earlier}
    planned = sum(len(shard.images) for shard in shards)
    maker.progress.start(_TITLES.get(maker.folder, "Downloading"), planned, "images")
    positions = failed if _too_many((result for _, result in committed.values()), planned, maker.spec) else transient
    requested = {name: positions(result) for name, (_, result) in committed.items()}
    for name, (_, result) in committed.items():
        maker.progress.advance(len(result.results) - len(requested[name]), failed=failures(result) - len(requested[name]))
    tasks = [maker.task_again(shard, committed[shard.name], requested[shard.name]) for shard in shards if requested.get(shard.name)]
    missing = [shard for shard in shards if shard.name not in committed]
    if missing:
        cache = ShardCache.of(siblings, maker.folder)
        input_digests = {shard.name: maker.input_digests(shard) for shard in missing}
        copied = maker.copy(
            [(shard, identical) for shard in missing if (identical := cache.identical_shard(input_digests[shard.name])) is not None]
        )
        committed |= copied
        tasks += [maker.task(shard, cache.cached_records(input_digests[shard.name])) for shard in missing if shard.name not in copied]
    committed |= maker.make(tasks)
    maker.progress.finish()
    return [committed[shard.name] for shard in shards]


def tidy(store: Store, folder: str, results: Iterable[ShardResult]) -> None:
    """Remove the files that no marker names. Call it only when every shard is committed.

    They are files of attempts that lost a race, were superseded or were killed.
    """
    wanted = {result.file for result in results}
    store.remove([key for key in store.keys(folder) if key.endswith(".tfrecord") and key not in wanted])
    store.sweep(folder)


def count_outcomes(results: Iterable[ShardResult]) -> Counter[Outcome]:
    return Counter(image.outcome for result in results for image in result.results)


def check_budget(results: Sequence[ShardResult], spec: NegativeDatasetSpec, field: str) -> None:
    """Raise if more images failed than `maxFailedPercent` allows, or all of them.

    Raises `InvalidInput` if permanent failures alone exceed the budget; `WorkFailed` if a retry may
    help. The message has the counts and the three most common reasons.
    """
    outcomes = count_outcomes(results)
    planned, stored, unstored = outcomes.total(), outcomes[Outcome.STORED], _failed_images(outcomes)
    if stored and not _exceeds(unstored, planned, spec):
        return
    if 0 < planned == outcomes[Outcome.IS_POSITIVE]:
        raise InvalidInput(
            f"spec.source: expected images that are no positives, but each of the {planned} planned images has the bytes of one: they show a class that is "
            "trained, although the source's annotations do not say so; complete these annotations, or give other images"
        )
    transient = sum(count for outcome, count in outcomes.items() if outcome.transient)
    permanent = stored + transient == 0 or _exceeds(unstored - transient, planned, spec)
    del outcomes[Outcome.STORED]
    examples = {image.outcome: image for result in reversed(results) for image in reversed(result.results)}
    reasons = "; ".join(
        f"{count} {outcome} (image {examples[outcome].image_id}: {examples[outcome].detail})" for outcome, count in outcomes.most_common(3)
    )
    share = "none of the" if not stored else f"{unstored} of the"
    verb = "could be stored" if not stored else "could not be stored"
    error = InvalidInput if permanent else WorkFailed
    raise error(f"{share} {planned} planned images {verb}, {field} allows {spec.download.max_failed_percent}%: {reasons}")


def _too_many(results: Iterable[ShardResult], planned: int, spec: NegativeDatasetSpec) -> bool:
    """Return True if too many images have failed already, or all of them."""
    outcomes = count_outcomes(results)
    number = _failed_images(outcomes)
    return _exceeds(number, planned, spec) or (planned > 0 and number == planned)


def _failed_images(outcomes: Counter[Outcome]) -> int:
    """Return how many images could not be stored. A positive could be, and must not."""
    return outcomes.total() - outcomes[Outcome.STORED] - outcomes[Outcome.IS_POSITIVE]


def _exceeds(failed: int, planned: int, spec: NegativeDatasetSpec) -> bool:
    return failed * 100 > spec.download.max_failed_percent * planned


def _stored(results: Iterable[ShardResult]) -> Iterable[tuple[str, str]]:
    return ((result.split, str(image.image_id)) for result in results for image in result.results if image.outcome is Outcome.STORED)


def _by_split(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    grouped: dict[str, list[str]] = {}
    for split, value in pairs:
        grouped.setdefault(split, []).append(value)
    return {split: tuple(values) for split, values in grouped.items()}
