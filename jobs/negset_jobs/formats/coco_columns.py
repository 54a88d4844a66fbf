"""The ids of annotations as columns of numbers, whatever their spelling in the file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec
import numpy as np

from negset_api.values import ImageId
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats import spelling
from negset_jobs.formats.coco_fields import Entries, kind_of, written
from negset_jobs.formats.coco_ids import Ids, key_of, keys_of, matched
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
    """Collects the columns `image_id` and `category_id` of a file, part by part."""

    def __init__(self) -> None:
        self._parts: list[tuple[Ids, Ids]] = []
        self._texts: tuple[dict[int, str], dict[int, str]] = ({}, {})
        self._count = 0

    def add(self, annotations: Sequence[Any]) -> None:
        """Add the annotations of the next part. Raises `WrongShape` for one without an id."""
        image_ids, category_ids = (
            self._column(annotations, name, texts) for name, texts in zip(("image_id", "category_id"), self._texts, strict=True)
        )
        self._parts.append((image_ids, category_ids))
        self._count += len(annotations)

    def _column(self, annotations: Sequence[Any], name: str, texts: dict[int, str]) -> Ids:
        values = map(attrgetter(name), annotations)
        if annotations and not hasattr(annotations[0], _OTHER_KINDS[0][0]):
            try:
                return np.fromiter(values, np.int64, len(annotations))
            except OverflowError:
                values = map(attrgetter(name), annotations)
        ids = [spelling.identifier(value) for value in values]
        for index, number in enumerate(ids):
            if number is None:
                raise WrongShape(self._without(annotations[index], name, index))
        texts.update((key_of(number), number) for number in ids if isinstance(number, str))
        return keys_of(number for number in ids if number is not None)

    def _without(self, entry: Any, name: str, index: int) -> str:
        other = next((words for known, words in _OTHER_KINDS if getattr(entry, known, None) is not None), None)
        if other is not None:
            return f"it holds {other}"
        return f"annotations[{self._count + index}].{name}: expected a number or text, got {kind_of(getattr(entry, name))}"

    def resolved(self, entries: Entries) -> tuple[Ids, Ids]:
        """Return the two columns, with the keys of the images and the ids of the categories.

        Raises `WrongShape` if a category, or the image of every annotation, is unknown.
        """
        images = [image.id for image in entries.images]
        image_ids = matched(self._whole(0), self._texts[0], images, {})
        categories = [category.id for category in entries.categories]
        category_ids = matched(self._whole(1), self._texts[1], categories, entries.category_names)
        self._check_categories(np.setdiff1d(category_ids, keys_of(categories)))
        self._check_images(np.setdiff1d(image_ids, keys_of(images)), image_ids, images)
        return image_ids, category_ids

    def _whole(self, column: int) -> Ids:
        return np.concatenate([np.empty(0, np.int64), *(part[column] for part in self._parts)])

    def _check_categories(self, unknown: Ids) -> None:
        if unknown.size:
            # An unknown category may be an excluded class, so its images may not be negatives.
            raise WrongShape(f"expected every category_id of the annotations in 'categories', found {self._some(unknown, self._texts[1])}")

    def _check_images(self, unlisted: Ids, image_ids: Ids, images: Sequence[ImageId]) -> None:
        if not unlisted.size:
            return
        some = self._some(unlisted, self._texts[0])
        of_text = bool(self._texts[0]) or any(isinstance(number, str) for number in images)
        if of_text and unlisted.size == np.unique(image_ids).size:
            # The ids are of two kinds, so that every image would look as if it showed nothing.
            raise WrongShape(f"expected the image_id of the annotations in 'images', found none of the {unlisted.size} there ({some})")
        log.warning("%d image ids of the annotations are not in 'images' (%s); they cannot be selected", unlisted.size, some)

    def _some(self, keys: Ids, texts: dict[int, str]) -> str:
        more = f" and {keys.size - _EXAMPLES} more" if keys.size > _EXAMPLES else ""
        return ", ".join(quoted(texts[key]) if key in texts else str(key) for key in keys[:_EXAMPLES].tolist()) + more
