"""Resolve the class names of a manifest to category ids of the annotations. Pure.

`formats/class_names.py` has the rule by which two names are one class, or may be.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from negset_api.errors import InvalidInput
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.class_names import Alike, called, hides_objects, key
from negset_jobs.formats.coco import Category

log = logging.getLogger(__name__)

FIELD: Final = "spec.excludeClasses"
ALLOWED: Final = "spec.selection.allowClasses"

_CLOSE: Final = 0.6
_MOST_HINTS: Final = 5
_MOST_NAMES: Final = 100


def resolve(
    wanted: Sequence[str], categories: Iterable[Category], *, allowed: Sequence[str] = (), annotated: Collection[int] | None = None
) -> frozenset[int]:
    """Return the ids of the categories that `wanted` names.

    A name stands for every class and every supercategory with an equal name, and for all classes
    below them, however deep. The classes that `allowed` spells exactly are left out.

    Raises `InvalidInput` with every name that is none of these, and similar names as hints. Raises
    it also if a class remains whose name is alike to a wanted one: it may be the same, and its
    images would be among the negatives. Only the categories with the ids in `annotated` are checked
    for that, all of them if it is None: a class without annotations is in no image.
    """
    tree = _Tree(categories)
    if unknown := [name for name in wanted if key(name) not in tree.named and key(name) not in tree.below]:
        raise InvalidInput(f"{FIELD}: {_explain(unknown, tree.categories)}")
    kept = tree.spelt(allowed)
    found = {name: tree.all_below(name) for name in wanted}
    _check_allowed(allowed, found, kept, tree)
    chosen = frozenset[int]().union(*found.values()) - kept
    _tell(found, kept, tree)
    left = [
        item for item in tree.categories if item.id not in chosen and item.id not in kept and (annotated is None or item.id in annotated)
    ]
    _tell_wider(chosen, left, tree)
    _check_alike([*wanted, *(item.name for item in tree.categories if item.id in chosen)], left, tree)
    return chosen


def alike(excluded: Collection[int], categories: Sequence[Category], *, allowed: Sequence[str] = ()) -> frozenset[int]:
    """Return the ids of other classes that may be excluded ones by another name, or contain them.

    An image that shows one is no negative, even if the excluded class is verified to be absent.
    """
    known = Alike((item.name, item.name) for item in categories if item.id in excluded)
    found = {
        item.id: item.name
        for item in categories
        if item.id not in excluded and item.name not in allowed and known.to(item.name) is not None
    }
    if found:
        log.warning("%s: images that show %s are left out, too; see %s", FIELD, _listed(found.values()), ALLOWED)
    return frozenset(found)


class _Tree:
    """The categories of a file by the keys of their names.

    `named` has the categories with a name, `below` those with it as their supercategory.
    """

    def __init__(self, categories: Iterable[Category]) -> None:
        self.categories = tuple(categories)
        self.named: Mapping[str, list[Category]] = _grouped((item.name, item) for item in self.categories)
        self.below: Mapping[str, list[Category]] = _grouped((item.supercategory, item) for item in self.categories if item.supercategory)

    def all_below(self, name: str) -> frozenset[int]:
        """Return the ids of the categories with a name or below it. A cycle ends where it began."""
        keys = self._reached(key(name))
        return frozenset(item.id for each in keys for item in (*self.named.get(each, ()), *self.below.get(each, ())))

    def all_above(self, ids: Collection[int]) -> frozenset[str]:
        """Return the keys of the supercategories above these categories, however far."""
        starts = {key(item.supercategory) for item in self.categories if item.id in ids and item.supercategory}
        return frozenset(_reached(starts, self._above)) - self._roots

    def below_those(self, meaning: Callable[[str], str | None]) -> dict[int, str]:
        """Return what the nearest supercategory with a meaning means, by the categories' ids."""
        queue = deque((name, meant) for name in self.below if name not in self._roots and (meant := meaning(name)) is not None)
        seen = {name for name, _ in queue}
        found: dict[int, str] = {}
        while queue:
            name, meant = queue.popleft()
            for item in self.below.get(name, ()):
                found.setdefault(item.id, meant)
                if key(item.name) not in seen:
                    seen.add(key(item.name))
                    queue.append((key(item.name), meant))
        return found

    @functools.cached_property
    def _roots(self) -> frozenset[str]:
        """The supercategories that have all other categories below them.

        They say nothing about these: exporters write the name of the project there.
        """
        # What comes last in a traversal has all others below it, if anything has.
        seen: set[str] = set()
        last = ""
        for name in self.named:
            if name not in seen:
                last = name
                _reached({name}, self._children, seen)
        if self.named.keys() <= self._reached(last):
            return frozenset(_reached({last}, self._above))
        # Then it can only be no category itself, and above all categories that are below no other.
        tops = {name for name in self.named if all(each == name or each not in self.named for each in self._above(name))}
        others = self.below.keys() - self.named.keys()
        return frozenset(name for name in others if tops <= self._children(name) and self.named.keys() <= self._reached(name))

    def _reached(self, name: str) -> set[str]:
        return _reached({name}, self._children)

    def _children(self, name: str) -> set[str]:
        return {key(item.name) for item in self.below.get(name, ())}

    def _above(self, name: str) -> set[str]:
        return {key(item.supercategory) for item in self.named.get(name, ()) if item.supercategory}

    def spelt(self, names: Sequence[str]) -> frozenset[int]:
        """Return the ids of the categories with exactly these names."""
        return frozenset(item.id for item in self.categories if item.name in names)


def _reached(starts: Iterable[str], following: Callable[[str], Iterable[str]], seen: set[str] | None = None) -> set[str]:
    """Return the keys that the starts lead to, and the starts themselves.

    If `seen` is given, they are added to it, and nothing is followed that is in it.
    """
    found = set() if seen is None else seen
    left = list(starts)
    found.update(left)
    while left:
        new = set(following(left.pop())) - found
        found |= new
        left += new
    return found


def _grouped(pairs: Iterable[tuple[str, Category]]) -> Mapping[str, list[Category]]:
    found: dict[str, list[Category]] = defaultdict(list)
    for name, item in pairs:
        found[key(name)].append(item)
    return found


def _check_allowed(allowed: Sequence[str], found: Mapping[str, frozenset[int]], kept: frozenset[int], tree: _Tree) -> None:
    names = [item.name for item in tree.categories]
    if unknown := [name for name in allowed if name not in names]:
        hints = "; ".join(f"{quoted(name)}{_hint(name, names)}" for name in unknown)
        raise InvalidInput(f"{ALLOWED}: expected names of classes exactly as the annotations spell them, got {hints}")
    if both := [name for name in found if name in allowed or not found[name] - kept]:
        raise InvalidInput(
            f"{ALLOWED}: expected classes that are not excluded, but it has every class that {_listed(both)} of {FIELD} names; remove it from one of them"
        )


def _tell(found: Mapping[str, frozenset[int]], kept: frozenset[int], tree: _Tree) -> None:
    """Log which classes a name stands for, where that is more than the name itself says."""
    for name, ids in found.items():
        excluded = ids - kept
        taken = [item for item in tree.categories if item.id in excluded]
        if others := [item.name for item in taken if item.name != name and key(item.name) == key(name)]:
            log.warning("%s: %s stands for %s too: the names differ only in how they are written", FIELD, quoted(name), _listed(others))
        below = [item.name for item in taken if key(item.name) != key(name)]
        if below and key(name) in tree.named:
            log.warning(
                "%s: %s is a class and also the supercategory of %s; all of them are excluded. If negatives may show one of them, add it to %s",
                *(FIELD, quoted(name), _listed(below), ALLOWED),
            )


def _tell_wider(chosen: Collection[int], left: Iterable[Category], tree: _Tree) -> None:
    above = tree.all_above(chosen)
    if wider := [item.name for item in left if key(item.name) in above]:
        log.warning(
            "%s: %s is not excluded, though an excluded class is below it; if it was used for objects of that class, add it to %s",
            *(FIELD, _listed(wider), FIELD),
        )


def _check_alike(excluded: Sequence[str], left: Sequence[Category], tree: _Tree) -> None:
    """Raise `InvalidInput` for classes that may be excluded ones; log what a slip may name."""
    alike = Alike((name, name) for name in excluded)
    above = tree.below_those(alike.to_wider)
    asked: dict[str, list[str]] = defaultdict(list)
    slips: dict[str, str] = {}
    words: dict[str, list[str]] = defaultdict(list)
    hidden = [item.name for item in left if hides_objects(item.name)]
    for item in left:
        like = alike.to(item.name) or above.get(item.id)
        if like is not None:
            asked[like].append(item.name)
        elif (word := alike.to_word(item.name)) is not None:
            words[word].append(item.name)
        elif slip := alike.to_slip(item.name):
            slips[item.name] = slip
    if asked or hidden:
        reasons = [f"{_listed(names)} may be {quoted(name)}" for name, names in asked.items()]
        found = "; ".join([*reasons, *([f"{_listed(hidden)} may hide objects of any class"] if hidden else [])])
        raise InvalidInput(
            f"{FIELD}: expected a decision about classes that may be excluded ones under another name, got none: {found}. "
            f"Add each of them to {FIELD}, or to {ALLOWED} if negatives may show it"
        )
    for word, names in words.items():
        log.warning(
            "%s: negatives may show %s, whose names have %s in them; add to %s those that are objects of it, and the others to %s",
            *(FIELD, _listed(names), quoted(word), FIELD, ALLOWED),
        )
    for name, slip in slips.items():
        log.warning("%s: the class %s is not excluded, though its name is nearly %s", FIELD, quoted(name), quoted(slip))


def _listed(names: Iterable[str]) -> str:
    known = tuple(dict.fromkeys(names))
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return ", ".join(map(quoted, known[:_MOST_NAMES])) + more


def _explain(unknown: Sequence[str], known: Sequence[Category]) -> str:
    """Return one line that explains every unknown name."""
    names = list(
        dict.fromkeys([*(category.name for category in known), *(category.supercategory for category in known if category.supercategory)])
    )
    hints = [(name, _hint(name, names)) for name in unknown]
    text = "expected names of classes or supercategories of the annotations, got " + "; ".join(f"{name!r}{hint}" for name, hint in hints)
    if all(hint for _, hint in hints):
        return text
    return f"{text}; the annotations have {_listed(names) or 'no classes; give the instances file, such as instances_train2017.json'}"


def _hint(name: str, names: Sequence[str]) -> str:
    if meant := next((other for other in names if key(other) in called(name)), None):
        return f" (the annotations call it {quoted(meant)}: exclude {quoted(meant)})"
    alike = Alike([(name, name)])
    near = [other for other in names if key(other) == key(name)] or [
        other for other in names if alike.to(other) is not None or alike.to_word(other) is not None
    ]
    if not near:
        plain = {key(known): known for known in reversed(names)}
        near = [plain[match] for match in difflib.get_close_matches(key(name), plain, n=3, cutoff=_CLOSE)]
    return f" (did you mean {' or '.join(map(quoted, dict.fromkeys(near[:_MOST_HINTS])))}?)" if near else ""
