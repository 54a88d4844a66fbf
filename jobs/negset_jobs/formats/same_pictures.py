"""Find the entries of a COCO file that are one picture under several ids or URLs. Pure."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import unquote

from negset_jobs.formats.coco import Image
from negset_jobs.formats.image_url import BASE_NAME, placeholders
from negset_jobs.formats.pictures import Groups, name_key, tails, url_key

_ENCODED: Final = frozenset("%?#\\")


def identity_of(template: str) -> tuple[str, ...]:
    """Return the fields of an entry that the URL of its image is made of."""
    used = ("file_name" if name == BASE_NAME else name for name in placeholders(template))
    return tuple(dict.fromkeys(name for name in used if name in Image.__struct_fields__))


def same_pictures(images: Sequence[Image], identity: Sequence[str]) -> list[list[int]]:
    """Return the positions of entries that are one picture, a list for each such picture.

    `identity` names the fields that the URL of an image is made of. Entries are one picture if
    these are equal but for their spelling, or if they have the same `coco_url`. They are also one
    if they have one file name and one size, and URLs on two hosts that end alike.
    """
    suspects = _suspects(images, [*identity, "file_name", "coco_url"])
    if not suspects:
        return []
    entries = [images[position] for position in suspects]
    groups = Groups(len(entries))
    groups.join_equal(_identity(image, identity) for image in entries)
    if _identifies([image.coco_url for image in entries]):
        groups.join_equal((url_key(image.coco_url), *_size(image)) if image.coco_url else None for image in entries)
    _join_names(groups, entries)
    found: dict[int, list[int]] = {}
    for index, position in enumerate(suspects):
        found.setdefault(groups.of(index), []).append(position)
    return [members for members in found.values() if len(members) > 1]


def _suspects(images: Sequence[Image], fields: Iterable[str]) -> list[int]:
    """Return the positions of entries of which a field ends like that of another entry.

    Nearly always there are none. So this is what it costs: a few milliseconds for 100,000 entries.
    """
    found: set[int] = set()
    for field in dict.fromkeys(fields):
        ends = _ends([getattr(image, field) or "" for image in images])
        if len(set(ends)) < len(ends):
            counted = Counter(ends)
            found.update(position for position, end in enumerate(ends) if end and counted[end] > 1)
    return sorted(found)


def _ends(values: Sequence[str]) -> Sequence[str]:
    """Return the last part of each file name or URL, or the values if all have one folder."""
    text = "\n" + "\n".join(values)
    if not text.isascii() or not _ENCODED.isdisjoint(text):
        return [_end(value) for value in values]
    folder = values[0][: values[0].rfind("/") + 1] if values else ""
    if text.count(f"\n{folder}") == len(values) and text.count("/") == len(values) * folder.count("/"):
        return values
    return [value.rpartition("/")[2] for value in values]


def _end(value: str) -> str:
    """Return the last part of a file name or a URL, as one of its equal spellings."""
    plain = unquote(value.partition("?")[0]) if "://" in value else value
    return unicodedata.normalize("NFC", plain.strip()).replace("\\", "/").rpartition("/")[2]


def _identity(image: Image, fields: Sequence[str]) -> tuple[str, ...] | None:
    values = [getattr(image, field) or "" for field in fields]
    if not values or not all(values):
        return None
    return tuple(url_key(value) if field.endswith("_url") else name_key(value) for field, value in zip(fields, values, strict=True))


def _identifies(urls: Sequence[str | None]) -> bool:
    """Return False if most entries share one URL: some exporters write the same text everywhere."""
    given = [url for url in urls if url]
    return 2 * len(set(given)) >= len(given)


def _size(image: Image) -> tuple[float, float]:
    return (image.width or 0, image.height or 0)


def _join_names(groups: Groups, images: Sequence[Image]) -> None:
    """Join entries with one name and size if a URL is missing, or ends with the path of another."""
    by_name: dict[tuple[str, float, float], list[int]] = {}
    for index, image in enumerate(images):
        if name := name_key(image.file_name):
            by_name.setdefault((name, *_size(image)), []).append(index)
    for members in by_name.values():
        paths = {_path(images[index].coco_url): index for index in reversed(members)}
        for index in members:
            for tail in ("", *tails(_path(images[index].coco_url))):
                if tail in paths:
                    groups.join(index, paths[tail])


def _path(url: str | None) -> str:
    return url_key(url).partition("://")[2].partition("/")[2] if url else ""
