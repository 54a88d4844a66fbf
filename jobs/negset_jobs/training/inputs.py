"""Which files go into a round, in which proportion, and where they lie on this machine. Imports no TensorFlow."""

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
from negset_jobs.store import Store
from negset_jobs.training.config import InputFile

_DOWNLOADS: Final = 8
POSITIVE, NEGATIVE, HARD = 0, 1, 2


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a round trains on: keys in the store or paths. `negatives` and `hard` may be empty; `images` counts the different negatives in them.

    `hard` is what was added after round 1: the hard negatives or, for the arm that compares, as many random ones.
    """

    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    hard: tuple[str, ...] = ()
    images: int = 0


def choose(arm: str, positives: Positives, records: Records, mining: Mining | None) -> Inputs:
    """What a round of the arm trains on; `mining` is that after the round before, where there is one. Raises `InvalidInput` where a set is empty.

    A file without records would stop the training for ever, so shards that stored nothing have no file, and an empty set is refused here.
    """
    objects = positives.files.get(names.TRAIN, ())
    if not objects:
        raise InvalidInput("spec.positives: expected images to train on, found none that could be used")
    if arm == names.NO_NEGATIVES:
        return Inputs(positives=objects)
    negatives = records.files.get(names.TRAIN, ()) if mining is None else mining.negatives
    added = () if mining is None else mining.random if arm == names.RANDOM_NEGATIVES else mining.hard
    if not negatives and not added:
        raise InvalidInput(
            "spec.selection: expected negatives to train on, found none: all of them are held out, failed or are up for review; raise selection.count"
        )
    return Inputs(
        positives=objects,
        negatives=negatives or added,
        hard=added if negatives else (),
        images=records.images.get(names.TRAIN, 0) if mining is None else mining.different_images,
    )


def pattern(negative_percent: int, *, hard: bool) -> tuple[int, ...]:
    """The kinds of the pictures in the order in which they are fed, to be repeated for ever.

    The negatives are spread as evenly as whole pictures can be (slot j is a negative where the integer part of j * percent / 100 steps up), so a batch of n holds
    its share of n, rounded down or up. Drawing each picture by chance instead leaves, at 10 percent and batches of 8, 43 of 100 batches (0.9^8) without any negative. Every other negative is a hard one
    where there are any, which gives them half of the share.
    """
    # Twice, so that the alternation of hard and other negatives closes where the number of negatives is odd.
    slots = [((j + 1) * negative_percent) // 100 > (j * negative_percent) // 100 for j in range(200)]
    kinds, seen = [], 0
    for negative in slots:
        seen += negative
        kinds.append((HARD if hard and seen % 2 else NEGATIVE) if negative else POSITIVE)
    return tuple(kinds)


def weighted(inputs: Inputs, negative_percent: int, store: Store) -> tuple[InputFile, ...]:
    """The files with the weights that give the same shares on average in the Object Detection API's own reader."""
    share = negative_percent if inputs.negatives else 0
    hard = share / 2 if inputs.hard else 0.0
    groups = ((inputs.positives, 100.0 - share), (inputs.negatives, share - hard), (inputs.hard, hard))
    return tuple(InputFile(path=store.location(key), weight=weight / len(keys)) for keys, weight in groups for key in keys)


def materialise(store: Store, inputs: Inputs, folder: str) -> Inputs:
    """The same files as local paths. They are downloaded below `folder`, since TensorFlow reads few stores besides local files; those of a local store are used in place."""
    return Inputs(
        positives=_local(store, inputs.positives, folder),
        negatives=_local(store, inputs.negatives, folder),
        hard=_local(store, inputs.hard, folder),
        images=inputs.images,
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
