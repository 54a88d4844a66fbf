"""A round's checkpoints in the store: uploaded during training, found again after an interruption.

A checkpoint is several files. It is complete if and only if its small index exists. The index is
uploaded last and removed first. It holds the size and the digest of each file. A file that was cut
or changed is noticed when it is fetched, and training resumes from the checkpoint before it.
Imports no TensorFlow.
"""

from __future__ import annotations

import concurrent.futures
import glob
import hashlib
import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec
from msgspec import field

from negset_api import names
from negset_api.errors import Interrupted, InvalidInput, NegsetError, Unavailable, WorkFailed
from negset_api.values import Round, Value, decode, encode
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject

log = logging.getLogger(__name__)

KEPT: Final = 3
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_PATIENCE: Final = 3600.0
"""A training that has made its last step waits at most this many seconds for the store.

Then its process ends, and the next process repeats the steps since the last upload.
"""
_INDEX: Final = ".json"


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
        return [f"{self.prefix}{_INDEX}", *(f"{os.path.dirname(self.prefix)}/{file.name}" for file in self.files)]


class DamagedCheckpoint(WorkFailed):
    """The files of a checkpoint are not the files that were saved."""


def complete(store: Store, folder: str, input_digest: str) -> list[Checkpoint]:
    """The complete checkpoints below `folder` with this `input_digest`, oldest first."""
    found = (_index(store, key) for key in store.keys(folder) if key.endswith(_INDEX))
    return sorted(
        (checkpoint for checkpoint in found if checkpoint and checkpoint.input_digest == input_digest),
        key=lambda checkpoint: checkpoint.step,
    )


def newest(store: Store, folder: str, input_digest: str, target: str) -> tuple[Checkpoint, str] | None:
    """The newest intact checkpoint below `folder` with this `input_digest`, and its local prefix.

    It is fetched into `target`. A damaged checkpoint is logged and removed: it would block every
    later attempt, and count among the checkpoints that are kept. Other failures of the store are
    raised, because a retry helps.
    """
    for checkpoint in reversed(complete(store, folder, input_digest)):
        try:
            return checkpoint, download(store, checkpoint.prefix, target)
        except DamagedCheckpoint as error:
            log.warning("removed the damaged checkpoint after step %d: %s", checkpoint.step, error)
            store.remove(checkpoint.keys)
    return None


def download(store: Store, prefix: str, folder: str) -> str:
    """Fetch the checkpoint with this key prefix (`Round.checkpoint`) into the local `folder`.

    Returns the local prefix. Raises `DamagedCheckpoint` if a file is missing, or is not the file
    that was saved.
    """
    checkpoint = _index(store, f"{prefix}{_INDEX}")
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
    keys = [key for key in store.keys(parent) if key.startswith(f"{prefix}.") and not key.endswith(_INDEX)]
    if not keys:
        raise DamagedCheckpoint(f"expected a checkpoint at {store.location(prefix)}, found none")
    log.warning("%s%s is missing or damaged; using the checkpoint without verification", store.location(prefix), _INDEX)
    os.makedirs(folder, exist_ok=True)
    for key in keys:
        store.get(key, os.path.join(folder, key.rsplit("/", 1)[1]))
    return os.path.join(folder, name)


def _index(store: Store, key: str) -> Checkpoint | None:
    """The index under `key`; None if it is missing or damaged."""
    try:
        return decode(store.read(key), Checkpoint)
    except MissingObject:
        return None
    except msgspec.MsgspecError as error:
        log.warning("ignored %s, which is not the index of a checkpoint: %s", store.location(key), error)
        return None


def _described(path: str) -> File:
    with open(path, "rb") as stream:
        return File(name=os.path.basename(path), bytes=os.path.getsize(path), sha256=hashlib.file_digest(stream, "sha256").hexdigest())


def _verify(expected: File, path: str, location: str) -> None:
    """Raises `DamagedCheckpoint` if the local file is not the expected one."""
    found = _described(path)
    if found.bytes != expected.bytes:
        raise DamagedCheckpoint(f"{location} is cut or overwritten: expected {expected.bytes} bytes, got {found.bytes}")
    if found.sha256 != expected.sha256:
        raise DamagedCheckpoint(f"{location} is damaged: expected the SHA-256 {expected.sha256[:12]}…, got {found.sha256[:12]}…")


class _Saved(NamedTuple):
    """A checkpoint on this machine, and its files."""

    checkpoint: Checkpoint
    files: tuple[str, ...]


class Uploader:
    """Uploads checkpoints, and the event files in the local folder `events`, one at a time.

    It uses its own thread. It is a context manager: leaving it waits for the upload in progress.

    `save` first waits for the previous upload. So local files may be removed once two more
    checkpoints are saved, and a store that is slower than the training slows the training down
    instead of filling the disk. An unavailable store does not stop the training: the newest
    checkpoint waits for the store, and after the last step for at most `patience` more seconds.
    """

    def __init__(self, store: Store, number: int, arm: str, input_digest: str, *, events: str, patience: float = _PATIENCE) -> None:
        self._store, self._input_digest, self._local_events, self._patience = store, input_digest, events, patience
        self._folder, self._events = names.round_checkpoints(number, arm), names.round_events(number, arm)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="upload")
        self._pending: Future[None] | None = None
        self._lock = threading.Lock()
        self._newer: _Saved | None = None
        self._away, self._give_up = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # Interrupted promises that the checkpoint is saved.
        keep = error is None or isinstance(error, Interrupted)
        try:
            if keep and self._pending is not None:
                self._wait(self._pending)
                concurrent.futures.wait([self._pending], timeout=self._patience)
        finally:
            self._give_up.set()
            self._pool.shutdown(wait=True)
        if keep and self._pending is not None:
            self._pending.result()

    def save(self, local: str, step: int, images: int, images_without_boxes: int) -> None:
        """Start to upload the checkpoint with the local prefix `local`, and the event files.

        Raises `WorkFailed` if the previous upload failed.
        """
        prefix = f"{self._folder}/{os.path.basename(local)}"
        checkpoint = Checkpoint(
            input_digest=self._input_digest,
            step=step,
            prefix=prefix,
            files=(),
            images=images,
            images_without_boxes=images_without_boxes,
        )
        saved = _Saved(checkpoint, tuple(sorted(glob.glob(f"{glob.escape(local)}.*"))))
        if self._pending is not None:
            self._wait(self._pending)
            with self._lock:
                if self._away.is_set():
                    self._newer = saved
                    return
            self._pending.result()
        self._pending = self._pool.submit(self._upload_patiently, saved)

    def _wait(self, pending: Future[None]) -> None:
        """Wait until the upload has ended or the store is unavailable."""
        while not pending.done() and not self._away.is_set():
            concurrent.futures.wait([pending], timeout=_LOOK_SECONDS)

    def _upload_patiently(self, saved: _Saved) -> None:
        """Upload the newest saved checkpoint, as soon as the store is available.

        Raises `Unavailable` if the store was not available in time.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                self._upload(saved)
            except WorkFailed as error:
                # The files of an older one may be gone by now.
                if not isinstance(error, Unavailable) and not self._away.is_set():
                    raise
                log.warning(
                    "the store is unavailable, so the checkpoint after step %d is uploaded later; training continues: %s",
                    saved.checkpoint.step,
                    error,
                )
                self._away.set()
                if self._give_up.wait(pause):
                    raise
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                if (newer := self._take_newer(done=True)) is None:
                    return
                saved = newer
                continue
            saved = self._take_newer(done=False) or saved

    def _take_newer(self, *, done: bool) -> _Saved | None:
        """The checkpoint saved meanwhile, or None.

        If nothing is left to upload, the store no longer counts as unavailable.
        """
        with self._lock:
            newer, self._newer = self._newer, None
            if done and newer is None:
                self._away.clear()
            return newer

    def _upload(self, saved: _Saved) -> None:
        checkpoint, files = saved
        for path in files:
            self._store.put(path, f"{self._folder}/{os.path.basename(path)}")
        described = msgspec.structs.replace(checkpoint, files=tuple(map(_described, files)))
        self._store.write(f"{checkpoint.prefix}{_INDEX}", encode(described))
        for old in complete(self._store, self._folder, self._input_digest)[:-KEPT]:
            self._store.remove(old.keys)
        self._upload_events()

    def _upload_events(self) -> None:
        """Upload the event files.

        They are only for viewing, so a failure does not end the training.
        """
        for path in sorted(glob.glob(f"{glob.escape(self._local_events)}/*")):
            try:
                self._store.put(path, f"{self._events}/{os.path.basename(path)}")
            except NegsetError as error:
                log.warning("failed to upload an event file of the training; it is uploaded with the next checkpoint: %s", error)
                return
