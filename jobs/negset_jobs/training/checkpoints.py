"""A round's checkpoints in the store: uploaded while the training goes on, found again after it was lost. Imports no TensorFlow.

A checkpoint is several files, so it is complete if and only if its small index exists, which is uploaded last and removed first.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import msgspec

from negset_api import names
from negset_api.errors import Interrupted, WorkFailed
from negset_api.values import Value, decode, encode
from negset_jobs.store import Store

log = logging.getLogger(__name__)

KEPT: Final = 3
_INDEX: Final = ".json"


class Checkpoint(Value, frozen=True, kw_only=True):
    """The index of a checkpoint: the prefix of its files (`…/ckpt-500`), their names, and what had been fed up to then.

    `inputs` is the round's digest: a checkpoint of other inputs is not gone on from. `pictures` counts those fed, `blanks` those of them without any box.
    """

    inputs: str
    step: int
    prefix: str
    files: tuple[str, ...]
    pictures: int
    blanks: int


def complete(store: Store, folder: str, inputs: str) -> list[Checkpoint]:
    """The complete checkpoints below `folder` that were made from `inputs`, oldest first."""
    found = []
    for key in store.keys(folder):
        if key.endswith(_INDEX):
            try:
                found.append(decode(store.read(key), Checkpoint))
            except msgspec.MsgspecError as error:
                log.warning("%s is not a checkpoint's index and is ignored: %s", store.location(key), error)
    return sorted((checkpoint for checkpoint in found if checkpoint.inputs == inputs), key=lambda checkpoint: checkpoint.step)


def download(store: Store, prefix: str, folder: str) -> str:
    """Fetches the checkpoint whose keys start with `prefix` (as `Round.checkpoint` has it) into the local `folder`. Returns the local prefix."""
    parent, name = prefix.rsplit("/", 1)
    keys = [key for key in store.keys(parent) if key.startswith(f"{prefix}.") and not key.endswith(_INDEX)]
    if not keys:
        raise WorkFailed(f"expected a checkpoint at {store.location(prefix)}, found none")
    os.makedirs(folder, exist_ok=True)
    for key in keys:
        store.get(key, os.path.join(folder, key.rsplit("/", 1)[1]))
    return os.path.join(folder, name)


class Uploader:
    """Uploads checkpoints, and the event files in the local folder `events`, in a thread of its own, one at a time. A context manager: leaving it waits for what is under way.

    `save` first waits for the upload before it, so local files may be removed once two more checkpoints have been saved, and a store that is slower than the training slows it
    down instead of filling the disk.
    """

    def __init__(self, store: Store, number: int, arm: str, inputs: str, *, events: str) -> None:
        self._store, self._inputs, self._local_events = store, inputs, events
        self._folder, self._events = names.round_checkpoints(number, arm), names.round_events(number, arm)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(wait=True)
        if error is None or isinstance(error, Interrupted):  # which promises that the checkpoint is saved
            self.wait()

    def save(self, local: str, step: int, pictures: int, blanks: int) -> None:
        """Begins to upload the checkpoint with the local prefix `local`, and the event files. Raises `WorkFailed` where the upload before failed."""
        self.wait()
        files = tuple(sorted(glob.glob(f"{glob.escape(local)}.*")))
        checkpoint = Checkpoint(
            inputs=self._inputs,
            step=step,
            prefix=f"{self._folder}/{os.path.basename(local)}",
            files=tuple(map(os.path.basename, files)),
            pictures=pictures,
            blanks=blanks,
        )
        self._pending = self._pool.submit(self._upload, checkpoint, files)

    def wait(self) -> None:
        """Waits until nothing is under way. Raises `WorkFailed` where it failed."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def _upload(self, checkpoint: Checkpoint, files: Sequence[str]) -> None:
        for path in sorted(glob.glob(f"{glob.escape(self._local_events)}/*")):
            self._store.put(path, f"{self._events}/{os.path.basename(path)}")
        for path in files:
            self._store.put(path, f"{self._folder}/{os.path.basename(path)}")
        self._store.write(f"{checkpoint.prefix}{_INDEX}", encode(checkpoint))
        for old in complete(self._store, self._folder, self._inputs)[:-KEPT]:
            self._store.remove([f"{old.prefix}{_INDEX}", *(f"{self._folder}/{name}" for name in old.files)])
