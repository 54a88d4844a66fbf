"""Plurals and spellings of English words. Pure.

Words are given as small letters without accents and spaces. The rules may join words that have
nothing in common: they only decide which names the user is asked about.
"""

from __future__ import annotations

import re
from typing import Final

_PLURALS: Final = {
    "a": ("um", "on"),
    "ae": ("a",),
    "eaux": ("eau",),
    "es": ("", "is"),
    "i": ("us",),
    "ices": ("ex", "ix"),
    "ies": ("y",),
    "s": ("",),
    "sses": ("s",),
    "ves": ("f", "fe"),
    "zzes": ("z",),
}
"""The endings of plurals, and those of the singulars that they may be of."""

_IRREGULAR: Final = {
    "children": "child",
    "dice": "die",
    "feet": "foot",
    "geese": "goose",
    "lice": "louse",
    "men": "man",
    "mice": "mouse",
    "oxen": "ox",
    "people": "person",
    "teeth": "tooth",
}

_AMERICAN: Final = {
    "aluminium": "aluminum",
    "armour": "armor",
    "behaviour": "behavior",
    "calibre": "caliber",
    "catalogue": "catalog",
    "centre": "center",
    "cheque": "check",
    "colour": "color",
    "disc": "disk",
    "draught": "draft",
    "fibre": "fiber",
    "foet": "fet",
    "grey": "gray",
    "haem": "hem",
    "harbour": "harbor",
    "jewellery": "jewelry",
    "kerb": "curb",
    "labelled": "labeled",
    "labour": "labor",
    "leukaem": "leukem",
    "licence": "license",
    "litre": "liter",
    "metre": "meter",
    "mollusc": "mollusk",
    "mould": "mold",
    "moustache": "mustache",
    "neighbour": "neighbor",
    "odour": "odor",
    "oedem": "edem",
    "oesophag": "esophag",
    "plough": "plow",
    "programme": "program",
    "pyjama": "pajama",
    "sabre": "saber",
    "sulphur": "sulfur",
    "theatre": "theater",
    "traveller": "traveler",
    "tumour": "tumor",
    "tyre": "tire",
    "vapour": "vapor",
    "yoghurt": "yogurt",
}
_BRITISH: Final = re.compile("|".join(_AMERICAN))


def american(word: str) -> str:
    """Return a word as Americans write it."""
    return _BRITISH.sub(lambda match: _AMERICAN[match[0]], word)


def singulars(word: str) -> frozenset[str]:
    """Return all that a word may be the plural of, and the word itself."""
    found = {word}
    for ending, others in _PLURALS.items():
        if word.endswith(ending) and len(word) > len(ending) + 1:
            found.update(word.removesuffix(ending) + other for other in others)
    for ending, other in _IRREGULAR.items():
        found.update([name.removesuffix(ending) + other for name in found if name.endswith(ending)])
    return frozenset(found - {""})
