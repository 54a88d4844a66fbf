"""Positives that are copies of one original, as their stored bytes and pixels show.

Only stored images show that. So positives are stored once with the split that their names suggest.
If copies are found, the split is decided again, and the shards that change are written again from
the stored records. `positives/copies.json` remembers what was found, and among which images. A
later run that stores more of them searches again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from negset_api import names
from negset_api.values import Outcome, PlannedImage, ShardPlan, ShardResult, Value, digest
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.copies import compare
from negset_jobs.download.record import CachedRecord
from negset_jobs.download.shard_cache import read_committed
from negset_jobs.download.shard_maker import ShardMaker
from negset_jobs.formats.pictures import Groups
from negset_jobs.positives.merging import merged_plans

log = logging.getLogger(__name__)


class FoundCopies(Value, frozen=True, kw_only=True):
    """The copies among the positives.

    `exact` has the ids of images with the same bytes, a list for each image. `near` has pairs of
    images that show the same, but were saved again, resized, mirrored, cropped or brightened.
    `searched` is the `stored_digest` of the images that were compared.
    """

    exact: tuple[tuple[str, ...], ...] = ()
    near: tuple[tuple[str, str], ...] = ()
    searched: str = ""


def stored_digest(results: Sequence[ShardResult]) -> str:
    """Return the digest of the stored images. Those with the same bytes count once."""
    return digest(sorted(_by_bytes(results)))


def was_searched(results: Sequence[ShardResult], known: FoundCopies) -> bool:
    """Return True if `known` has all copies among these images.

    A later run may store an image with the bytes of one that was compared. Then it is a new copy,
    although the digest is the same.
    """
    group_of = {key: group for group, ids in enumerate(known.exact) for key in ids}
    same_bytes = _by_bytes(results).values()
    return known.searched == stored_digest(results) and all(len({group_of.get(key, key) for key in ids}) == 1 for ids in same_bytes)


def _by_bytes(results: Sequence[ShardResult]) -> dict[str, list[str]]:
    """Return the ids of the stored images by the digest of their bytes, each once and in order."""
    found: dict[str, dict[str, None]] = {}
    for ended in (ended for result in results for ended in result.results):
        if ended.outcome is Outcome.STORED:
            found.setdefault(ended.sha256, {})[str(ended.image_id)] = None
    return {sha256: list(ids) for sha256, ids in found.items()}


def find_copies(store: Store, results: Sequence[ShardResult], known: FoundCopies, *, workers: int, progress: Progress) -> FoundCopies:
    """Return the copies among the stored images of these shards, and those that are known.

    Copies with the same bytes that are known are one stored image already.
    """
    files = tuple(compare.File(result.file, True, result.split == names.HELD_OUT) for result in results if result.file)
    compare.make_fingerprints(store, files, workers=workers, progress=progress)
    exact = _together([*known.exact, *(ids for ids in _by_bytes(results).values() if len(ids) > 1)])
    same = {key: ids[0] for ids in exact for key in ids}
    pairs = {*known.near, *compare.alike(store, compare.side(store, files))}
    near = {(min(pair), max(pair)) for pair in pairs if same.get(pair[0], pair[0]) != same.get(pair[1], pair[1])}
    found = FoundCopies(exact=exact, near=tuple(sorted(near)), searched=stored_digest(results))
    if exact or near:
        log.warning(
            "the positives have copies of one image: %d with the same bytes and %d pairs that look the same; each is on one side of the split. %s lists them",
            sum(map(len, exact)),
            len(near),
            names.POSITIVE_COPIES,
        )
    return found


def with_copies(families: Mapping[str, str], found: FoundCopies) -> dict[str, str]:
    """Return the families of the images, after those of copies were joined.

    Frames of a slow video are near copies, each of the next. If that makes one family of all
    images, only exact copies are joined: there would be nothing to measure with.
    """
    joined = _joined(families, (*found.exact, *found.near))
    if len(set(joined.values())) > 1 or not found.near:
        return joined
    log.warning(
        "all positives look like each other, as frames of one video do; they are on both sides of the split all the same, so the recall is measured on images that look like training images"
    )
    return _joined(families, found.exact)


def _together(groups_of_copies: Sequence[Iterable[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the groups, after those with a common member were joined."""
    groups = [tuple(copies) for copies in groups_of_copies]
    members: dict[str, list[str]] = {}
    for key, first in _joined({key: key for copies in groups for key in copies}, groups).items():
        members.setdefault(first, []).append(key)
    return tuple(map(tuple, members.values()))


def _joined(families: Mapping[str, str], groups_of_copies: Iterable[Sequence[str]]) -> dict[str, str]:
    keys = list(families)
    places = {key: place for place, key in enumerate(keys)}
    groups = Groups(len(keys))
    groups.join_equal(families[key] for key in keys)
    for copies in groups_of_copies:
        known = [places[key] for key in copies if key in places]
        for other in known[1:]:
            groups.join(known[0], other)
    return {key: families[keys[groups.of(place)]] for key, place in places.items()}


def without_copies(images: Iterable[PlannedImage], found: FoundCopies) -> list[PlannedImage]:
    """Return the images; those with the same bytes as one image with the objects of all."""
    first = {key: copies[0] for copies in found.exact for key in copies}
    entries: dict[str, list[PlannedImage]] = {}
    for image in images:
        key = str(image.image_id)
        entries.setdefault(first.get(key, key), []).append(image)
    return [merged_plans(members) for members in entries.values()]


def write_again(maker: ShardMaker, plans: Sequence[ShardPlan]) -> None:
    """Write the shards that differ from what an earlier run stored, from the stored records.

    They differ if copies were found, the annotations changed, or another version of negset ran. An
    image whose record changes is downloaded again. Markers of shards that are no longer planned are
    removed. Shards that have nothing in common with what is stored are not written.
    """
    committed = read_committed(maker.store, maker.folder)
    records = {
        ended.input_digest: CachedRecord(maker.store.url, result.file, ended)
        for _, result in committed.values()
        for ended in result.results
        if ended.outcome is Outcome.STORED
    }
    tasks = []
    for plan in plans:
        wanted = maker.input_digests(plan)
        attempt, stored = committed.get(plan.name, (0, None))
        if stored is None and not any(each in records for each in wanted):
            continue
        if stored is not None and [ended.input_digest for ended in stored.results] == wanted:
            continue
        cached = {index: records[each] for index, each in enumerate(wanted) if each in records}
        tasks.append(maker.task(plan, cached, attempt=attempt + 1))
    maker.make_again(tasks)
    forget_others(maker.store, {plan.name for plan in plans})


def forget_others(store: Store, planned: set[str]) -> None:
    """Remove the markers of shards that are not planned."""
    keys = store.keys(f"{names.SHARDS_FOLDER}/{names.POSITIVES_FOLDER}")
    store.remove([key for key in keys if names.shard_of_marker(key)[0] not in planned])
