"""Resolve the class names of a manifest to category ids of the annotations. Pure."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable, Sequence
from typing import Final

from negset_api.errors import InvalidInput
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.coco import Category

log = logging.getLogger(__name__)

FIELD: Final = "spec.excludeClasses"

_CLOSE: Final = 0.6
_MOST_NAMES: Final = 100

SYNONYMS: Final = {
    "aeroplane": "airplane",
    "auto": "car",
    "automobile": "car",
    "bike": "bicycle",
    "cellphone": "cell phone",
    "cyclist": "person",
    "diningtable": "dining table",
    "doughnut": "donut",
    "fridge": "refrigerator",
    "hairdryer": "hair drier",
    "human": "person",
    "lorry": "truck",
    "man": "person",
    "mobile phone": "cell phone",
    "monitor": "tv",
    "motorbike": "motorcycle",
    "pedestrian": "person",
    "people": "person",
    "phone": "cell phone",
    "plane": "airplane",
    "pottedplant": "potted plant",
    "purse": "handbag",
    "rider": "person",
    "ship": "boat",
    "sofa": "couch",
    "teddy": "teddy bear",
    "television": "tv",
    "traffic signal": "traffic light",
    "tv monitor": "tv",
    "tvmonitor": "tv",
    "woman": "person",
}
"""COCO's names for classes that have other names in other datasets and in everyday speech.

The datasets are Pascal VOC, Cityscapes and Open Images.
"""


def resolve(wanted: Sequence[str], categories: Iterable[Category]) -> frozenset[int]:
    """Return the ids of the categories that `wanted` names.

    A name is the exact name of a class, or else of a supercategory, which stands for all its
    classes. Raises `InvalidInput` with every name that is neither, and similar names as hints.
    A similar name is never used instead: a wrong guess would put images of the class among the
    negatives.
    """
    known = tuple(categories)
    chosen: set[int] = set()
    unknown: list[str] = []
    for name in wanted:
        classes = {category.id for category in known if category.name == name}
        members = {category.id for category in known if category.supercategory == name}
        if classes and members - classes:
            others = ", ".join(category.name for category in known if category.id in members - classes)
            log.warning("%r is a class and also the supercategory of %s; only the class is excluded", name, others)
        if not classes and not members:
            unknown.append(name)
        chosen |= classes or members
    if unknown:
        raise InvalidInput(f"{FIELD}: {_explain(unknown, known)}")
    return frozenset(chosen)


def _explain(unknown: Sequence[str], known: Sequence[Category]) -> str:
    """Return one line that explains every unknown name."""
    names = list(
        dict.fromkeys([*(category.name for category in known), *(category.supercategory for category in known if category.supercategory)])
    )
    hints = [(name, _hint(name, names)) for name in unknown]
    text = "expected names of classes or supercategories of the annotations, got " + "; ".join(f"{name!r}{hint}" for name, hint in hints)
    if all(hint for _, hint in hints):
        return text
    listed = ", ".join(quoted(name) for name in names[:_MOST_NAMES]) + (
        f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    )
    return f"{text}; the annotations have {listed or 'no classes'}"


def _hint(name: str, names: Sequence[str]) -> str:
    plain = {_plain(known): known for known in reversed(names)}
    if _plain(name) in plain:
        return f" (the annotations spell it {quoted(plain[_plain(name)])})"
    for synonym, meant in SYNONYMS.items():
        if _plain(synonym) in {_plain(name), _plain(name).removesuffix("s")} and meant in names:
            return f" (the annotations call it {meant!r}: exclude {meant!r})"
    near = dict.fromkeys(plain[match] for match in difflib.get_close_matches(_plain(name), plain, n=3, cutoff=_CLOSE))
    return f" (did you mean {' or '.join(quoted(match) for match in near)}?)" if near else ""


def _plain(name: str) -> str:
    """Return a name in lower case, without spaces, hyphens and underscores, to compare it."""
    return "".join(character for character in name.casefold() if character.isalnum())
