"""Reads one TFRecord file of a user twice: once to scan its content, once to copy it."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import posixpath
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.spec import Download
from negset_api.values import ImageResult, Outcome, ShardResult
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import open_input
from negset_jobs.adapters.store import Store
from negset_jobs.download.orientation import Reading, is_proof
from negset_jobs.download.plan_order import RecordWriter
from negset_jobs.download.shard import commit_shard
from negset_jobs.formats.boxes import Corners
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.label_map import Item
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import salvage_records
from negset_jobs.positives.annotated import RejectedBox, shown_classes
from negset_jobs.positives.record import (
    CheckedRecord,
    Features,
    RecordObject,
    check_record,
    class_name,
    failed_record,
    read_objects,
    recorded_size,
    stored_payload,
)

FIELD: Final = "spec.positives.tfrecords"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How records are read.

    `labels` is the user's label map by id; None if the records' own class names count. `wanted` are
    the classes that may be trained. `reading` says how boxes on images are read that EXIF turns. If
    `crowds_are_objects`, a mark as a crowd does not count.
    """

    labels: dict[int, Item] | None
    wanted: frozenset[str]
    download: Download
    access: Access
    reading: Reading = Reading()
    crowds_are_objects: bool = False


class ScannedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record that shows a wanted class: its place in the file, its image, and its digest.

    `shows` are the classes of its usable objects. `boxes` counts its usable boxes by class, crowds
    included. Both are empty unless the outcome is stored. `corners` are those of all boxes, as they
    are written. The others are as in `CheckedRecord`, and `proof` is that of `is_proof`.
    """

    index: int
    key: str
    file_name: str
    sha256: str
    outcome: Outcome
    detail: str
    shows: tuple[str, ...]
    boxes: dict[str, int]
    rejected: tuple[RejectedBox, ...]
    corners: tuple[Corners, ...]
    width: int
    height: int
    turned: bool
    proof: bool


class ScannedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file.

    `names` are the pairs of label and class name that it uses. `others` counts the records without
    an object of a wanted class. `annotations` and `crowds` count the objects of wanted classes, and
    those among them that are crowds, by class.
    """

    url: str
    records: tuple[ScannedRecord, ...]
    names: frozenset[tuple[int, str]]
    others: int
    annotations: dict[str, int]
    crowds: dict[str, int]


def scan_file(url: str, rules: Rules) -> ScannedFile:
    """Scan one file: the first pass.

    A record that cannot be read is a failure. Raises `InvalidInput` if the file cannot be opened.
    """
    found: list[ScannedRecord] = []
    used: set[tuple[int, str]] = set()
    annotations: collections.Counter[str] = collections.Counter()
    crowds: collections.Counter[str] = collections.Counter()
    total = 0
    for read in _records(url, rules):
        total += 1
        used.update((item.label, name) for name, item in read.objects)
        shown = read.shown(rules)
        annotations.update(name for name, _ in shown)
        crowds.update(name for name, item in shown if item.crowd)
        if record := _scanned(url, read, rules):
            found.append(record)
    return ScannedFile(
        url=url,
        records=tuple(found),
        names=frozenset(used),
        others=total - len(found),
        annotations=dict(annotations),
        crowds=dict(crowds),
    )


def _scanned(url: str, read: _Read, rules: Rules) -> ScannedRecord | None:
    """Return the record if it shows a wanted object, or cannot be read; else None."""
    problem, record, shown = read.problem, None, read.shown(rules)
    if not problem:
        try:
            record = _checked(shown, read.features, rules, _where(url, read.number))
        except InvalidInput as error:
            problem = str(error)
        if record is None and not problem:
            return None
    if record is None:
        record = failed_record(f"{posixpath.basename(url)}#{read.number}", problem)
    return ScannedRecord(
        index=read.number,
        key=record.key,
        file_name=record.file_name,
        sha256=hashlib.sha256(read.payload).hexdigest(),
        outcome=record.outcome,
        detail=record.detail,
        shows=shown_classes(record.boxes),
        boxes=dict(collections.Counter(box.class_name for box in record.boxes)),
        rejected=record.rejected,
        corners=tuple(item.corners for _, item in shown),
        width=record.width,
        height=record.height,
        turned=record.turned,
        proof=is_proof(record.orientation, *recorded_size(read.features)),
    )


class CopyTask(msgspec.Struct, frozen=True, kw_only=True):
    """The second pass over one file.

    `splits` is the split of each scanned record, by its index. `shards` is the shard's name for
    each split, and `input_digests` its digest.
    """

    store_url: str
    file: ScannedFile
    rules: Rules
    splits: dict[int, str]
    shards: dict[str, str]
    input_digests: dict[str, str]
    label_ids: dict[str, int]
    attempt: int = 1


def copy_file(task: CopyTask) -> list[ShardResult]:
    """Write and commit the shards of one file: the second pass.

    If another attempt has committed a shard first, that shard counts.
    """
    store = Store(task.store_url)
    with contextlib.ExitStack() as stack:
        drafts = {split: _Draft(stack, store, task, split) for split in task.shards}
        scanned = {record.index: record for record in task.file.records}
        for read in _records(task.file.url, task.rules):
            if read.number not in scanned:
                continue
            draft, expected = drafts[task.splits[read.number]], scanned[read.number]
            if expected.outcome is not Outcome.STORED:
                draft.add_failure(expected)
                continue
            record = _checked(read.shown(task.rules), read.features, task.rules, _where(task.file.url, read.number))
            if record is None or hashlib.sha256(read.payload).hexdigest() != expected.sha256:
                raise WorkFailed(f"{task.file.url} changed while it was read; run again")
            draft.add(record, stored_payload(record, read.payload, read.features, task.label_ids))
        return [draft.commit() for draft in drafts.values()]


class _Draft:
    """One shard in progress: a local file that becomes an object when it is complete."""

    def __init__(self, stack: contextlib.ExitStack, store: Store, task: CopyTask, split: str) -> None:
        self._store, self._task, self._split = store, task, split
        self._path = stack.enter_context(store.spool(names.POSITIVES_FOLDER))
        # The stack closes the stream.
        self._stream = stack.enter_context(open(self._path, "wb"))  # noqa: SIM115
        self._writer = RecordWriter(self._stream)
        self._results: list[ImageResult] = []

    def add(self, record: CheckedRecord, payload: bytes) -> None:
        assert record.image is not None
        offset, length = self._writer.append(payload)
        self._results.append(
            ImageResult(
                image_id=record.key,
                outcome=Outcome.STORED,
                sha256=hashlib.sha256(record.image.encoded).hexdigest(),
                bytes=len(record.image.encoded),
                width=record.image.width,
                height=record.image.height,
                offset=offset,
                length=length,
                rejected_boxes=len(record.rejected),
                orientation=record.orientation if record.orientation > 1 else 0,
                turned=record.turned,
            )
        )

    def add_failure(self, record: ScannedRecord) -> None:
        self._results.append(
            ImageResult(image_id=record.key, outcome=record.outcome, detail=record.detail, rejected_boxes=len(record.rejected))
        )

    def commit(self) -> ShardResult:
        self._stream.close()
        name, stored = self._task.shards[self._split], self._writer.size > 0
        key = names.shard_records(names.POSITIVES_FOLDER, name, self._writer.sha256) if stored else ""
        if stored:
            self._store.adopt(self._path, key)
        result = ShardResult(
            name=name,
            split=self._split,
            input_digest=self._task.input_digests[self._split],
            file=key,
            sha256=self._writer.sha256 if stored else "",
            bytes=self._writer.size,
            results=tuple(self._results),
        )
        return commit_shard(self._store, names.shard_marker(names.POSITIVES_FOLDER, name, self._task.attempt), result)


class _Read(NamedTuple):
    """One record of a file: its objects with their class names, or why it cannot be read."""

    number: int
    payload: bytes
    features: Features
    objects: Sequence[tuple[str, RecordObject]] = ()
    problem: str = ""

    def shown(self, rules: Rules) -> list[tuple[str, RecordObject]]:
        """Return the objects of wanted classes."""
        return [(name, item) for name, item in self.objects if name in rules.wanted]


def _records(url: str, rules: Rules) -> Iterator[_Read]:
    asked = Spelling(rules.wanted)
    with open_input(url, rules.access, FIELD) as stream:
        for index, (_, payload) in enumerate(salvage_records(stream)):
            try:
                yield _read(index, payload, rules, asked, _where(url, index))
            except WorkFailed as error:  # the file is damaged, or holds something else
                yield _Read(index, b"", {}, problem=f"{FIELD}: {url}: {error}")
            except InvalidInput as error:
                yield _Read(index, b"", {}, problem=str(error))


def _read(index: int, payload: bytes | WorkFailed, rules: Rules, asked: Spelling, where: str) -> _Read:
    """Read one record. A class that is equal to a wanted one is spelled like it."""
    if isinstance(payload, WorkFailed):
        raise payload
    features = decode_example(payload)
    named = [(class_name(item, rules.labels, where), item) for item in read_objects(features, where)]
    objects = [(asked.of(name) or name, item) for name, item in named]
    if rules.crowds_are_objects:
        objects = [(name, item._replace(crowd=False)) for name, item in objects]
    return _Read(index, payload, features, objects)


def _checked(shown: Sequence[tuple[str, RecordObject]], features: Features, rules: Rules, where: str) -> CheckedRecord | None:
    """Return the record of an image that shows wanted objects; None if there is no single one."""
    if all(item.crowd for _, item in shown):
        return None
    return check_record(features, shown, download=rules.download, where=where, reading=rules.reading)


def _where(url: str, index: int) -> str:
    return f"{FIELD}: {url}: record {index}"
