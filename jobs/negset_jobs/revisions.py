"""Ownership of revisions, and the removal of all or the oldest revisions of an object.

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
from negset_jobs.adapters.threads import parallel
from negset_jobs.pipeline import Revision

_FIELD: Final = "spec.output.revisionHistoryLimit"


def delete(revision: Revision) -> tuple[str, ...]:
    """Remove the revisions that this object made and no other object uses.

    Return the locations of the revisions that are kept, each with the reason.
    """
    mine = names.owner(revision.dataset.metadata.uid)
    kept = []
    for store in (revision.store, *revision.siblings):
        why = _not_ours(store, mine)
        if not why:
            _remove_all(store, mine)
        elif store.keys():
            kept.append(_kept(store, why))
        store.remove([mine])
    return tuple(kept)


def trim(revision: Revision) -> str:
    """Remove the earlier revisions of this object beyond `output.revisionHistoryLimit`.

    Return the result in one line; empty if there is no limit. Errors are reported and not raised:
    the current revision is done, and the next one tries again.
    """
    limit = revision.dataset.spec.output.revision_history_limit
    if limit is None:
        return ""
    if not revision.dataset.metadata.uid:
        return f"{_FIELD}: nothing was removed: a run on a laptop has no uid, so its own revisions are unknown"
    try:
        return _trim(revision, limit)
    except NegsetError as error:
        return f"{_FIELD}: nothing was removed: {error}"


def beyond(limit: int, present: datetime, made: Mapping[str, datetime]) -> tuple[str, ...]:
    """Return the revisions to remove: those older than the present one, except the `limit` newest.

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
        return f"{_FIELD}: nothing was removed: the marker of the current revision is missing ({revision.store.location(mine)}), so its age is unknown"
    stores = _earlier(revision)
    made, skipped = _classified(stores, mine)
    wanted = beyond(limit, present, made)
    removed = []
    for name in wanted:
        try:
            _remove_all(stores[name], mine)
            stores[name].remove([mine])
            removed.append(name)
        except NegsetError as error:
            skipped.append(_kept(stores[name], str(error)))
    counts = f"removed {len(removed)} earlier revisions, kept {len(made) - len(wanted)}, skipped {len(skipped)}"
    return "; ".join((f"{_FIELD} is {limit}: {counts}", *((f"removed: {', '.join(removed)}",) if removed else ()), *skipped))


def _earlier(revision: Revision) -> dict[str, Store]:
    """Return the other folders of the dataset whose name is a revision's.

    They are listed again, because `revision.siblings` may be old: other revisions may have been
    added during the training.
    """
    root = revision.root
    found = {name: root.child(name) for name in root.folders() if patterns.REVISION.fullmatch(name)}
    return {name: store for name, store in found.items() if store.url != revision.store.url}


def _classified(stores: Mapping[str, Store], mine: str) -> tuple[dict[str, datetime], list[str]]:
    """Return when each revision of this object was made, and why each other one is skipped."""
    made, skipped = {}, []
    for name, store in stores.items():
        try:
            if not (why := _not_ours(store, mine)):
                made[name] = store.modified(mine)
            elif store.keys():  # on a file system, a removed revision leaves an empty folder
                skipped.append(_kept(store, why))
        except NegsetError as error:
            skipped.append(_kept(store, str(error)))
    return made, skipped


def _not_ours(store: Store, mine: str) -> str:
    """Return why this object is not the only owner of a revision; empty if it is."""
    owners = store.keys(names.OWNERS_FOLDER)
    others = [posixpath.basename(key) for key in owners if key != mine]
    if others:
        return f"also made by {', '.join(others)}"
    return "" if mine in owners else "not made by this object"


def _remove_all(store: Store, mine: str) -> None:
    """Remove everything but the owner's marker.

    The stages' markers are removed first, so that no other job copies a half-removed stage.
    """
    keys = [key for key in store.keys() if key != mine]  # noqa: SIM118 - a store is no dict
    markers = [key for key in keys if key.endswith(".json")]
    for group in (markers, sorted(set(keys) - set(markers))):
        parallel(functools.partial(_remove, store), group)


def _remove(store: Store, key: str) -> None:
    store.remove([key])


def _kept(store: Store, why: str) -> str:
    return f"{store.location('').rstrip('/')} ({why})"
