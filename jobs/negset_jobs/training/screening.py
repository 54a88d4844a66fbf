"""Finds the records that a round cannot read: before the first step, counted, named and skipped.

Each record is decoded once, by the decoder that reads it later. So no step and no measurement meets
a record that ends it. A round decodes every image many times; one more time is cheap. A file with
an unreadable record is copied without it, so its readers need no special case. Imports no
TensorFlow.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final

import msgspec

from negset_api.errors import WorkFailed
from negset_jobs.adapters.store import Store
from negset_jobs.formats.stored_images import Features, read_images
from negset_jobs.formats.tfrecord import write_record
from negset_jobs.training.mix import Mix

log = logging.getLogger(__name__)

Check = Callable[[bytes, Features], str]
"""Says why a record (payload and features) cannot be used; empty if it can.

It is called from several threads.
"""

NAMED: Final = 10
"""The number of unreadable records that a round names."""

_IN_MESSAGE: Final = 3
_KINDS: Final = {"positives": "positives", "negatives": "negatives", "hard": "hard negatives"}
"""The fields of `Mix` that are files, and their names in messages."""

_AT_ONCE: Final = 64  # records in memory; each has some hundred kilobytes


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """The unreadable records among `records`: how many, and the first `NAMED`.

    Each example is the location of a record and the reason.
    """

    records: int = 0
    count: int = 0
    examples: tuple[str, ...] = ()

    def __add__(self, other: Unreadable) -> Unreadable:
        examples = (*self.examples, *other.examples)[:NAMED]
        return Unreadable(records=self.records + other.records, count=self.count + other.count, examples=examples)


def screen_round(
    store: Store,
    chosen: Mix,
    local: Mix,
    held_out: Sequence[str],
    *,
    trained: Check,
    measured: Check,
    folder: str,
    max_failed_percent: int,
) -> tuple[Mix, Unreadable]:
    """Check every record that a round reads, before its first step.

    These are its training files and the files `held_out`. Returns and raises as the two functions
    below. Logs one warning about all skipped records.
    """
    log.info("checking every record that the round reads")
    usable, unreadable = screen_training(chosen, local, trained, folder, max_failed_percent)
    unreadable += screen_held_out(store, held_out, measured, max_failed_percent)
    if unreadable.count:
        named, more = "; ".join(unreadable.examples), "; …" if unreadable.count > len(unreadable.examples) else ""
        log.warning("skipped %d of %d records that cannot be read: %s%s", unreadable.count, unreadable.records, named, more)
    return usable, unreadable


def screen_training(chosen: Mix, local: Mix, check: Check, folder: str, max_failed_percent: int) -> tuple[Mix, Unreadable]:
    """Return the local files without their unreadable records.

    Changed files are copied to `folder`. `chosen` has the keys of the files, for messages. Raises
    `WorkFailed` if more than `max_failed_percent` of the records are unreadable, or all of one
    kind.
    """
    kept: dict[str, tuple[str, ...]] = {}
    total = Unreadable()
    for kind in _KINDS:
        paths = []
        for index, (key, path) in enumerate(zip(getattr(chosen, kind), getattr(local, kind), strict=True)):
            usable, found = _screen_file(key, path, check, os.path.join(folder, kind, f"{index}.tfrecord"))
            total += found
            paths += usable
        kept[kind] = tuple(paths)
    require_within(total, max_failed_percent, "records to train on")
    if emptied := [_KINDS[kind] for kind in kept if getattr(local, kind) and not kept[kind]]:
        raise WorkFailed(
            f"none of the {' and '.join(emptied)} to train on can be read: {'; '.join(total.examples[:_IN_MESSAGE])}; replace these images"
        )
    return msgspec.structs.replace(local, **kept), total


def screen_held_out(store: Store, keys: Sequence[str], check: Check, max_failed_percent: int) -> Unreadable:
    """Return the records of the held-out files that cannot be measured.

    Raises `WorkFailed` if they are more than `max_failed_percent`.
    """
    total = Unreadable()
    for key in keys:
        with store.reading(key) as stream:
            for reason, _ in _checked(stream, key, check):
                total += _one(reason)
    require_within(total, max_failed_percent, "held-out records")
    return total


def require_within(unreadable: Unreadable, max_failed_percent: int, what: str) -> None:
    """Raise `WorkFailed` if more records are unreadable than the budget allows."""
    if unreadable.count * 100 > unreadable.records * max_failed_percent:
        raise WorkFailed(
            f"{unreadable.count} of {unreadable.records} {what} cannot be read, more than spec.download.maxFailedPercent ({max_failed_percent}) "
            f"allows: {'; '.join(unreadable.examples[:_IN_MESSAGE])}; replace these images, or raise spec.download.maxFailedPercent"
        )


def _screen_file(key: str, path: str, check: Check, copy: str) -> tuple[list[str], Unreadable]:
    """Return the paths to read instead of `path`, and the unreadable records.

    There is no path if no record can be read.
    """
    total = Unreadable()
    with open(path, "rb") as stream:
        for reason, _ in _checked(stream, key, check):
            total += _one(reason)
    if not total.count:
        return [path], total
    if total.count == total.records:
        return [], total
    os.makedirs(os.path.dirname(copy), exist_ok=True)
    with open(path, "rb") as stream, open(copy, "wb") as target:
        for reason, payload in _checked(stream, key, check):
            if not reason:
                write_record(target, payload)
    return [copy], total


def _checked(stream: BinaryIO, key: str, check: Check) -> Iterator[tuple[str, bytes]]:
    """Yield why a record cannot be used (empty if it can), and its payload, for each record."""
    broken: list[str] = []
    images = read_images(stream, key, broken.append)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(itertools.islice(images, _AT_ONCE)):
            for (payload, _, where), reason in zip(batch, pool.map(lambda image: check(image[0], image[1]), batch), strict=True):
                yield f"{where}: {reason}" if reason else "", payload
    yield from ((reason, b"") for reason in broken)


def _one(reason: str) -> Unreadable:
    return Unreadable(records=1, count=bool(reason), examples=(reason,) if reason else ())
