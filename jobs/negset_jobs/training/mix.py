"""Which files go into a round, in which proportion, and where they lie on this machine.

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
"""How much of the negatives' places the added ones have at most: the others keep the model from
forgetting what it knows.
"""

_HARD_WEIGHT: Final = 8
"""How many times as often as another negative an added one is fed at most.

Were half of the places always theirs, a single hard negative among thousands would fill them.
"""


class Mix(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a round trains on: keys in the store or paths.

    `negatives` and `hard` may be empty; `images` counts the different negatives in them.

    `hard` is what was added after round 1: the hard negatives or, for the arm that compares, as
    many random ones. They have `hard_percent` of the negatives' places.
    """

    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    hard: tuple[str, ...] = ()
    hard_percent: int = 0
    images: int = 0

    def negative_percent(self, wanted: int) -> int:
        """Return the percentage of negatives among the images fed: `wanted`, or 0 without negatives."""
        return wanted if self.negatives else 0


def choose(arm: str, positives: Positives, records: Records, mining: Mining | None) -> Mix:
    """What a round of the arm trains on; `mining` is that after the round before, where there is
    one. Raises `InvalidInput` where a set is empty.

    A file without records would stop the training for ever, so shards that stored nothing have no
    file, and an empty set is refused here.
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
    """The percentage of the negatives' places that the added ones have: each is fed `_HARD_WEIGHT`
    times as often as one of the others, up to `MOST_HARD_PERCENT` for all of them.
    """
    return max(1, min(MOST_HARD_PERCENT, 100 * _HARD_WEIGHT * added // (_HARD_WEIGHT * added + others)))


def pattern(negative_percent: int, *, hard_percent: int) -> tuple[int, ...]:
    """The kinds of the images in the order in which they are fed, to be repeated for ever.

    The negatives are spread as evenly as whole images can be (slot j is a negative where the
    integer part of j * percent / 100 steps up), so a batch of n holds its share of n, rounded down
    or up. Drawing each image by chance instead leaves, at 10 percent and batches of 8, 43 of 100
    batches (0.9^8) without any negative. In the same way the added negatives are spread over the
    negatives' places.
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
    """Whether the next multiple of 100 / `percent` lies in this place."""
    return ((index + 1) * percent) // 100 > (index * percent) // 100


def weighted(mix: Mix, negative_percent: int, store: Store) -> tuple[InputFile, ...]:
    """The files with the weights that give the same shares on average in the Object Detection API's
    own reader.
    """
    share = mix.negative_percent(negative_percent)
    hard = share * mix.hard_percent / 100 if mix.hard else 0.0
    groups = ((mix.positives, 100.0 - share), (mix.negatives, share - hard), (mix.hard, hard))
    return tuple(InputFile(path=store.location(key), weight=weight / len(keys)) for keys, weight in groups for key in keys)


def materialise(store: Store, mix: Mix, folder: str) -> Mix:
    """The same files as local paths.

    They are downloaded below `folder`, since TensorFlow reads few stores besides local files; those
    of a local store are used in place.
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
