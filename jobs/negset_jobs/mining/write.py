"""Writes the files that the next round reads.

Records are copied unchanged, one at a time, so memory does not grow with the dataset.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from negset_api import names
from negset_jobs.adapters.store import Store
from negset_jobs.formats.stored_images import image_id, read_images
from negset_jobs.formats.tfrecord import write_record

MOST_FILES: Final = 16
"""The maximum number of files, unless the training has more workers.

Hard negatives are few. With as many files as shards, a large dataset would have thousands of tiny
files.
"""


Selection = Mapping[str, Collection[str]]
"""The ids of images by the key of their shard. A shard without any of them may be absent."""


def write_added(store: Store, wanted: Selection, *, folder: str, at_least: int) -> tuple[str, ...]:
    """Copy the records of the wanted images to several files below `folder`. Returns their keys.

    The records are copied in the order of the shards, to each file in turn. There are as many files
    as shards, but at most `MOST_FILES`; and at least `at_least`, because each worker of the
    training reads its own files. No file is empty: an empty one would hang the Object Detection
    API's weighted mix. Without wanted images there is no file.
    """
    total = min(sum(map(len, wanted.values())), max(at_least, min(len(wanted), MOST_FILES)))
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(store.spool(folder)) for _ in range(total)]
        with contextlib.ExitStack() as opened:
            files = [opened.enter_context(open(path, "wb")) for path in paths]
            for index, payload in enumerate(_records(store, wanted)):
                write_record(files[index % total], payload)
        return tuple(_adopt(store, path, folder, names.shard(posixpath.basename(folder), index, total)) for index, path in enumerate(paths))


def ids_in(store: Store, keys: Sequence[str]) -> frozenset[str]:
    """Return the ids of the images whose records are in these files."""
    found: set[str] = set()
    for key in keys:
        with store.reading(key) as stream:
            found.update(image_id(features) for _, features, _ in read_images(stream, key))
    return frozenset(found)


def write_without(store: Store, shards: Sequence[str], unwanted: Selection, *, folder: str) -> tuple[str, ...]:
    """Return the keys of files with every record except those of the unwanted images.

    They are in the order of the shards. A shard without unwanted images is used itself. A shard
    without other images has no file.
    """
    return tuple(key for shard in shards for key in _without(store, shard, unwanted.get(shard, ()), folder))


def _without(store: Store, shard: str, unwanted: Collection[str], folder: str) -> Iterator[str]:
    if not unwanted:
        yield shard
        return
    with store.spool(folder) as path:
        kept = 0
        with open(path, "wb") as target, store.reading(shard) as source:
            for payload, features, _ in read_images(source, shard):
                if image_id(features) not in unwanted:
                    write_record(target, payload)
                    kept += 1
        if kept:
            # A shard's file name ends with the digest of its bytes, so the new file gets another.
            yield _adopt(store, path, folder, posixpath.basename(shard).partition(".")[0])


def _records(store: Store, wanted: Selection) -> Iterator[bytes]:
    """Yield the payloads of the wanted images. Shards without any are not read."""
    for shard, ids in wanted.items():
        if ids:
            with store.reading(shard) as stream:
                yield from (payload for payload, features, _ in read_images(stream, shard) if image_id(features) in ids)


def _adopt(store: Store, path: str, folder: str, name: str) -> str:
    with open(path, "rb") as stream:
        key = names.shard_records(folder, name, hashlib.file_digest(stream, "sha256").hexdigest())
    store.adopt(path, key)
    return key
