"""The checkpoint to start from, in any form that users have.

It is a prefix, a folder, an `.index` file or a `.tar.gz` archive, at any URL. Imports no
TensorFlow; `warm_start` looks into the checkpoint.

A checkpoint `ckpt-7` is a file `ckpt-7.index` and one or more `ckpt-7.data-00000-of-00001`
(https://www.tensorflow.org/guide/checkpoint).
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from negset_api.errors import InvalidInput
from negset_api.spec import Training
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import list_input, open_input
from negset_jobs.adapters.quoting import quoted
from negset_jobs.adapters.store_errors import MissingInput
from negset_jobs.adapters.urls import InvalidUrl, Url, shown
from negset_jobs.training import bundle
from negset_jobs.training.protos import train_pb2

_CONFIG: Final = "spec.training.pipelineConfig"
_FIELD: Final = "spec.training.fineTuneCheckpoint"
_PLACEHOLDER: Final = "PATH_TO_BE_CONFIGURED"
_SAVED_VARIABLES: Final = "variables"
_ARCHIVES: Final = (".tar.gz", ".tgz", ".tar")
_SHARD: Final = re.compile(r"\.data-\d{5}-of-\d{5}$")
_MEMBER: Final = re.compile(r"[\w.+-]+(\.index|\.data-\d{5}-of-\d{5})|checkpoint")
# Unpacked size of an archive. The largest of the model zoo has less than 2 GiB.
_MOST_BYTES: Final = 8 << 30
_EXPECTED: Final = "expected a checkpoint of TensorFlow 2 (its prefix, its folder, its .index file or a .tar.gz of it)"


class Location(msgspec.Struct, frozen=True):
    """The location of a checkpoint.

    It is the URL of its prefix with the number of its data files, or the URL of an archive.
    """

    url: Url
    shards: int = 0
    archive: bool = False

    @property
    def files(self) -> list[Url]:
        """The URLs of the checkpoint's files."""
        return [_with(self.url, suffix) for suffix in (bundle.INDEX, *bundle.suffixes(self.shards))]


def origin(config: Any, training: Training) -> tuple[str, str]:
    """Return the URL to start from and the field that names it; empty if there is none.

    The spec's URL has precedence over the configuration's. Raises `InvalidInput` for a placeholder.
    """
    if training.fine_tune_checkpoint:
        return training.fine_tune_checkpoint, _FIELD
    own = config.train_config.fine_tune_checkpoint
    if _PLACEHOLDER in own:
        raise InvalidInput(
            f"{_CONFIG}: train_config.fine_tune_checkpoint is {quoted(own)}, a placeholder; give the checkpoint's URL in "
            f"{_FIELD}, or remove the line to train from scratch"
        )
    return own, f"{_CONFIG}: train_config.fine_tune_checkpoint"


def check(config: Any, training: Training, access: Access) -> None:
    """Check that the checkpoint to start from, if any, exists and has all its files.

    Raises `InvalidInput` if not.
    """
    url, field = origin(config, training)
    if not url:
        return
    location = find(url, access, field)
    if location.archive:
        with _archive(location.url, access, field) as archive:
            archive.next()
        return
    for file in location.files:
        with _part_of(location.url, file, field), open_input(file, access, field) as stream:
            if not stream.read(1):
                raise InvalidInput(f"{field}: {_EXPECTED}, {shown(file)} is empty; upload the checkpoint again")


def find(url: str, access: Access, field: str) -> Location:
    """Find the checkpoint that a URL means.

    Raises `InvalidInput`, naming `field`, if it means none.
    """
    given = access.check_url(url, field)
    path, query, rest = given.leaf.path.partition("?")
    if path.endswith(_ARCHIVES):
        return Location(given, archive=True)
    if path.endswith(bundle.INDEX):
        return _at_prefix(_moved(given, path.removesuffix(bundle.INDEX) + query + rest, field), access, field)
    if _SHARD.search(path):
        return _at_prefix(_moved(given, _SHARD.sub("", path) + query + rest, field), access, field)
    try:
        return _at_prefix(given, access, field)
    except MissingInput:
        return _in_folder(_moved(given, given.leaf.path.rstrip("/"), field), access, field)


def fetch(location: Location, access: Access, field: str, folder: str) -> str:
    """Fetch the checkpoint's files into the local `folder`.

    Returns the local prefix. Raises `InvalidInput`, naming `field`.
    """
    os.makedirs(folder, exist_ok=True)
    if location.archive:
        return _unpack(location.url, access, field, folder)
    for file in location.files:
        target = os.path.join(folder, file.name)
        with _part_of(location.url, file, field), open_input(file, access, field) as stream, open(target, "wb") as local:
            shutil.copyfileobj(stream, local)
    return os.path.join(folder, location.url.name)


def patch(config: Any, prefix: str, kind: str) -> Any:
    """Return a copy that starts from the checkpoint at `prefix`; from none if that is empty.

    `kind` says which part of the checkpoint is used.
    """
    patched = copy.deepcopy(config)
    train = patched.train_config
    train.fine_tune_checkpoint, train.fine_tune_checkpoint_type = prefix, kind
    train.fine_tune_checkpoint_version = train_pb2.CheckpointVersion.V2
    return patched


def _at_prefix(prefix: Url, access: Access, field: str) -> Location:
    index = _with(prefix, bundle.INDEX)
    with open_input(index, access, field) as stream:
        start = stream.read(16)
    try:
        return Location(prefix, bundle.shards(start))
    except ValueError as error:
        raise InvalidInput(f"{field}: {_EXPECTED}, {shown(index)} is not the index of one; upload the checkpoint again") from error


def _in_folder(folder: Url, access: Access, field: str) -> Location:
    for place in (folder, _within(folder, bundle.STATE)):
        try:
            names = list_input(place, access, field)
        except MissingInput:
            continue
        state = ""
        if bundle.STATE in names and any(name.endswith(bundle.INDEX) for name in names):
            with open_input(_within(place, bundle.STATE), access, field) as stream:
                state = stream.read(1 << 16).decode(errors="replace")
        if prefix := bundle.newest(names, state):
            return _at_prefix(_found(place, prefix, field), access, field)
    raise MissingInput(f"{field}: {_EXPECTED}, found none at {shown(folder)}")


@contextlib.contextmanager
def _part_of(url: Url, file: Url, field: str) -> Iterator[None]:
    """Report a missing file as a part of an incomplete checkpoint."""
    try:
        yield
    except MissingInput as error:
        raise InvalidInput(
            f"{field}: the checkpoint at {shown(url)} is incomplete, {shown(file)} does not exist; upload all of its files"
        ) from error


def _unpack(url: Url, access: Access, field: str, folder: str) -> str:
    """Unpack only the files of checkpoints, each folder of the archive into a folder of its own.

    Returns the local prefix of the newest checkpoint.
    """
    folders: dict[str, str] = {}
    with _archive(url, access, field) as archive:
        left = _MOST_BYTES
        for member in archive:
            directory, name = os.path.split(member.name)
            left -= max(0, member.size)
            if left < 0:
                raise InvalidInput(f"{field}: expected an archive of at most {_MOST_BYTES >> 30} GiB, {shown(url)} unpacks to more")
            # The variables of a SavedModel look like a checkpoint, but their names are not those of
            # the model.
            if not member.isfile() or not _MEMBER.fullmatch(name) or os.path.basename(directory) == _SAVED_VARIABLES:
                continue
            # Only the last part of the name in the archive decides where the file is written.
            target = folders.setdefault(directory, os.path.join(folder, str(len(folders))))
            os.makedirs(target, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None
            with open(os.path.join(target, name), "wb") as local:
                shutil.copyfileobj(content, local)
    for place in folders.values():
        if prefix := _whole(place, url, field):
            return prefix
    raise InvalidInput(f"{field}: {_EXPECTED}, the archive {shown(url)} has none")


def _whole(place: str, url: Url, field: str) -> str:
    """Return the prefix of the newest checkpoint of a local folder; empty if there is none.

    Raises `InvalidInput` if a file is missing.
    """
    names = os.listdir(place)
    state = ""
    if bundle.STATE in names:
        with open(os.path.join(place, bundle.STATE), encoding="utf-8", errors="replace") as stream:
            state = stream.read(1 << 16)
    found = bundle.newest(names, state)
    if not found:
        return ""
    prefix = os.path.join(place, found)
    with open(f"{prefix}{bundle.INDEX}", "rb") as index:
        start = index.read(16)
    try:
        missing = [suffix for suffix in bundle.suffixes(bundle.shards(start)) if not os.path.exists(prefix + suffix)]
    except ValueError as error:
        raise InvalidInput(
            f"{field}: {_EXPECTED}, {found}{bundle.INDEX} in {shown(url)} is not the index of one; make the archive again"
        ) from error
    if missing:
        raise InvalidInput(f"{field}: the checkpoint in {shown(url)} is incomplete, {found}{missing[0]} is missing; make the archive again")
    return prefix


@contextlib.contextmanager
def _archive(url: Url, access: Access, field: str) -> Iterator[tarfile.TarFile]:
    """Yield an archive that is read once, from front to back."""
    with open_input(url, access, field) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                yield archive
        except tarfile.TarError as error:
            raise InvalidInput(
                f"{field}: expected a complete .tar.gz archive, {shown(url)} is not an archive or is truncated; upload it again"
            ) from error


def _with(url: Url, suffix: str) -> Url:
    """Return the URL with a suffix on the file's path."""
    return url.with_path(url.leaf.path + suffix)


def _within(folder: Url, name: str) -> Url:
    return _with(folder, f"/{name}")


def _moved(url: Url, path: str, field: str) -> Url:
    """Return the URL with another path. The user's URL decides both."""
    try:
        return url.with_path(path)
    except InvalidUrl as error:
        raise InvalidInput(f"{field}: {_EXPECTED}, got {shown(url)}") from error


def _found(folder: Url, name: str, field: str) -> Url:
    """Return the URL of a file that a folder lists under this name."""
    try:
        return _within(folder, name)
    except InvalidUrl as error:
        raise InvalidInput(f"{field}: {shown(folder)} holds a checkpoint whose name is not valid in a URL; rename it") from error
