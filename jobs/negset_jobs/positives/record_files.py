"""Reads one TFRecord file of a user twice: once to scan its content, once to copy it."""

from __future__ import annotations

import collections
import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.spec import Download
from negset_api.values import ImageResult, Outcome, ShardResult
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import open_input
from negset_jobs.adapters.store import Store
from negset_jobs.download.shard import RecordWriter, commit_shard
from negset_jobs.formats.class_names import Spelling
from negset_jobs.formats.label_map import Item
from negset_jobs.formats.pictures import family
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records
from negset_jobs.positives.annotated import RejectedBox, shown_classes
from negset_jobs.positives.record import (
    CheckedRecord,
    Features,
    RecordObject,
    check_record,
    class_name,
    read_objects,
    stored_payload,
)

FIELD: Final = "spec.positives.tfrecords"


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How records are read.

    `labels` is the user's label map by id; None if the records' own class names count. `wanted` are
    the classes that may be trained.
    """

    labels: dict[int, Item] | None
    wanted: frozenset[str]
    download: Download
    access: Access


class ScannedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record that shows a wanted class: its place in the file, its image, and its digest.

    `family` is what the names of all copies of its image have in common (`pictures.family`).
    `shows` are the classes of its usable objects. `boxes` counts its usable boxes by class, crowds
    included. Both are empty unless the outcome is stored.
    """

    index: int
    key: str
    family: str
    sha256: str
    outcome: Outcome
    detail: str
    shows: tuple[str, ...]
    boxes: dict[str, int]
    rejected: tuple[RejectedBox, ...]


class ScannedFile(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a file.

    `names` are the pairs of label and class name that it uses. `others` counts the records without
    an object of a wanted class.
    """

    url: str
    records: tuple[ScannedRecord, ...]
    names: frozenset[tuple[int, str]]
    others: int


def scan_file(url: str, rules: Rules) -> ScannedFile:
    """Scan one file: the first pass.

    Raises `InvalidInput`, naming the file and the record, if it cannot be used for training.
    """
    found: list[ScannedRecord] = []
    used: set[tuple[int, str]] = set()
    total = 0
    for index, payload, features, objects in _records(url, rules):
        total += 1
        used.update((item.label, name) for name, item in objects)
        if record := _checked(objects, features, rules, _where(url, index)):
            found.append(
                ScannedRecord(
                    index=index,
                    key=record.key,
                    family=family(record.file_name) or record.key,
                    sha256=hashlib.sha256(payload).hexdigest(),
                    outcome=record.outcome,
                    detail=record.detail,
                    shows=shown_classes(record.boxes),
                    boxes=dict(collections.Counter(box.class_name for box in record.boxes)),
                    rejected=record.rejected,
                )
            )
    return ScannedFile(url=url, records=tuple(found), names=frozenset(used), others=total - len(found))


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
        for index, payload, features, objects in _records(task.file.url, task.rules):
            if index not in scanned:
                continue
            draft, expected = drafts[task.splits[index]], scanned[index]
            if expected.outcome is not Outcome.STORED:
                draft.add_failure(expected)
                continue
            record = _checked(objects, features, task.rules, _where(task.file.url, index))
            if record is None or hashlib.sha256(payload).hexdigest() != expected.sha256:
                raise WorkFailed(f"{task.file.url} changed while it was read; run again")
            draft.add(record, stored_payload(record, payload, features, task.label_ids))
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


def _records(url: str, rules: Rules) -> Iterator[tuple[int, bytes, dict[str, list[Any]], list[tuple[str, RecordObject]]]]:
    """Yield index, payload, features, and all objects with class names of every record.

    A name that is equal to a wanted one is spelled like it.
    """
    spelling = Spelling(rules.wanted)
    with open_input(url, rules.access, FIELD) as stream:
        try:
            for index, (_, payload) in enumerate(read_records(stream)):
                features = decode_example(payload)
                where = _where(url, index)
                named = [(class_name(item, rules.labels, where), item) for item in read_objects(features, where)]
                yield index, payload, features, [(spelling.of(name) or name, item) for name, item in named]
        except WorkFailed as error:
            # A retry does not repair a damaged file; the input has to change.
            raise InvalidInput(f"{FIELD}: {url}: {error}") from error


def _checked(objects: Sequence[tuple[str, RecordObject]], features: Features, rules: Rules, where: str) -> CheckedRecord | None:
    """Return the record of an image that shows a wanted class; None for other records."""
    shown = [(name, item) for name, item in objects if name in rules.wanted]
    if all(item.crowd for _, item in shown):
        return None
    return check_record(features, shown, download=rules.download, where=where)


def _where(url: str, index: int) -> str:
    return f"{FIELD}: {url}: record {index}"
