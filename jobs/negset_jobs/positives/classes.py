"""Which classes are trained, in label-map order."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Sequence

from negset_api.errors import InvalidInput
from negset_api.values import Value

log = logging.getLogger(__name__)


class Negatives(Value, frozen=True, kw_only=True):
    """The part of a `Plan` that says what the negatives show: the other fields of the file are
    passed over.
    """

    excluded_classes: tuple[str, ...]
    categories: dict[int, str]
    remaining_classes: dict[str, int]


def wanted_classes(requested: Sequence[str], excluded: Sequence[str], negatives: Negatives) -> tuple[str, ...]:
    """The classes that may be trained, in label-map order: the requested ones, or where there are
    none the excluded ones.

    `excluded` is `spec.excludeClasses`; a supercategory there stands for its classes, which come
    after the classes that are named themselves, in the annotations' order.
    """
    if requested:
        return tuple(dict.fromkeys(requested))
    known = negatives.excluded_classes
    return tuple(dict.fromkeys([*(name for name in excluded if name in known), *known]))


def trained_classes(
    wanted: Sequence[str], *, requested: bool, negatives: Negatives, shown: Collection[str], known: Collection[str]
) -> tuple[str, ...]:
    """The classes to train, in label-map order: those of `wanted` that the positives show.

    Where they were requested by name, that must be all of them.

    `shown` are the classes with at least one usable object, `known` all the names in the source,
    for advice. Raises `InvalidInput` where a requested class is not shown or the negatives show it,
    which would teach the detector that it is background; and where no class is left.
    """
    if requested:
        for name in wanted:
            _check_shown(name, shown, known)
            _check_absent(name, negatives)
        return tuple(wanted)
    classes = tuple(name for name in wanted if name in shown)
    if not classes:
        raise InvalidInput(
            f"spec.positives: expected usable objects of at least one of the excluded classes ({_listed(wanted)}), "
            f"got annotations of {_listed(sorted(known)) or 'nothing'}; name the classes in spec.positives.classes where they are called differently"
        )
    for name in wanted:
        if name not in classes:
            log.info("no positive shows %r: it is excluded from the negatives and not trained", name)
    return classes


def label_ids(classes: Sequence[str]) -> dict[str, int]:
    """Class → id in the label map, from 1: 0 is the background."""
    return {name: number for number, name in enumerate(classes, 1)}


def _check_shown(name: str, shown: Collection[str], known: Collection[str]) -> None:
    if name in shown:
        return
    if name in known:
        raise InvalidInput(f"spec.positives.classes: expected classes that the positives show, no image has a usable object of {name!r}")
    near = difflib.get_close_matches(name, sorted(known), n=3)
    advice = f"did you mean {_listed(near)}?" if near else f"they show {_listed(sorted(shown)) or 'nothing'}"
    raise InvalidInput(f"spec.positives.classes: expected classes that the positives show, got {name!r}; {advice}")


def _check_absent(name: str, negatives: Negatives) -> None:
    if name in negatives.excluded_classes:
        return
    if images := negatives.remaining_classes.get(name, 0):
        raise InvalidInput(
            f"spec.positives.classes: {name!r} is shown in {images} of the negatives, which would teach the detector that it is background; "
            f"add it to spec.excludeClasses"
        )
    if name in negatives.categories.values():
        return  # annotated in the source, and in none of the negatives
    log.warning("%r is trained but not among the excluded classes: the source of the negatives does not know it, so they may show it", name)


def _listed(classes: Sequence[str], most: int = 20) -> str:
    names = ", ".join(map(repr, classes[:most]))
    return f"{names} and {len(classes) - most} more" if len(classes) > most else names
