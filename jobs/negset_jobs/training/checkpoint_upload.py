"""Uploads a round's checkpoints to the store during the training. Imports no TensorFlow."""

from __future__ import annotations

import concurrent.futures
import glob
import logging
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, NamedTuple, Self

import msgspec

from negset_api import names
from negset_api.errors import Interrupted, NegsetError, Unavailable, WorkFailed
from negset_api.values import encode
from negset_jobs.adapters.store import Store
from negset_jobs.training.checkpoints import INDEX, KEPT, Checkpoint, complete, describe

log = logging.getLogger(__name__)

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_LOOK_SECONDS: Final = 0.2
_PATIENCE: Final = 3600.0
"""A training that has made its last step waits at most this many seconds for the store.

Then its process ends, and the next process repeats the steps since the last upload.
"""


class _Saved(NamedTuple):
    """A checkpoint on this machine, and its files."""

    checkpoint: Checkpoint
    files: tuple[str, ...]


class Uploader:
    """Uploads checkpoints, and the event files in the local folder `events`, one at a time.

    It uses its own thread. It is a context manager: leaving it waits for the upload in progress.

    `save` first waits for the previous upload. So local files may be removed once two more
    checkpoints are saved. A store that is slower than the training slows the training down instead
    of filling the disk. An unavailable store does not stop the training. The newest checkpoint
    waits for the store, and after the last step for at most `patience` more seconds.
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
                # TensorFlow may have removed the files of an older one.
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
        """Return the checkpoint saved meanwhile, or None.

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
        described = msgspec.structs.replace(checkpoint, files=tuple(map(describe, files)))
        self._store.write(f"{checkpoint.prefix}{INDEX}", encode(described))
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
                log.warning("failed to upload an event file of the training; the next upload tries again: %s", error)
                return
