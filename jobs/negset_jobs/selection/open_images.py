"""Open Images as a source: labels that people verified take the place of annotations. Pure."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from negset_api.errors import InvalidInput
from negset_jobs.formats.coco import Annotations, Category, Ids
from negset_jobs.formats.image_lists import Entry, identifier, listed
from negset_jobs.formats.image_url import image_url, placeholders
from negset_jobs.formats.lvis import Pairs, Verified
from negset_jobs.formats.open_images import ImageClass, Keys, Labels, ListedImage, image_id

log = logging.getLogger(__name__)

FIELD: Final = "spec.source.openImages"
IMAGE_URL: Final = f"{FIELD}.imageUrl"


class Known(NamedTuple):
    """The images about which a person verified something of an excluded class.

    `keys` are sorted and unique.
    """

    keys: Keys
    labels: Labels


def categories(classes: Sequence[ImageClass]) -> tuple[Category, ...]:
    """Return the classes as categories, numbered from 1.

    The LabelName is the supercategory of its class alone, so that `excludeClasses` takes it, too.
    """
    return tuple(Category(number, each.name, each.label) for number, each in enumerate(classes, 1))


def known_images(labels: Labels, excluded: frozenset[int]) -> Known:
    """Return the images with a label of an excluded class. `excluded` are positions of classes."""
    present, numbers = labels.present
    shown = present[np.isin(numbers, sorted(excluded))]
    return Known(np.unique(np.concatenate([labels.absent[0], shown])), labels)


def entries(known: Known, template: str, images: Iterable[ListedImage] | None) -> Iterator[Entry]:
    """Yield the images that can be fetched. `images` are those of the lists, if there are any."""
    names, kept = known.labels.names, 0
    rows = images if images is not None else (ListedImage(image_id(key, names), "", "", "", "", "") for key in known.keys.tolist())
    needed = placeholders(template)
    lacking = 0
    for row in rows:
        fields = {
            "image_id": row.image_id,
            "subset": row.subset,
            "original_url": row.original_url,
            "thumbnail_url": row.thumbnail_url,
        }
        if any(name in fields and not fields[name] for name in needed):
            lacking += 1
            continue
        kept += 1
        url = image_url(template, fields, field=IMAGE_URL)
        yield Entry(url, row.image_id, f"{row.image_id}.jpg", license=row.license or None, page=row.landing_url or None)
    if lacking and not kept:
        raise InvalidInput(
            f"{IMAGE_URL}: none of the {lacking:,} images has a value for each placeholder of {template!r}; "
            "set imageUrl to the location of the images, such as s3://bucket/folder/{image_id}.jpg"
        )
    if lacking:
        log.warning("%s: %d images have no value for a placeholder of %r, and are left out", IMAGE_URL, lacking, template)


def as_annotations(known: Known, classes: Sequence[Category], named: frozenset[int], found: Iterable[Entry]) -> Annotations:
    """Return the images with what is verified in them.

    The categories are those that images show, and those with the ids in `named`.
    """
    images, licenses = listed(found, f"{FIELD}.images")
    if not images:
        raise InvalidInput(
            f"{FIELD}: expected images with a human-verified label of an excluded class, found none among {known.keys.size} images with such a label"
        )
    ids = _ids(known)
    kept = np.isin(ids, np.array([image.id for image in images], np.int64))
    present, absent = (_pairs(known.keys[kept], ids[kept], part) for part in (known.labels.present, known.labels.absent))
    shown = {*np.unique(present.category_ids).tolist(), *named}
    nothing = np.empty(0, np.int64)
    return Annotations(
        images=images,
        categories=tuple(category for category in classes if category.id in shown),
        licenses=licenses,
        image_ids=present.image_ids,
        category_ids=present.category_ids,
        boxes=np.empty((0, 4), np.float32),
        verified=Verified(absent, Pairs(nothing, nothing)),
    )


def _ids(known: Known) -> Ids:
    return np.array([identifier(image_id(key, known.labels.names)) for key in known.keys.tolist()], np.int64)


def _pairs(keys: Keys, ids: Ids, labels: tuple[Keys, np.ndarray]) -> Pairs:
    """Return the labels of the images with these sorted keys, by their ids."""
    if not keys.size:
        return Pairs(np.empty(0, np.int64), np.empty(0, np.int64))
    places = np.minimum(np.searchsorted(keys, labels[0]), keys.size - 1)
    chosen = keys[places] == labels[0]
    return Pairs(ids[places[chosen]], labels[1][chosen].astype(np.int64) + 1)
