"""The files of a round: which ones, in which proportion, and where they are on this machine.

Imports no TensorFlow.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.values import Mining, Positives, Records
from negset_jobs.adapters.store import Store
from negset_jobs.training.config import InputFile

_DOWNLOADS: Final = 8
POSITIVE, NEGATIVE, HARD = 0, 1, 2
MOST_HARD_PERCENT: Final = 50
"""The added negatives have at most this percentage of the negatives' slots.

The others keep the model from forgetting.
"""

_HARD_WEIGHT: Final = 8
"""An added negative is fed at most this many times as often as another negative.

If the added ones always had half of the slots, one hard negative among thousands would fill them.
"""


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a round trains on: keys in the store, or local paths.

    `negatives` and `hard` may be empty. `images` counts the distinct negatives in them.

    `hard` is what was added after round 1: the hard negatives, or as many random ones for the arm
    `RandomNegatives`. They have `hard_percent` of the negatives' slots.
    """

    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    hard: tuple[str, ...] = ()
    hard_percent: int = 0
    images: int = 0

    def negative_percent(self, wanted: int) -> int:
        """Return the percentage of negatives among the images fed: `wanted`, or 0 without any."""
        return wanted if self.negatives else 0


def choose(arm: str, positives: Positives, records: Records, mining: Mining | None) -> Mix:
    """Return the files that a round of the arm trains on.

    `mining` is the mining after the previous round, or None. Raises `InvalidInput` if a set is
    empty: a file without records would stop the training for ever. (A shard that stored nothing has
    no file.)
    """
    objects = positives.files.get(names.TRAIN, ())
    if not objects:
        raise InvalidInput("spec.positives: expected images to train on, found none that could be used")
    if arm == names.NO_NEGATIVES:
        return Mix(positives=objects)
    negatives = records.files.get(names.TRAIN, ()) if mining is None else mining.negatives
    added = () if mining is None else mining.random if arm == names.RANDOM_NEGATIVES else mining.hard
    if not negatives and not added:
        raise InvalidInput(
            "spec.selection: expected negatives to train on, found none: all of them are held out, failed or are up for review; raise selection.count"
        )
    return Mix(
        positives=objects,
        negatives=negatives or added,
        hard=added if negatives else (),
        hard_percent=hard_percent(mining.negative_images, mining.hard_images) if mining is not None and negatives and added else 0,
        images=records.images.get(names.TRAIN, 0) if mining is None else mining.different_images,
    )


def hard_percent(others: int, added: int) -> int:
    """Return the percentage of the negatives' slots that the added negatives have.

    Each is fed `_HARD_WEIGHT` times as often as another negative, up to `MOST_HARD_PERCENT` for all
    of them.
    """
    return max(1, min(MOST_HARD_PERCENT, 100 * _HARD_WEIGHT * added // (_HARD_WEIGHT * added + others)))


def pattern(negative_percent: int, *, hard_percent: int) -> tuple[int, ...]:
    """Return the order in which the kinds of images are fed, to be repeated for ever.

    Negatives are spread as evenly as whole images can be. Slot j is a negative if the integer part
    of j * percent / 100 steps up. So a batch of n holds its share of n, rounded down or up. If each
    image was drawn by chance instead, 43 of 100 batches of 8 (0.9^8) would have no negative at 10
    percent. The added negatives are spread over the negatives' slots in the same way.
    """
    kinds, seen = [], 0
    for slot in range(_PATTERN):
        if not _steps_up(slot, negative_percent):
            kinds.append(POSITIVE)
            continue
        kinds.append(HARD if _steps_up(seen, hard_percent) else NEGATIVE)
        seen += 1
    return tuple(kinds)


_PATTERN: Final = 10_000  # after as many slots both shares, in whole percent, are exact


def _steps_up(index: int, percent: int) -> bool:
    """Return True if the next multiple of 100 / `percent` is at this index."""
    return ((index + 1) * percent) // 100 > (index * percent) // 100


def weighted(mix: Mix, negative_percent: int, store: Store) -> tuple[InputFile, ...]:
    """Return the files with their weights in the Object Detection API's own reader.

    With these weights, the reader gives the same shares on average.
    """
    share = mix.negative_percent(negative_percent)
    hard = share * mix.hard_percent / 100 if mix.hard else 0.0
    groups = ((mix.positives, 100.0 - share), (mix.negatives, share - hard), (mix.hard, hard))
    return tuple(InputFile(path=store.location(key), weight=weight / len(keys)) for keys, weight in groups for key in keys)


def materialise(store: Store, mix: Mix, folder: str) -> Mix:
    """Download what is not local. Return the same files as local paths.

    Files of a local store are used in place. Others are downloaded below `folder`, because
    TensorFlow reads few stores besides local files.
    """
    return Mix(
        positives=_local(store, mix.positives, folder),
        negatives=_local(store, mix.negatives, folder),
        hard=_local(store, mix.hard, folder),
        hard_percent=mix.hard_percent,
        images=mix.images,
    )


def _local(store: Store, keys: Sequence[str], folder: str) -> tuple[str, ...]:
    if store.local_root is not None:
        return tuple(store.location(key) for key in keys)

    def download(key: str) -> str:
        target = os.path.join(folder, *posixpath.normpath(key).split("/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        store.get(key, target)
        return target

    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        return tuple(pool.map(download, keys))
