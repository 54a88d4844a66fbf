"""The ids of annotations as columns of numbers, whatever their spelling in the file."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from negset_api.values import ImageId
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats import class_names, spelling
from negset_jobs.formats.coco_fields import Entries, kind_of, written
from negset_jobs.formats.coco_ids import UNREADABLE, Ids, key_of, keys_of, matched
from negset_jobs.formats.json_reading import Reading
from negset_jobs.formats.json_window import WrongShape

log = logging.getLogger(__name__)

_EXAMPLES: Final = 5
_OTHER_KINDS: Final = (
    ("segments_info", "panoptic annotations (segments_info); give the instances file, such as instances_train2017.json"),
    ("caption", "captions; give the instances file, such as instances_train2017.json"),
    ("question", "questions (VQA); give the instances file, such as instances_train2017.json"),
)


def reading(strict: type[msgspec.Struct], *more: str, complete: Any = bool) -> Reading:
    """Return how annotations are decoded: as `strict`, else with any value in its fields.

    `more` are fields that are decoded only then.
    """
    return Reading(strict, written(strict, *more, *(name for name, _ in _OTHER_KINDS)), complete)


class IdColumns:
    """Collects the columns `image_id` and `category_id` of a file, part by part.

    An id that has no reading becomes `UNREADABLE`.
    """

    def __init__(self) -> None:
        self._parts: list[tuple[Ids, Ids]] = []
        self._texts: tuple[dict[int, str], dict[int, str]] = ({}, {})
        self._count = 0
        self._first_unreadable = ""

    def add(self, annotations: Sequence[Any]) -> None:
        """Add the annotations of the next part.

        Raises `WrongShape` for annotations of another kind, such as captions.
        """
        image_ids, category_ids = (
            self._column(annotations, name, texts) for name, texts in zip(("image_id", "category_id"), self._texts, strict=True)
        )
        self._parts.append((image_ids, category_ids))
        self._count += len(annotations)

    def _column(self, annotations: Sequence[Any], name: str, texts: dict[int, str]) -> Ids:
        if annotations and not hasattr(annotations[0], _OTHER_KINDS[0][0]):
            with contextlib.suppress(OverflowError):
                return np.fromiter(map(attrgetter(name), annotations), np.int64, len(annotations))
        ids = [spelling.identifier(getattr(annotation, name)) for annotation in annotations]
        if None in ids:
            self._note(annotations[ids.index(None)], name, ids.index(None))
        texts.update((key_of(number), number) for number in ids if isinstance(number, str))
        return np.array([UNREADABLE if number is None else key_of(number) for number in ids], np.int64)

    def _note(self, entry: Any, name: str, index: int) -> None:
        """Note the first annotation without an id, or raise `WrongShape` if it says what it is."""
        other = next((words for known, words in _OTHER_KINDS if getattr(entry, known, None) is not None), None)
        if other is not None:
            raise WrongShape(f"it holds {other}")
        self._first_unreadable = self._first_unreadable or (
            f"annotations[{self._count + index}].{name}: expected a number or text, got {kind_of(getattr(entry, name))}"
        )

    def resolved(self, entries: Entries) -> tuple[Entries, Ids, Ids]:
        """Return the entries, and the two columns: keys of images, and ids of categories.

        An image with an annotation of an unreadable category is left out of the entries, because it
        may show any class. Raises `WrongShape` if most ids are unreadable, if a category is unknown
        or if the images of all annotations are.
        """
        images = [image.id for image in entries.images]
        # Some exporters write the name of the file for its id.
        files = {image.file_name: key_of(image.id) for image in reversed(entries.images)} if self._texts[0] else {}
        image_ids = matched(self._whole(0), self._texts[0], images, files)
        categories = [category.id for category in entries.categories]
        category_ids = matched(self._whole(1), self._texts[1], categories, entries.category_names, class_names.key)
        self._check_categories(np.setdiff1d(category_ids, keys_of(categories)))
        self._check_images(np.setdiff1d(image_ids, keys_of(images)), image_ids, images)
        if self._first_unreadable:
            entries = self._without_doubtful(entries, image_ids, category_ids)
        return entries, image_ids, category_ids

    def _without_doubtful(self, entries: Entries, image_ids: Ids, category_ids: Ids) -> Entries:
        unreadable = int(((image_ids == UNREADABLE) | (category_ids == UNREADABLE)).sum())
        if 2 * unreadable > self._count:
            raise WrongShape(self._first_unreadable)
        doubtful = frozenset(image_ids[category_ids == UNREADABLE].tolist())
        kept = tuple(image for image in entries.images if key_of(image.id) not in doubtful)
        log.warning(
            "%d of %d annotations have no readable image_id or category_id (the first: %s); %d images with such annotations are left out",
            unreadable,
            self._count,
            self._first_unreadable,
            len(entries.images) - len(kept),
        )
        return entries._replace(images=kept)

    def _whole(self, column: int) -> Ids:
        return np.concatenate([np.empty(0, np.int64), *(part[column] for part in self._parts)])

    def _check_categories(self, unknown: Ids) -> None:
        unknown = unknown[unknown != UNREADABLE]
        if unknown.size:
            # An unknown category may be an excluded class, so its images may not be negatives.
            raise WrongShape(f"expected every category_id of the annotations in 'categories', found {self._some(unknown, self._texts[1])}")

    def _check_images(self, unlisted: Ids, image_ids: Ids, images: Sequence[ImageId]) -> None:
        unlisted = unlisted[unlisted != UNREADABLE]
        if not unlisted.size:
            return
        some = self._some(unlisted, self._texts[0])
        of_text = bool(self._texts[0]) or any(isinstance(number, str) for number in images)
        if of_text and unlisted.size == np.unique(image_ids[image_ids != UNREADABLE]).size:
            # The ids are of two kinds, so that every image would look as if it showed nothing.
            raise WrongShape(f"expected the image_id of the annotations in 'images', found none of the {unlisted.size} there ({some})")
        if not of_text:
            _check_counted_alike(unlisted, image_ids, keys_of(images))
        log.warning("%d image ids of the annotations are not in 'images' (%s); they cannot be selected", unlisted.size, some)

    def _some(self, keys: Ids, texts: dict[int, str]) -> str:
        more = f" and {keys.size - _EXAMPLES} more" if keys.size > _EXAMPLES else ""
        return ", ".join(quoted(texts[key]) if key in texts else str(key) for key in keys[:_EXAMPLES].tolist()) + more


def _check_counted_alike(unlisted: Ids, image_ids: Ids, images: Ids) -> None:
    """Raise `WrongShape` if the images are counted from 1 and the annotations' ids of them from 0.

    Or the other way round. Each annotation would be one of the next image.
    """
    if not images.size or unlisted.size > 1 or np.ptp(images) + 1 != images.size:
        return
    first, last, used = images.min(), images.max(), image_ids[image_ids != UNREADABLE]
    if (unlisted[0] == first - 1 and last not in used) or (unlisted[0] == last + 1 and first not in used):
        raise WrongShape(
            f"expected the image_id of the annotations in 'images', whose ids are {first} to {last}, got {used.min()} to {used.max()}; "
            "they seem to be counted from different numbers, such as 0 and 1"
        )
