"""Copy a stage that another revision of the dataset made from the same inputs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from negset_api.values import Value
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.formats.stored import commit, find
from negset_jobs.pipeline.revision import Revision

log = logging.getLogger(__name__)

V = TypeVar("V", bound=Value)


def reuse(
    revision: Revision,
    marker: str,
    input_digest: str,
    kind: type[V],
    *,
    files: Sequence[str] = (),
    folders: Sequence[str] = (),
    usable: Callable[[V], bool] = lambda _: True,
    complete: Callable[[], None] = lambda: None,
) -> V | None:
    """Copy a stage of another revision that was made from the same inputs and is `usable`.

    Its files, all of which must exist, and every object of its folders are copied, then the marker.
    `complete` is called before the marker is written. The other revision may be removed during the
    copy (`revisions.trim`), or another run may make its stage again. Either removes the marker
    first: if every object was there, and the marker is the same after the copy, the copy is
    complete.
    """
    for sibling in revision.siblings:
        value = find(sibling, marker, kind)
        if value is None or getattr(value, "input_digest", None) != input_digest or not usable(value):
            continue
        if not all(map(sibling.exists, files)):
            log.info("%s is not copied from %s: files of it were removed", marker, sibling.url)
            continue
        keys = [*files, *(key for folder in folders for key in sibling.keys(folder))]
        if not _all_copied(revision.store, sibling, keys) or find(sibling, marker, kind) != value:
            log.info("%s changed while %s was copied from it; dropped the copy", sibling.url, marker)
            revision.store.remove(keys)
            continue
        complete()
        commit(revision.store, marker, value)
        log.info("copied %s from %s: it was made from the same inputs", marker, sibling.url)
        return value
    return None


def _all_copied(target: Store, source: Store, keys: Sequence[str]) -> bool:
    """Copy the objects. Return False if one of them no longer exists."""
    try:
        for key in keys:
            target.copy(source, key)
    except MissingObject:
        return False
    return True
