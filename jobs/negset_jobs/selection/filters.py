"""Which images may be used as negatives, and why the others may not. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_api.spec import Selection
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.coco import Annotations, Ids, Image

_DENSE: Final = 64
"""Up to this many times as many possible as actual ids are looked up in a table, which takes an
eighth of the time of a search. COCO's ids are 5 times as many.
"""

Mask = npt.NDArray[np.bool_]

REJECTIONS: Final = {
    "excluded_class": "show an excluded class",
    "same_image": "are listed a second time under another id",
    "exclude_images_of": "are in a file of excludeImagesOf",
    "unannotated": "have no annotation at all",
    "license": "have a licence that is not accepted",
    "min_side": "are smaller than minSide or of unknown size",
}
"""Why an image is no candidate, in the order in which it is asked; an image counts under the first
that applies. The texts complete "12 images …".
"""


class Guarded(NamedTuple):
    """The images of the files in `excludeImagesOf`: one that shares its id or its file name with
    any of them is not used.
    """

    ids: frozenset[int] = frozenset()
    file_names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, images: Iterable[Image]) -> Guarded:
        listed = tuple(images)
        return cls(frozenset(image.id for image in listed), frozenset(image.file_name for image in listed))

    def match(self, image: Image) -> bool:
        return image.id in self.ids or image.file_name in self.file_names


class Located(NamedTuple):
    """The annotations whose image is listed, by the image's position in `Annotations.images`: one
    entry per annotation in each array.
    """

    positions: npt.NDArray[np.intp]
    category_ids: Ids

    def only(self, chosen: Mask) -> Located:
        return Located(self.positions[chosen], self.category_ids[chosen])


def locate(annotations: Annotations) -> Located:
    """Finds each annotation's image."""
    ids = np.array([image.id for image in annotations.images], np.int64)
    positions = positions_of(annotations.image_ids, ids)
    listed = positions >= 0
    return Located(positions[listed], annotations.category_ids[listed])


def positions_of(wanted: Ids, ids: Ids) -> npt.NDArray[np.intp]:
    """For each wanted id, where it is among the (unique) ids; -1 where it is not."""
    if not ids.size:
        return np.full(wanted.size, -1, np.intp)
    lowest, highest = int(ids.min()), int(ids.max())
    if highest - lowest <= _DENSE * ids.size:
        table = np.full(highest - lowest + 1, -1, np.intp)
        table[ids - lowest] = np.arange(ids.size)
        inside = (wanted >= lowest) & (wanted <= highest)
        return np.where(inside, table[np.where(inside, wanted - lowest, 0)], -1)
    order = np.argsort(ids)
    found = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), ids.size - 1)]
    return np.where(ids[found] == wanted, found, -1)


def rejections(
    annotations: Annotations,
    located: Located,
    *,
    excluded: frozenset[int],
    selection: Selection,
    guarded: Guarded,
    identity: tuple[str, ...],
) -> dict[str, Mask]:
    """For each reason, the images (by position) that it alone keeps out, in the order of
    `REJECTIONS`; an image is in at most one.

    `identity` names the fields of an image entry that its URL is made of: two entries with the same
    are one image, and what is annotated under one id is in the image under the other as well.
    """
    images = annotations.images
    shows = np.zeros(len(images), bool)
    shows[located.positions[np.isin(located.category_ids, list(excluded))]] = True
    annotated = np.zeros(len(images), bool)
    annotated[located.positions] = True
    applies = {
        "excluded_class": shows,
        "same_image": _same_image(images, shows, identity),
        "exclude_images_of": np.fromiter(map(guarded.match, images), bool, len(images)) if guarded.ids else np.zeros(len(images), bool),
        "unannotated": ~annotated if selection.unannotated == "Exclude" else np.zeros(len(images), bool),
        "license": _other_license(annotations, selection.licenses),
        "min_side": _too_small(images, selection.min_side),
    }
    taken = np.zeros(len(images), bool)
    first: dict[str, Mask] = {}
    for reason in REJECTIONS:
        first[reason] = applies[reason] & ~taken
        taken |= applies[reason]
    return first


def _same_image(images: tuple[Image, ...], shows: Mask, identity: tuple[str, ...]) -> Mask:
    """The images that are listed under another id too: all of them where any of the ids shows an
    excluded class, all but the first elsewhere.
    """
    identities = [tuple(map(attrgetter(name), images)) for name in identity]
    if not identities or any(len(set(values)) == len(values) for values in identities):
        return np.zeros(len(images), bool)
    entries = list(zip(*identities, strict=True))
    seen = {entries[position] for position in np.flatnonzero(shows)}
    again = np.zeros(len(images), bool)
    for position in np.flatnonzero(~shows):
        if all(entries[position]):
            again[position] = entries[position] in seen
            seen.add(entries[position])
    return again


def _other_license(annotations: Annotations, accepted: tuple[int, ...]) -> Mask:
    """Raises `InvalidInput` where the file knows none of an accepted id: it is a slip, and would
    silently accept nothing.
    """
    images = annotations.images
    if not accepted:
        return np.zeros(len(images), bool)
    licenses = np.array([-1 if image.license is None else image.license for image in images], np.int64)
    listed = {license_.id: license_.name or "" for license_ in annotations.licenses}
    unknown = sorted(set(accepted) - set(listed) - set(licenses.tolist()))
    if unknown:
        known = ", ".join(f"{number} ({quoted(name)})" if name else str(number) for number, name in sorted(listed.items())) or "none"
        raise InvalidInput(
            f"spec.selection.licenses: expected licence ids of the annotations, which are {known}; got {', '.join(map(str, unknown))}"
        )
    return ~np.isin(licenses, accepted)


def _too_small(images: tuple[Image, ...], min_side: int) -> Mask:
    if not min_side:
        return np.zeros(len(images), bool)
    return np.fromiter((min(image.width or 0, image.height or 0) < min_side for image in images), bool, len(images))
