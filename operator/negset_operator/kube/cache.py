"""The objects of one kind that a reflector has read, by key and by dataset."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T", bound=Any)

Key = tuple[str, str]
"""Namespace and name, or namespace and the value of the dataset label."""


_REMEMBERED_ENDS: Final = 4096
"""Far more objects than can be deleted while one answer of the API server is in flight."""


class Cache(Generic[T]):
    """Objects by (namespace, name), and by the group that `group_of` returns for them.

    Safe to use from several threads.

    An older version never replaces a newer one. The answer to a write may be put here before the
    watch delivers it, so that the next reconcile is based on it. Resource versions of one kind can
    be compared as numbers
    (https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).

    A deleted object does not come back. If the operator removes the last finalizer, the answer to
    that write may arrive after the watch has reported the deletion.
    """

    def __init__(self, group_of: Callable[[T], Key], *, keep: Callable[[T | None, T], T] = lambda _, new: new) -> None:
        """`keep` gets the previous version of an object (None at first) and the new one.

        It returns what is kept.
        """
        self._group_of, self._keep = group_of, keep
        self._lock = threading.Lock()
        self._items: dict[Key, T] = {}
        self._groups: dict[Key, set[Key]] = defaultdict(set)
        # The version at which an object was deleted, by uid; the newest is last.
        self._ended: dict[str, int] = {}

    def put(self, item: T, *, ours: bool = False) -> bool:
        """Keep the object, unless this version or a newer one is known.

        Return True if the cache changed. `ours`: the object is the answer to a write of the
        operator. It is kept unchanged, and replaces the same version if the watch was faster.
        """
        key = _key(item)
        with self._lock:
            # Compare versions: an object that matches the selector again has the same uid.
            if _version(item) <= self._ended.get(item.metadata.uid, -1):
                return False
            known = self._items.get(key)
            if known is not None:
                if _version(known) >= _version(item) + ours:
                    return False
                self._forget(known)
            item = item if ours else self._keep(known, item)
            self._items[key] = item
            self._groups[self._group_of(item)].add(key)
            return True

    def remove(self, item: T) -> None:
        with self._lock:
            self._end(item, _version(item))
            known = self._items.get(_key(item))
            # An object may have been deleted and created again under the same name. The deletion of
            # the first must not remove the second.
            if known is not None and known.metadata.uid == item.metadata.uid:
                self._forget(known)

    def replace(self, items: Iterable[T], version: int, namespace: str = "") -> tuple[list[T], list[T]]:
        """Replace the objects by those of a list with this resource version.

        Objects that are newer than the list stay: they are answers to writes of the operator. If
        the list is of one `namespace`, objects of others stay. Return the objects that are new or
        changed, and those that were deleted.
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
        """Return the objects of one group, in the order of their names."""
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
