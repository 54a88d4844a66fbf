"""Decides when two names of classes are the same class, or may be. Pure.

People and tools write one class in many ways. Two rules hold wherever a class is named:

- Names are *equal* if only case, width, white space, hyphens, underscores, the composition of
  letters or invisible characters differ. Equal names are one class.
- Names are *alike* if they may be one class: a plural, a synonym, another punctuation, letters of
  another script with the same shape, or a name that contains the other as whole words. negset does
  not decide about them: a wrong guess puts images of the class among the negatives, or leaves out
  good ones. The user decides.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar

from negset_jobs.formats.english import american, singulars

T = TypeVar("T")

_SEPARATORS: Final = frozenset({"Zs", "Zl", "Zp", "Pd", "Pc"})
_INVISIBLE: Final = frozenset({"Cc", "Cf"})
# Characters of other categories that no font shows: Default_Ignorable_Code_Point of Unicode's
# DerivedCoreProperties.txt, the variation selectors among them; the blank of Braille; and a minus
# sign, which is written for a hyphen.
_DROPPED: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\u2212" + "".join(map(chr, range(0xFE00, 0xFE10))))

# Cyrillic and Greek small letters that look like a Latin one. Then Latin letters with an accent,
# or of two letters, that Unicode does not take apart.
_SHAPES: Final = str.maketrans(
    dict(zip("аеіјкмнорѕтухαεικνορτυχıøłđðħ", "aeijkmhopstyxaeikvoptuxiolddh", strict=True)) | {"æ": "ae", "œ": "oe", "þ": "th"}
)

_SHORTEST_SLIP: Final = 5
"""Letters that a name needs for a slip of the pen to be found: `cat` and `car` are two classes."""

SYNONYMS: Final = {
    "aeroplane": "airplane",
    "auto": "car",
    "automobile": "car",
    "bike": "bicycle",
    "cellphone": "cell phone",
    "diningtable": "dining table",
    "doughnut": "donut",
    "fridge": "refrigerator",
    "hairdryer": "hair drier",
    "human": "person",
    "lorry": "truck",
    "mobile phone": "cell phone",
    "monitor": "tv",
    "motorbike": "motorcycle",
    "people": "person",
    "phone": "cell phone",
    "plane": "airplane",
    "pottedplant": "potted plant",
    "purse": "handbag",
    "ship": "boat",
    "sofa": "couch",
    "teddy": "teddy bear",
    "television": "tv",
    "traffic signal": "traffic light",
    "tv monitor": "tv",
    "tvmonitor": "tv",
}
"""COCO's names for classes that have other names in other datasets and in everyday speech.

The datasets are Pascal VOC, Cityscapes and Open Images.
"""

KINDS: Final = {
    **dict.fromkeys(("adult", "baby", "boy", "child", "girl", "infant", "kid", "man", "toddler", "woman"), "person"),
    **dict.fromkeys(("crowd", "female", "gentleman", "guy", "lady", "male", "policeman", "soldier", "teenager"), "person"),
    **dict.fromkeys(("bicyclist", "cyclist", "driver", "motorcyclist", "passenger", "pedestrian", "rider", "worker"), "person"),
    **dict.fromkeys(("cab", "hatchback", "jeep", "sedan", "suv", "taxi", "van"), "car"),
    **dict.fromkeys(("moped", "scooter"), "motorcycle"),
    "coach": "bus",
    "ferry": "boat",
    "jet": "airplane",
    "kitten": "cat",
    "pickup": "truck",
    "puppy": "dog",
    "yacht": "boat",
}
"""Names for some of the objects of a class of COCO.

Where a dataset has the wider class, it may be used for these objects, and the other way around. Two
kinds of one class are not alike: a man is no woman.
"""

_OTHER_THINGS: Final = frozenset({("hotdog", "dog"), ("teddybear", "bear")})
"""Names with the word of a class in them that are another class in COCO itself."""

_BETWEEN: Final = re.compile(r"[./>:|,;&+]+|(?<=[\s_])(?:and|or)(?=[\s_])")
"""What stands between the parts of a path, or of a list: `car, truck` may be a car."""

_IGNORED: Final = frozenset(
    {"dontcare", "ignore", "ignored", "ignorearea", "ignoredarea", "ignoreregion", "ignoredregion", "outofroi", "unannotated", "unlabeled"}
)
"""Names for regions in which nothing was annotated, such as KITTI's and VisDrone's."""

_NEGATIONS: Final = frozenset({"no", "non", "not", "without"})
"""What follows one of these words in a name is not there: `no helmet` shows none."""


@functools.lru_cache(maxsize=1 << 16)
def key(name: str) -> str:
    """Return what all equal names have in common."""
    # Case folding can undo the composition, and composition can give a capital letter.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).casefold()
    kept = "".join(c for c in folded if c not in _DROPPED and unicodedata.category(c) not in _SEPARATORS | _INVISIBLE)
    return unicodedata.normalize("NFKC", kept) or name.strip()


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Return the first of the names that are equal, in their order."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(key(name), name)
    return tuple(first.values())


def called(name: str) -> frozenset[str]:
    """Return the keys of COCO's classes that a name is a synonym of, or some of the objects of."""
    letters = _letters(name)
    return (_meanings(letters) - singulars(letters)) | _wider(letters)


def hides_objects(name: str) -> bool:
    """Return True for a name of regions in which objects of any class were left unannotated."""
    return not _IGNORED.isdisjoint(singulars(_letters(name)))


class Spelling:
    """The names that a manifest uses for classes, found by any equal name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {key(name): name for name in distinct(names)}

    def of(self, name: str) -> str | None:
        """Return the manifest's spelling of a name; None if no name there is equal."""
        return self._names.get(key(name))


class Alike(Generic[T]):
    """Finds which of some names other names are alike to.

    The names are indexed once, so that a thousand of them and a thousand others take a moment.
    """

    def __init__(self, names: Iterable[tuple[str, T]]) -> None:
        self._same: dict[str, T] = {}
        self._wider: dict[str, T] = {}
        self._slips: dict[str, T] = {}
        for name, value in names:
            _add(self._same, _meanings(_letters(name)), value)
            _add(self._wider, _wider(_letters(name)), value)
            _add(self._slips, _slips(name), value)

    def to(self, name: str) -> T | None:
        """Return the value of a name that `name` is alike to, or None.

        Numbers and words in brackets make no difference, and each part of a path or list counts.
        """
        return next((found for core in _cores(name) if (found := self._whole(core)) is not None), None)

    def to_word(self, name: str) -> T | None:
        """Return the value of a name that is alike to some of the words of `name`, or None.

        A sports car is a car, and a car park is none.
        """
        return self._part(name, _letters(name))

    def _whole(self, name: str) -> T | None:
        letters = _letters(name)
        found = self._meant(letters)
        return found if found is not None else _get(self._wider, _meanings(letters))

    def to_wider(self, name: str) -> T | None:
        """Return the value of a name that means the same as `name`, or a class that contains it."""
        return self._meant(_letters(name))

    def to_slip(self, name: str) -> T | None:
        """Return the value of a name that differs in one letter, or in the order of two."""
        return _get(self._slips, _slips(name))

    def _meant(self, letters: str) -> T | None:
        return _get(self._same, (*_meanings(letters), *_wider(letters)))

    def _part(self, name: str, whole: str) -> T | None:
        for part in _parts(name):
            if (whole, part) not in _OTHER_THINGS and (found := self._meant(part)) is not None:
                return found
        return None


def _add(index: dict[str, T], meanings: Iterable[str], value: T) -> None:
    for meaning in meanings:
        index.setdefault(meaning, value)


def _get(index: dict[str, T], meanings: Iterable[str]) -> T | None:
    return next((index[meaning] for meaning in meanings if meaning in index), None)


def _letters(name: str) -> str:
    """Return the letters and digits of a name: Latin ones for all that look so, in American."""
    plain = unicodedata.normalize("NFKD", key(name)).translate(_SHAPES)
    return american("".join(character for character in plain if character.isalnum()))


def _cores(name: str) -> Iterator[str]:
    """Yield a name, its parts if it is a path or a list, and it without brackets and numbers."""
    yield name
    yield re.sub(r"\(.*?\)|\[.*?\]", " ", name)
    yield from _BETWEEN.split(name)
    yield "".join(word for word in _words(name) if not word.isdigit())


def _words(name: str) -> list[str]:
    """Return the words of a name, each as `_letters` does.

    A word ends at anything but a letter, and at a capital letter within it: `PersonSitting`.
    """
    spaced = re.sub(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])|(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    return [letters for word in re.split(r"[\W_]+", spaced) if (letters := _letters(word))]


def _parts(name: str) -> Iterator[str]:
    """Yield every run of whole words of a name, apart from the name itself.

    What follows a negation is left out.
    """
    words = _words(name)
    shown = list(itertools.takewhile(lambda word: word not in _NEGATIONS, words))
    for size in range(min(len(shown), len(words) - 1), 0, -1):
        for start in range(len(shown) - size + 1):
            # A digit or a single letter names a class only on its own: `1` is not in `lane 1`.
            if len(part := "".join(shown[start : start + size])) > 1 and not part.isdigit():
                yield part


@functools.lru_cache(maxsize=1 << 14)
def _meanings(letters: str) -> frozenset[str]:
    """Return a name, what it is the plural of, and what COCO calls it; each without spaces."""
    singular = singulars(letters)
    return singular | {_SYNONYMS[name] for name in singular if name in _SYNONYMS}


def _wider(letters: str) -> frozenset[str]:
    return frozenset(_KINDS[name] for name in _meanings(letters) if name in _KINDS)


def _slips(name: str) -> frozenset[str]:
    """Return a name and what remains of it without one of its letters.

    Two names that have one of these in common differ in one letter, or in the order of two.
    """
    letters = _letters(name)
    if len(letters) < _SHORTEST_SLIP:
        return frozenset()
    return frozenset({letters, *(letters[:index] + letters[index + 1 :] for index in range(len(letters)))})


_SYNONYMS: Final = {_letters(name): _letters(meant) for name, meant in SYNONYMS.items()}
_KINDS: Final = {_letters(name): _letters(meant) for name, meant in KINDS.items()}
