"""Decides which classes are trained, in label-map order."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Sequence

from negset_api.errors import InvalidInput
from negset_api.values import Value
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.class_names import Alike, Spelling, distinct, key

log = logging.getLogger(__name__)


class Negatives(Value, frozen=True, kw_only=True):
    """The part of a `Plan` about what the negatives show.

    The other fields of the file are ignored.
    """

    excluded_classes: tuple[str, ...]
    categories: dict[int, str]
    remaining_classes: dict[str, int]


def wanted_classes(requested: Sequence[str], excluded: Sequence[str], negatives: Negatives) -> tuple[str, ...]:
    """Return the classes that may be trained, in label-map order.

    They are the requested classes or, if none are requested, the excluded ones. `excluded` is
    `spec.excludeClasses`. A supercategory there means its classes; they come after the classes that
    are named themselves, in the annotations' order. Equal names are one class, spelled as in the
    manifest.
    """
    if requested:
        return distinct(requested)
    known = negatives.excluded_classes
    keys = set(map(key, known))
    return distinct([*(name for name in excluded if key(name) in keys), *known])


def trained_classes(
    wanted: Sequence[str],
    *,
    requested: bool,
    negatives: Negatives,
    shown: Collection[str],
    known: Collection[str],
    allowed: Collection[str] = (),
) -> tuple[str, ...]:
    """Return the classes to train, in label-map order: those of `wanted` that the positives show.

    If classes were requested by name, all of them must be shown.

    `shown` are the classes with at least one usable object, `known` all the names in the source,
    for advice. `allowed` is `spec.selection.allowClasses`.

    Raises `InvalidInput` if a requested class is not shown, or if no class is left. Raises it also
    if the negatives show a requested class, or one that may be it: the detector would learn it as
    background.
    """
    _tell_alike(wanted, known)
    if requested:
        for name in wanted:
            _check_shown(name, shown, known)
            _check_absent(name, negatives, allowed)
        return tuple(wanted)
    classes = tuple(name for name in wanted if name in shown)
    if not classes and (named := [name for name in wanted if key(name) in map(key, known)]):
        raise InvalidInput(
            f"spec.positives: expected usable objects of at least one of the excluded classes, got {_listed(named)} in images or boxes only that "
            "cannot be used; positives/failed.jsonl and positives/rejected.jsonl list why"
        )
    if not classes:
        raise InvalidInput(
            f"spec.positives: expected usable objects of at least one of the excluded classes ({_listed(wanted)}), got {_advice(known)}"
        )
    for name in wanted:
        if name not in classes:
            log.info("no positive shows %r, so it is excluded from the negatives but not trained", name)
    return classes


def _advice(known: Collection[str]) -> str:
    if known:
        return f"annotations of {_listed(sorted(known))}; if they have other names there, set spec.positives.classes"
    return "no annotated object at all; some tools leave out polygons and masks in formats of boxes, but export them as COCO"


def label_ids(classes: Sequence[str]) -> dict[str, int]:
    """Return the id of each class in the label map, from 1: 0 is the background."""
    return {name: number for number, name in enumerate(classes, 1)}


def _check_shown(name: str, shown: Collection[str], known: Collection[str]) -> None:
    if name in shown:
        return
    if name in known:
        raise InvalidInput(f"spec.positives.classes: expected classes that the positives show, no image has a usable object of {name!r}")
    near = difflib.get_close_matches(name, sorted(known), n=3)
    advice = f"did you mean {_listed(near)}?" if near else f"they show {_listed(sorted(shown)) or 'nothing'}"
    raise InvalidInput(f"spec.positives.classes: expected classes that the positives show, got {name!r}; {advice}")


def _check_absent(name: str, negatives: Negatives, allowed: Collection[str]) -> None:
    if key(name) in map(key, negatives.excluded_classes):
        return
    for shown, images in negatives.remaining_classes.items():
        if key(shown) == key(name):
            raise InvalidInput(
                f"spec.positives.classes: {images} of the negatives show {quoted(shown)}, so the detector would learn it as background; "
                f"add it to spec.excludeClasses"
            )
        if shown not in allowed and Alike([(name, name)]).to(shown) is not None:
            raise InvalidInput(
                f"spec.positives.classes: {images} of the negatives show {quoted(shown)}, which may be {name!r}, so the detector would learn it as "
                f"background; add it to spec.excludeClasses, or to spec.selection.allowClasses if negatives may show it"
            )
    if key(name) in map(key, negatives.categories.values()):
        return  # annotated in the source, and in none of the negatives
    log.warning(
        "%r is trained but not excluded: the annotations of the negatives do not have this class, so the negatives may show it", name
    )


def _tell_alike(wanted: Sequence[str], known: Collection[str]) -> None:
    alike, spelling = Alike((name, name) for name in wanted), Spelling(wanted)
    for name in sorted(known):
        like = alike.to(name) or alike.to_word(name)
        if spelling.of(name) is None and like is not None:
            log.warning(
                "the positives have the class %s, which may be %r: its objects are not trained, and images that show them teach them as background; "
                "if it is the same class, give it the same name; if it is another, add it to spec.positives.classes",
                *(quoted(name), like),
            )


def _listed(classes: Sequence[str], most: int = 20) -> str:
    names = ", ".join(map(repr, classes[:most]))
    return f"{names} and {len(classes) - most} more" if len(classes) > most else names
