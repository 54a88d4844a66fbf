"""A round's checkpoints in the store: found again after an interruption, and verified.

A checkpoint is several files. It is complete if and only if its small index exists. The index is
uploaded last and removed first. It holds the size and the digest of each file. A file that was
truncated or changed is noticed when it is fetched, and training resumes from the checkpoint before
it. Imports no TensorFlow.
"""

from __future__ import annotations

import hashlib
import logging
import os
from typing import Final

import msgspec
from msgspec import field

from negset_api import names
from negset_api.errors import InvalidInput, WorkFailed
from negset_api.values import Round, Value, decode
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject

log = logging.getLogger(__name__)

KEPT: Final = 3
"""The number of checkpoints that stay."""

INDEX: Final = ".json"
"""The ending of an index, after the prefix."""


class File(Value, frozen=True, kw_only=True):
    """One file of a checkpoint: its name, its size in bytes, and the SHA-256 of its content."""

    name: str
    bytes: int
    sha256: str


class Checkpoint(Value, frozen=True, kw_only=True):
    """The index of a checkpoint: the prefix of its files (`…/ckpt-500`), the files, and counts.

    `input_digest` is the digest of the round: a checkpoint of other inputs is not resumed. `images`
    counts the images fed until then, `images_without_boxes` those of them without any box.
    """

    input_digest: str = field(name="inputs")
    step: int
    prefix: str
    files: tuple[File, ...]
    images: int = field(name="pictures")
    images_without_boxes: int = field(name="blanks")

    @property
    def keys(self) -> list[str]:
        """The keys of all its objects in the store, the index first."""
        return [f"{self.prefix}{INDEX}", *(f"{os.path.dirname(self.prefix)}/{file.name}" for file in self.files)]


class DamagedCheckpoint(WorkFailed):
    """The files of a checkpoint are not the files that were saved."""


def complete(store: Store, folder: str, input_digest: str) -> list[Checkpoint]:
    """Return the complete checkpoints below `folder` with this `input_digest`, oldest first."""
    found = (_index(store, key) for key in store.keys(folder) if key.endswith(INDEX))
    return sorted(
        (checkpoint for checkpoint in found if checkpoint and checkpoint.input_digest == input_digest),
        key=lambda checkpoint: checkpoint.step,
    )


def newest(store: Store, folder: str, input_digest: str, target: str) -> tuple[Checkpoint, str] | None:
    """Return the newest intact checkpoint with this `input_digest`, and its local prefix.

    It is below `folder`, and is fetched into `target`. A damaged checkpoint is logged and removed:
    it would block every later attempt, and count among the checkpoints that are kept. Other
    failures of the store are raised, because a retry helps.
    """
    for checkpoint in reversed(complete(store, folder, input_digest)):
        try:
            return checkpoint, download(store, checkpoint.prefix, target)
        except DamagedCheckpoint as error:
            log.warning("removing the damaged checkpoint after step %d: %s", checkpoint.step, error)
            store.remove(checkpoint.keys)
    return None


def download(store: Store, prefix: str, folder: str) -> str:
    """Fetch the checkpoint with this key prefix (`Round.checkpoint`) into the local `folder`.

    Returns the local prefix. Raises `DamagedCheckpoint` if a file is missing, or is not the file
    that was saved.
    """
    checkpoint = _index(store, f"{prefix}{INDEX}")
    if checkpoint is None:
        return _download_unverified(store, prefix, folder)
    parent, name = prefix.rsplit("/", 1)
    os.makedirs(folder, exist_ok=True)
    for file in checkpoint.files:
        key, local = f"{parent}/{file.name}", os.path.join(folder, file.name)
        try:
            store.get(key, local)
        except MissingObject as error:
            raise DamagedCheckpoint(f"{store.location(key)} is missing") from error
        _verify(file, local, store.location(key))
    return os.path.join(folder, name)


def of_round(store: Store, trained: Round, folder: str) -> str:
    """Fetch the checkpoint of a finished round. Returns the local prefix.

    Raises `InvalidInput` if it is damaged, because no retry repairs it.
    """
    try:
        return download(store, trained.checkpoint, folder)
    except DamagedCheckpoint as error:
        place = store.location(names.round_folder(trained.number, trained.arm))
        raise InvalidInput(
            f"cannot use the checkpoint of round {trained.number}: {error}; remove {place} to train the round again"
        ) from error


def _download_unverified(store: Store, prefix: str, folder: str) -> str:
    """Fetch a checkpoint that a round names but whose index was lost.

    TensorFlow may still be able to read it.
    """
    parent, name = prefix.rsplit("/", 1)
    keys = [key for key in store.keys(parent) if key.startswith(f"{prefix}.") and not key.endswith(INDEX)]
    if not keys:
        raise DamagedCheckpoint(f"expected a checkpoint at {store.location(prefix)}, found none")
    log.warning("%s%s is missing or damaged; using the checkpoint without verification", store.location(prefix), INDEX)
    os.makedirs(folder, exist_ok=True)
    for key in keys:
        store.get(key, os.path.join(folder, key.rsplit("/", 1)[1]))
    return os.path.join(folder, name)


def _index(store: Store, key: str) -> Checkpoint | None:
    """Return the index under `key`; None if it is missing or damaged."""
    try:
        return decode(store.read(key), Checkpoint)
    except MissingObject:
        return None
    except msgspec.MsgspecError as error:
        log.warning("ignored %s, which is not the index of a checkpoint: %s", store.location(key), error)
        return None


def describe(path: str) -> File:
    """Return the entry of a local file in the index."""
    with open(path, "rb") as stream:
        return File(name=os.path.basename(path), bytes=os.path.getsize(path), sha256=hashlib.file_digest(stream, "sha256").hexdigest())


def _verify(expected: File, path: str, location: str) -> None:
    """Raise `DamagedCheckpoint` if the local file is not the expected one."""
    found = describe(path)
    if found.bytes != expected.bytes:
        raise DamagedCheckpoint(f"{location} is truncated or overwritten: expected {expected.bytes} bytes, got {found.bytes}")
    if found.sha256 != expected.sha256:
        raise DamagedCheckpoint(f"{location} is damaged: expected the SHA-256 {expected.sha256[:12]}…, got {found.sha256[:12]}…")
