"""What a reflector knows: the objects of one kind, found by key or by the dataset they belong to."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T", bound=Any)

Key = tuple[str, str]
"""Namespace and name, or namespace and the value of the dataset label."""


_REMEMBERED_ENDS: Final = 4096
"""Far more than objects of one kind can end while one answer is under way."""


class Cache(Generic[T]):
    """Objects by (namespace, name), and by the group that `group_of` puts them in.

    Safe to use from several threads.

    An older version never replaces a newer one: what a write answered may be put here before the
    watch delivers it, so that the next reconcile already sees what this one did. Resource versions
    of one kind may be compared as numbers
    (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions). What has been
    deleted does not come back: the answer to a write of ours that ends an object (its last
    finalizer) may arrive after the news of its end.
    """

    def __init__(self, group_of: Callable[[T], Key], *, seen: Callable[[T | None, T], T] = lambda _, new: new) -> None:
        """`seen` turns an object's new version, given the one before (None for the first), into
        what is kept of it.
        """
        self._group_of, self._seen = group_of, seen
        self._lock = threading.Lock()
        self._items: dict[Key, T] = {}
        self._groups: dict[Key, set[Key]] = defaultdict(set)
        # By uid, the version at which it was gone; the newest last.
        self._ended: dict[str, int] = {}

    def put(self, item: T, *, ours: bool = False) -> bool:
        """Keeps the object, unless this version or a newer one is known.

        Returns whether it was news. With `ours`, what a write of ours has answered: it is kept as
        it is, also in the place of the same version, which the watch may have brought before.
        """
        key = _key(item)
        with self._lock:
            # By version, since an object that comes back within the selector is the same one.
            if _version(item) <= self._ended.get(item.metadata.uid, -1):
                return False
            known = self._items.get(key)
            if known is not None:
                if _version(known) >= _version(item) + ours:
                    return False
                self._forget(known)
            item = item if ours else self._seen(known, item)
            self._items[key] = item
            self._groups[self._group_of(item)].add(key)
            return True

    def remove(self, item: T) -> None:
        with self._lock:
            self._end(item, _version(item))
            known = self._items.get(_key(item))
            # Deleted and made again under the same name: the news of the first one's end must not
            # hide the second.
            if known is not None and known.metadata.uid == item.metadata.uid:
                self._forget(known)

    def replace(self, items: Iterable[T], version: int, namespace: str = "") -> tuple[list[T], list[T]]:
        """Makes this exactly the objects of a list of that resource version, and what is newer than
        the list: what a write of ours has answered since. Returns the ones that are new or changed,
        and the ones that are gone. The list of one `namespace` says nothing about the objects of
        others.
        """
        listed = {_key(item): item for item in items}
        with self._lock:
            of_list = (key for key in self._items if not namespace or key[0] == namespace)
            gone = [self._items[key] for key in of_list if key not in listed and _version(self._items[key]) <= version]
            for known in gone:
                self._forget(known)
                self._end(known, version)
        return [item for item in listed.values() if self.put(item)], gone

    def get(self, namespace: str, name: str) -> T | None:
        with self._lock:
            return self._items.get((namespace, name))

    def group(self, key: Key) -> tuple[T, ...]:
        """The objects of one group, in the order of their names."""
        with self._lock:
            return tuple(self._items[member] for member in sorted(self._groups.get(key, ())))

    def all(self) -> tuple[T, ...]:
        with self._lock:
            return tuple(self._items.values())

    def group_of(self, item: T) -> Key:
        return self._group_of(item)

    def _end(self, item: T, version: int) -> None:
        self._ended.pop(item.metadata.uid, None)
        self._ended[item.metadata.uid] = version
        while len(self._ended) > _REMEMBERED_ENDS:
            del self._ended[next(iter(self._ended))]

    def _forget(self, known: T) -> None:
        key, group = _key(known), self._group_of(known)
        del self._items[key]
        self._groups[group].discard(key)
        if not self._groups[group]:
            del self._groups[group]


def _key(item: Any) -> Key:
    return item.metadata.namespace, item.metadata.name


def _version(item: Any) -> int:
    return int(item.metadata.resource_version or 0)
