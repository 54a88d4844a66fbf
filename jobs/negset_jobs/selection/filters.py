"""Decide which images may be used as negatives, and why the others may not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_api.spec import Selection
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.coco import Annotations, Ids
from negset_jobs.formats.same_pictures import same_pictures
from negset_jobs.selection.guard import Mask

_DENSE: Final = 64
"""Ids are looked up in a table if their range is at most this many times their number.

A table takes an eighth of the time of a search. The range of COCO's ids is 5 times their number.
"""

NO_URL: Final = "no_url"

REJECTIONS: Final = {
    "excluded_class": "show an excluded class",
    "same_picture": "are listed a second time under another id",
    "exclude_images_of": "are in a file of excludeImagesOf",
    "unannotated": "have no annotation at all",
    "license": "have a licence that is not accepted",
    "min_side": "are smaller than minSide or of unknown size",
    "unplaced_object": "may show an object of an excluded class whose annotation names no image",
    "not_exhaustive": "may show an excluded class that is not annotated (not_exhaustive_category_ids)",
    "not_verified": "lack the verification that each excluded class is absent",
    "weak_proof": "have a weaker proof than minimumProof",
    NO_URL: "lack the field that imageUrl needs",
}
"""Reasons for which an image is not a candidate. The texts complete "12 images …".

The keys are stored in plan.json and printed by `negset plan --json`: they must not change.
"""

_ORDER: Final = (
    "excluded_class",
    "not_exhaustive",
    "not_verified",
    "unplaced_object",
    "same_picture",
    "exclude_images_of",
    "unannotated",
    "weak_proof",
    "license",
    "min_side",
)
"""The order in which reasons are checked. An image counts under the first one that applies."""


class Located(NamedTuple):
    """The annotations whose image is listed: one entry per annotation in each array.

    `positions` are the positions of their images in `Annotations.images`.
    """

    positions: npt.NDArray[np.intp]
    category_ids: Ids

    def only(self, chosen: Mask) -> Located:
        return Located(self.positions[chosen], self.category_ids[chosen])


def locate(annotations: Annotations) -> Located:
    """Find each annotation's image."""
    positions = positions_of(annotations.image_ids, annotations.image_keys)
    listed = positions >= 0
    return Located(positions[listed], annotations.category_ids[listed])


def positions_of(wanted: Ids, ids: Ids) -> npt.NDArray[np.intp]:
    """Return the position of each wanted id among the (unique) ids; -1 if it is missing."""
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
    guarded: Mask,
    identity: tuple[str, ...],
    unproven: Mapping[str, Mask],
) -> dict[str, Mask]:
    """Return the images that each reason rejects, by position, in the order of `_ORDER`.

    An image is in the mask of one reason at most. `guarded` are the images that a file of
    `excludeImagesOf` lists. `identity` names the fields of an image entry that its URL is made of.
    Two entries may be one picture (`same_pictures`): an object annotated under one id is also in
    the image under the other id. `unproven` has the masks of the reasons that `proof.unproven` and
    `find_unplaced` decide.
    """
    images = annotations.images
    shows = np.zeros(len(images), bool)
    shows[located.positions[np.isin(located.category_ids, list(excluded))]] = True
    same = same_pictures(images, identity) if identity else []
    applies = {
        **unproven,
        "excluded_class": shows,
        "same_picture": _listed_again(shows | unproven["not_exhaustive"] | unproven["unplaced_object"], same),
        "exclude_images_of": _with_other_ids(guarded, same),
        "license": _other_license(annotations, selection.licenses),
        "min_side": _too_small(annotations, selection.min_side),
    }
    taken = np.zeros(len(images), bool)
    first: dict[str, Mask] = {}
    for reason in _ORDER:
        first[reason] = applies[reason] & ~taken
        taken |= applies[reason]
    return first


def _listed_again(shows: Mask, same: Sequence[Sequence[int]]) -> Mask:
    """Return the images that are listed under another id too.

    All of them if any of the ids shows an excluded class, else all but the first.
    """
    again = np.zeros(len(shows), bool)
    for members in same:
        others = [position for position in members if not shows[position]]
        again[others if len(others) < len(members) else others[1:]] = True
    return again


def _with_other_ids(listed: Mask, same: Sequence[Sequence[int]]) -> Mask:
    """Return the listed images, and their entries under other ids."""
    listed = listed.copy()
    for members in same:
        listed[members] = listed[members].any()
    return listed


def _other_license(annotations: Annotations, accepted: tuple[int, ...]) -> Mask:
    """Return the images whose licence is not accepted.

    Raises `InvalidInput` if the file does not have an accepted id: a mistyped id would silently
    accept nothing.
    """
    images = annotations.images
    if not accepted:
        return np.zeros(len(images), bool)
    _check_readable(annotations, "license", "spec.selection.licenses")
    carried = [image.license for image in images]
    listed = {license_.id: license_.name or "" for license_ in annotations.licenses}
    unknown = sorted(set(accepted) - set(listed) - set(carried))
    if unknown:
        known = ", ".join(f"{number} ({quoted(name)})" if name else str(number) for number, name in sorted(listed.items())) or "none"
        raise InvalidInput(
            f"spec.selection.licenses: expected licence ids of the annotations, which are {known}; got {', '.join(map(str, unknown))}"
        )
    return np.fromiter((number not in accepted for number in carried), bool, len(images))


def _too_small(annotations: Annotations, min_side: int) -> Mask:
    images = annotations.images
    if not min_side:
        return np.zeros(len(images), bool)
    _check_readable(annotations, "width", "spec.selection.minSide")
    _check_readable(annotations, "height", "spec.selection.minSide")
    return np.fromiter((min(image.width or 0, image.height or 0) < min_side for image in images), bool, len(images))


def _check_readable(annotations: Annotations, name: str, field: str) -> None:
    """Raise `InvalidInput` if a field that a filter needs has no reading in most images.

    Single images without a reading are rejected by the filter, and counted.
    """
    unread, images = annotations.unread.get(name, 0), len(annotations.images)
    if 2 * unread > images:
        raise InvalidInput(
            f"{field}: expected a number as the {name} of each image in the annotations, got something else in {unread} of {images} images; "
            f"correct the annotations, or remove {field.rpartition('.')[2]}"
        )
