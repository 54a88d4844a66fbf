"""Who owns a revision, and the removal of revisions: all of an object's, or the oldest of them.

An object owns a revision if its marker (`owners/<uid>`) is the only one in it. The marker is
removed last: if a removal is interrupted, the next one finishes it.
"""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from negset_api import names, patterns
from negset_api.errors import NegsetError
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.download.shard_cache import parallel
from negset_jobs.pipeline import Revision

_FIELD: Final = "spec.output.revisionHistoryLimit"


def delete(revision: Revision) -> tuple[str, ...]:
    """Removes the revisions that this object made and no other one uses.

    Returns the places of those that stay, each with the reason.
    """
    mine = names.owner(revision.dataset.metadata.uid)
    left = []
    for store in (revision.store, *revision.siblings):
        why = _not_ours(store, mine)
        if not why:
            _remove_all(store, mine)
        elif store.keys():
            left.append(_left(store, why))
        store.remove([mine])
    return tuple(left)


def trim(revision: Revision) -> str:
    """Removes the earlier revisions of this object beyond `output.revisionHistoryLimit`.

    Returns the result in one line; empty if there is no limit. Errors are reported and not raised:
    the present revision is done, and the next one tries again.
    """
    limit = revision.dataset.spec.output.revision_history_limit
    if limit is None:
        return ""
    if not revision.dataset.metadata.uid:
        return f"{_FIELD}: nothing was removed: a run on a laptop has no uid, so it cannot tell which revisions are its own"
    try:
        return _trim(revision, limit)
    except NegsetError as error:
        return f"{_FIELD}: nothing was removed: {error}"


def beyond(limit: int, present: datetime, made: Mapping[str, datetime]) -> tuple[str, ...]:
    """The revisions to remove: all that are older than the present one, but for the `limit` newest
    of them.

    Revisions made at the same moment are kept or removed together.
    """
    newest = sorted((at for at in made.values() if at < present), reverse=True)[:limit]
    if len(newest) < limit:
        return ()
    oldest_kept = min((present, *newest))
    return tuple(name for name, at in made.items() if at < oldest_kept)


def _trim(revision: Revision, limit: int) -> str:
    mine = names.owner(revision.dataset.metadata.uid)
    try:
        present = revision.store.modified(mine)
    except MissingObject:
        return f"{_FIELD}: nothing was removed: the marker of the present revision is missing ({revision.store.location(mine)}), so its age is unknown"
    stores = _earlier(revision)
    made, left = _judged(stores, mine)
    wanted = beyond(limit, present, made)
    removed = []
    for name in wanted:
        try:
            _remove_all(stores[name], mine)
            stores[name].remove([mine])
            removed.append(name)
        except NegsetError as error:
            left.append(_left(stores[name], str(error)))
    counts = f"removed {len(removed)} earlier revisions, kept {len(made) - len(wanted)}, left {len(left)} alone"
    return "; ".join((f"{_FIELD} is {limit}: {counts}", *((f"removed: {', '.join(removed)}",) if removed else ()), *left))


def _earlier(revision: Revision) -> dict[str, Store]:
    """The folders beside the present revision that have the name of one.

    Listed now, and not taken from `revision.siblings`: other revisions may have come during the
    training.
    """
    root = revision.root
    found = {name: root.child(name) for name in root.folders() if patterns.REVISION.fullmatch(name)}
    return {name: store for name, store in found.items() if store.url != revision.store.url}


def _judged(stores: Mapping[str, Store], mine: str) -> tuple[dict[str, datetime], list[str]]:
    """When each revision was made that only this object owns; and why each of the others is left
    alone.
    """
    made, left = {}, []
    for name, store in stores.items():
        try:
            if not (why := _not_ours(store, mine)):
                made[name] = store.modified(mine)
            elif store.keys():  # where folders are real, a removal leaves an empty one
                left.append(_left(store, why))
        except NegsetError as error:
            left.append(_left(store, str(error)))
    return made, left


def _not_ours(store: Store, mine: str) -> str:
    """Why others than this object own a revision; empty if it is the only owner."""
    owners = store.keys(names.OWNERS_FOLDER)
    others = [posixpath.basename(key) for key in owners if key != mine]
    if others:
        return f"also made by {', '.join(others)}"
    return "" if mine in owners else "not made by this object"


def _remove_all(store: Store, mine: str) -> None:
    """Removes everything but the owner's marker.

    The stages' markers go first, so that nobody copies from a half-removed stage.
    """
    keys = [key for key in store.keys() if key != mine]  # noqa: SIM118 - a store is no dict
    markers = [key for key in keys if key.endswith(".json")]
    for group in (markers, sorted(set(keys) - set(markers))):
        parallel(functools.partial(_remove, store), group)


def _remove(store: Store, key: str) -> None:
    store.remove([key])


def _left(store: Store, why: str) -> str:
    return f"{store.location('').rstrip('/')} ({why})"
