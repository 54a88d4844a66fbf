"""Resolve the class names of a manifest to category ids of the annotations. Pure.

`formats/class_names.py` has the rule by which two names are one class, or may be.
"""

from __future__ import annotations

import difflib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from negset_api.errors import InvalidInput
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.class_names import Alike, called, key
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
        self._roots: dict[str, bool] = {}

    def all_below(self, name: str) -> frozenset[int]:
        """Return the ids of the categories with a name or below it. A cycle ends where it began."""
        found: set[int] = set()
        seen = {key(name)}
        open_keys = [key(name)]
        while open_keys:
            at = open_keys.pop()
            for item in (*self.named.get(at, ()), *self.below.get(at, ())):
                found.add(item.id)
                if key(item.name) not in seen:
                    seen.add(key(item.name))
                    open_keys.append(key(item.name))
        return frozenset(found)

    def above(self, item: Category) -> Iterator[str]:
        """Yield the supercategories of a category, the nearest first.

        One that has all other categories below it says nothing about them: exporters write the name
        of the project there.
        """
        seen: set[str] = set()
        open_names = [item.supercategory]
        while open_names:
            name = open_names.pop()
            if name and key(name) not in seen:
                seen.add(key(name))
                if not self._is_root(key(name)):
                    yield name
                open_names += [other.supercategory for other in self.named.get(key(name), ())]

    def _is_root(self, name: str) -> bool:
        if name not in self._roots:
            below = self.all_below(name)
            self._roots[name] = all(other.id in below for other in self.categories if key(other.name) != name)
        return self._roots[name]

    def spelt(self, names: Sequence[str]) -> frozenset[int]:
        """Return the ids of the categories with exactly these names."""
        return frozenset(item.id for item in self.categories if item.name in names)


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
        taken = [item for item in tree.categories if item.id in ids - kept]
        if others := [item.name for item in taken if item.name != name and key(item.name) == key(name)]:
            log.warning("%s: %s stands for %s too: the names differ only in how they are written", FIELD, quoted(name), _listed(others))
        below = [item.name for item in taken if key(item.name) != key(name)]
        if below and key(name) in tree.named:
            log.warning(
                "%s: %s is a class and also the supercategory of %s; all of them are excluded. If negatives may show one of them, add it to %s",
                *(FIELD, quoted(name), _listed(below), ALLOWED),
            )


def _tell_wider(chosen: Collection[int], left: Iterable[Category], tree: _Tree) -> None:
    above = {key(name) for item in tree.categories if item.id in chosen for name in tree.above(item)}
    if wider := [item.name for item in left if key(item.name) in above]:
        log.warning(
            "%s: %s is not excluded, though an excluded class is below it; if it was used for objects of that class, add it to %s",
            *(FIELD, _listed(wider), FIELD),
        )


def _check_alike(excluded: Sequence[str], left: Sequence[Category], tree: _Tree) -> None:
    """Raise `InvalidInput` for classes that may be excluded ones; log what a slip may name."""
    alike = Alike((name, name) for name in excluded)
    asked: dict[str, list[str]] = defaultdict(list)
    slips: dict[str, str] = {}
    words: dict[str, list[str]] = defaultdict(list)
    for item in left:
        above = (found for name in tree.above(item) if (found := alike.to_wider(name)) is not None)
        like = alike.to(item.name) or next(above, None)
        if like is not None:
            asked[like].append(item.name)
        elif (word := alike.to_word(item.name)) is not None:
            words[word].append(item.name)
        elif slip := alike.to_slip(item.name):
            slips[item.name] = slip
    if asked:
        found = "; ".join(f"{_listed(names)} may be {quoted(name)}" for name, names in asked.items())
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
