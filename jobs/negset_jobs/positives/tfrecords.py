"""Positives that are TFRecords already: checked, and copied into the revision as own shards.

The files are read twice. The first pass finds which images show which classes. So the classes, the
label map and the held-out images are decided as for the other kinds of positives. The second pass
writes each file's images as one shard to train on and one held out. No file is in memory as a
whole.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec
from negset_api.spec import Positives as PositivesSpec
from negset_api.values import Outcome, ShardResult, digest
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import expand, read_input
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.quoting import quoted
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.download.orientation import Reading, proved, word_of
from negset_jobs.download.record import RECORD_FORMAT
from negset_jobs.download.shard import commit_shard
from negset_jobs.download.shard_cache import read_committed
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.label_map import Item, called, read_label_map
from negset_jobs.positives import units
from negset_jobs.positives.record_files import FIELD, CopyTask, Rules, ScannedFile, ScannedRecord, copy_file, scan_file

READING: Final = units.Reading(units.Layout.YXYX, units.Unit.FRACTIONS)
LABEL_MAP_FIELD: Final = "spec.positives.labelMap"

_COPY_FORMAT: Final = 3
"""The version of how a user's records are copied.

Copies of version 1 could lack an id. Those of version 2 were not turned as their EXIF says.
"""

T = TypeVar("T")
R = TypeVar("R")


def rules(spec: NegativeDatasetSpec, positives: PositivesSpec, wanted: Iterable[str], access: Access) -> Rules:
    """Return how the records are read.

    Raises `InvalidInput` if the label map cannot be read.
    """
    known = frozenset(wanted)
    labels: dict[int, Item] | None = None
    if positives.label_map:
        items = read_label_map(read_input(positives.label_map, access, LABEL_MAP_FIELD), f"{LABEL_MAP_FIELD}: {positives.label_map}")
        asked = Spelling(known)
        spelt = (Item(item.id, *(asked.of(name) or name for name in (item.name, item.display_name))) for item in items)
        labels = {item.id: called(item, known) for item in spelt}
    return Rules(
        labels=labels,
        wanted=known,
        download=spec.download,
        access=access,
        reading=Reading(word_of(positives.exif_orientation)),
        crowds_are_objects=positives.crowds == "Objects",
    )


def scan(positives: PositivesSpec, rules: Rules, *, workers: int, progress: Progress) -> tuple[list[ScannedFile], Rules]:
    """Scan every file, in the order of their URLs: the first pass. Return the files and rules.

    If images that EXIF turns can only be read as the other images prove, the rules say so, and the
    files that have them are scanned again. Raises `InvalidInput` if a record cannot be used for
    training.
    """
    urls = list(dict.fromkeys(url for pattern in positives.tfrecords for url in expand(pattern, rules.access, FIELD)))
    files = _mapped(functools.partial(_scan, rules=rules), urls, "Checking positives", workers, progress)
    if rules.labels is None:
        _check_names(files)
    rest = proved(record.turned for file in files for record in file.records if record.outcome is Outcome.STORED and record.proof)
    unsettled = [file.url for file in files if any(record.outcome is Outcome.AMBIGUOUS_ORIENTATION for record in file.records)]
    if not rest or not unsettled:
        return files, rules
    settled = msgspec.structs.replace(rules, reading=rules.reading._replace(rest=rest))
    again = _mapped(functools.partial(_scan, rules=settled), unsettled, "Checking positives", workers, progress)
    made = {file.url: file for file in again}
    return [made.get(file.url, file) for file in files], settled


def count_records(files: Iterable[ScannedFile]) -> int:
    """Return the number of records in the files."""
    return sum(len(file.records) + file.others for file in files)


def count_objects(files: Iterable[ScannedFile]) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of objects of each wanted class, and of those that are crowds."""
    annotations: collections.Counter[str] = collections.Counter()
    crowds: collections.Counter[str] = collections.Counter()
    for file in files:
        annotations.update(file.annotations)
        crowds.update(file.crowds)
    return dict(annotations), dict(+crowds)


def boxes_of(records: Iterable[ScannedRecord]) -> Iterator[tuple[Sequence[object], tuple[int, int]]]:
    """Yield the boxes of the records as `checks.check_unit` takes them."""
    return ((corners, (record.width, record.height)) for record in records for corners in record.corners)


def copy_tasks(
    store: Store, files: Sequence[ScannedFile], rules: Rules, held_out: frozenset[str], label_ids: Mapping[str, int]
) -> list[CopyTask]:
    """Return the tasks of the second pass: one for each file with a positive.

    A task has the shard of each record of its file. Images that are not stored count in the split
    to train on.
    """
    splits = [
        {
            record.index: names.HELD_OUT if record.outcome is Outcome.STORED and record.key in held_out else names.TRAIN
            for record in file.records
        }
        for file in files
    ]
    totals = collections.Counter(split for chosen in splits for split in set(chosen.values()))
    numbers: collections.Counter[str] = collections.Counter()
    tasks = []
    for file, chosen in zip(files, splits, strict=True):
        shards = {}
        for split in sorted(set(chosen.values())):
            shards[split] = names.shard(split, numbers[split], totals[split])
            numbers[split] += 1
        if shards:
            input_digests = {
                split: _input_digest([record for record in file.records if chosen[record.index] == split], rules, label_ids)
                for split in shards
            }
            tasks.append(
                CopyTask(
                    store_url=store.url,
                    file=file,
                    rules=rules,
                    splits=chosen,
                    shards=shards,
                    input_digests=input_digests,
                    label_ids=dict(label_ids),
                )
            )
    return tasks


def copy(store: Store, tasks: Sequence[CopyTask], siblings: Sequence[Store], *, workers: int, progress: Progress) -> list[ShardResult]:
    """Do the second pass. Return the results of the tasks, in order.

    A shard that is already committed, or that another revision has, is not made again.
    """
    committed = read_committed(store, names.POSITIVES_FOLDER)
    identical_shards = {
        result.input_digest: (sibling, result)
        for sibling in siblings
        for _, result in read_committed(sibling, names.POSITIVES_FOLDER).values()
    }
    results: dict[str, ShardResult] = {}
    missing = []
    for task in tasks:
        found = [_existing(store, task, split, committed, identical_shards) for split in task.shards]
        if all(found):
            results.update((result.name, result) for result in found if result)
        else:
            attempt = 1 + max((committed[name][0] for name in task.shards.values() if name in committed), default=0)
            missing.append(msgspec.structs.replace(task, attempt=attempt))
    for made in _mapped(_copy, missing, "Copying positives", workers, progress):
        results.update((result.name, result) for result in made)
    return [results[name] for task in tasks for name in task.shards.values()]


def _existing(
    store: Store,
    task: CopyTask,
    split: str,
    committed: Mapping[str, tuple[int, ShardResult]],
    identical_shards: Mapping[str, tuple[Store, ShardResult]],
) -> ShardResult | None:
    """Return the shard that an earlier run or another revision made from the same records."""
    name, input_digest = task.shards[split], task.input_digests[split]
    if name in committed:
        result = committed[name][1]
        return result if result.input_digest == input_digest else None
    if input_digest not in identical_shards:
        return None
    sibling, identical = identical_shards[input_digest]
    key = names.shard_records(names.POSITIVES_FOLDER, name, identical.sha256) if identical.file else ""
    try:
        if key:
            store.copy(sibling, key, identical.file)
    except MissingObject:
        return None
    copied = msgspec.structs.replace(identical, name=name, split=split, file=key)
    return commit_shard(store, names.shard_marker(names.POSITIVES_FOLDER, name), copied)


def _input_digest(records: Sequence[ScannedRecord], rules: Rules, label_ids: Mapping[str, int]) -> str:
    """Return the digest of everything that decides a shard's file."""
    checks = (rules.download.verify, rules.download.max_image_megapixels)
    labels = sorted(rules.labels.values()) if rules.labels else None
    crowds = rules.crowds_are_objects
    shown = [(record.sha256, record.turned, record.outcome) for record in records]
    return digest("tfrecords", _COPY_FORMAT, RECORD_FORMAT, shown, labels, label_ids, checks, crowds)


def _check_names(files: Iterable[ScannedFile]) -> None:
    """Check that labels and class names match one to one in all the files together.

    Raises `InvalidInput` if a label has two class names, or a class name two labels: then it is
    unknown which is right.
    """
    by_label: dict[int, set[str]] = collections.defaultdict(set)
    by_name: dict[str, set[int]] = collections.defaultdict(set)
    for label, name in {pair for file in files for pair in file.names}:
        by_label[label].add(name)
        by_name[name].add(label)
    for label, found in sorted(by_label.items()):
        if len(found) > 1:
            raise InvalidInput(f"{FIELD}: expected one class for each label, {label} is called {' and '.join(map(quoted, sorted(found)))}")
    for name, labels in sorted(by_name.items()):
        if len(labels) > 1:
            raise InvalidInput(f"{FIELD}: expected one label for each class, {quoted(name)} has {' and '.join(map(str, sorted(labels)))}")


def _mapped(function: Callable[[T, work.Report], R], tasks: Sequence[T], title: str, workers: int, progress: Progress) -> list[R]:
    """Return the function's results, in the order of the tasks. Each task is a file."""
    progress.start(title, len(tasks), "files")
    results: dict[int, R] = {}
    for index, result in work.map_unordered(function, tasks, workers=workers):
        results[index] = result
        progress.advance()
    progress.finish()
    return [results[index] for index in range(len(tasks))]


def _scan(url: str, _: work.Report, *, rules: Rules) -> ScannedFile:
    return scan_file(url, rules)


def _copy(task: CopyTask, _: work.Report) -> list[ShardResult]:
    return copy_file(task)
