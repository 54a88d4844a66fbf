"""Read the entries of a COCO file as exporters write them. Pure.

An entry is decoded with any value in its fields where it is not of the strict type. A field that
has no reading is unknown and counted: whoever needs the field decides what that means.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from negset_api.values import ImageId
from negset_jobs.adapters.quoting import quoted, quoted_id
from negset_jobs.formats import spelling
from negset_jobs.formats.json_reading import Reading
from negset_jobs.formats.json_window import WrongShape
from negset_jobs.formats.lvis import Verified, verified

_LARGEST_SIDE: Final = 2**31
_LARGEST_ID: Final = 2**63


class Image(msgspec.Struct, frozen=True, gc=False):
    """One entry of `images`.

    Sides are in pixels. A field that is missing, null or unreadable in the file is None. A missing
    `file_name` is the last part of a URL, or empty.
    """

    id: ImageId
    file_name: str = ""
    width: int | float | None = None
    height: int | float | None = None
    license: int | None = None
    coco_url: str | None = None
    flickr_url: str | None = None


class ListedImage(Image, frozen=True, gc=False):
    """One entry of `images` as the file has it, with the fields of LVIS.

    They are lists of category ids (https://www.lvisdataset.org/dataset). A file without them is
    exhaustive: it annotates every class in every image.
    """

    neg_category_ids: Any = None
    not_exhaustive_category_ids: Any = None
    pos_category_ids: Any = None


class Category(msgspec.Struct, frozen=True, gc=False):
    """One class. Several classes can share a supercategory, which users can exclude as a whole."""

    id: int
    name: str
    supercategory: str | None = None


class FileLicense(msgspec.Struct, frozen=True, gc=False):
    """One entry of `licenses`."""

    id: int
    name: str | None = None
    url: str | None = None


def written(strict: type[msgspec.Struct], *more: str) -> Any:
    """Return a type with the same fields, and `more`, each of which may hold anything."""
    fields = [(name, Any, None) for name in (*strict.__struct_fields__, *more)]
    return msgspec.defstruct(f"Written{strict.__name__}", fields, gc=False)


def _are_plain(images: Sequence[Image]) -> bool:
    """Whether all the entries are as they should be, so that nothing has to be read again."""
    return all(
        type(image.id) is int
        and -_LARGEST_ID < image.id < _LARGEST_ID
        and image.file_name
        and (image.width is None or 0 < image.width < _LARGEST_SIDE)
        and (image.height is None or 0 < image.height < _LARGEST_SIDE)
        and (image.license is None or 0 <= image.license < _LARGEST_ID)
        for image in images
    )


IMAGES: Final = Reading(ListedImage, written(ListedImage), _are_plain)
CATEGORIES: Final = Reading(Category, written(Category))
LICENSES: Final = Reading(FileLicense, written(FileLicense), optional=True)


class Entries(NamedTuple):
    """The images, categories and licences of a file.

    `category_names` has the id of each category by its id in the file, where that is text, and by
    its name. `unread` counts the images by the field whose value has no reading. `verified` is None
    if the file annotates every class in every image.
    """

    images: tuple[Image, ...]
    categories: tuple[Category, ...]
    licenses: tuple[FileLicense, ...]
    category_names: Mapping[str, int]
    unread: Mapping[str, int]
    verified: Verified | None


def read_entries(found: Mapping[str, Iterable[Any]]) -> Entries:
    """Return the entries that were decoded, by key.

    Images without an id are left out. Raises `WrongShape` if most have none, and for a category
    without an id or a name.
    """
    unread: Counter[str] = Counter()
    licenses = tuple(filter(None, (_license(entry, unread) for entry in found.get("licenses", ()))))
    by_name = {_folded(name): license_.id for license_ in reversed(licenses) for name in (license_.name, license_.url) if _folded(name)}
    categories, category_names = _categories(found.get("categories", ()))
    listed = tuple(found.get("images", ()))
    images = [_plain(entry) if isinstance(entry, Image) else _image(entry, by_name, unread) for entry in listed]
    if 2 * images.count(None) > len(images):
        first = images.index(None)
        raise WrongShape(f"images[{first}].id: expected a number or text, got {kind_of(listed[first].id)}")
    return Entries(tuple(filter(None, images)), categories, licenses, category_names, unread, verified(listed, category_names))


def _plain(listed: Image) -> Image:
    return Image(listed.id, listed.file_name, listed.width, listed.height, listed.license, listed.coco_url, listed.flickr_url)


def _image(entry: Any, licenses: Mapping[str, int], unread: Counter[str]) -> Image | None:
    """Return an image, or None if it has no id: no annotation can refer to it."""
    number = spelling.identifier(entry.id)
    if number is None:
        unread["id"] += 1
        return None

    def read(name: str, reader: Callable[[Any], Any]) -> Any:
        value = getattr(entry, name)
        found = reader(value)
        unread[name] += found is None and value not in (None, "", 0)
        return found

    coco_url, flickr_url = read("coco_url", spelling.text), read("flickr_url", spelling.text)
    return Image(
        id=number,
        file_name=read("file_name", spelling.text) or spelling.file_name_of(coco_url or flickr_url or ""),
        width=read("width", spelling.side),
        height=read("height", spelling.side),
        license=read("license", lambda value: licenses.get(_folded(value), spelling.whole_number(value))),
        coco_url=coco_url,
        flickr_url=flickr_url,
    )


def _folded(name: object) -> str:
    return name.strip().casefold() if isinstance(name, str) else ""


def _license(entry: Any, unread: Counter[str]) -> FileLicense | None:
    number = spelling.whole_number(entry.id)
    unread["licenses"] += number is None
    return None if number is None else FileLicense(number, spelling.text(entry.name), spelling.text(entry.url))


def _categories(entries: Iterable[Any]) -> tuple[tuple[Category, ...], dict[str, int]]:
    """Return the categories, and their ids by name and by their text ids.

    An id that is text becomes the next free number, because classes are numbers everywhere else. An
    entry that is listed again, word for word, counts once.
    """
    read = ((spelling.identifier(entry.id), spelling.text(entry.name), spelling.text(entry.supercategory)) for entry in entries)
    listed = list(dict.fromkeys(read))
    _check_unique(listed)
    highest = max((number for number, _, _ in listed if isinstance(number, int)), default=0)
    ids: dict[str, int] = {}
    categories = []
    for index, (given, name, supercategory) in enumerate(listed):
        if given is None or name is None:
            lacking = " and ".join(word for word, value in (("id", given), ("name", name)) if value is None)
            raise WrongShape(f"categories[{index}]: expected an id and a name, found no {lacking}")
        if isinstance(given, str):
            ids[given] = highest = max(highest, 0) + 1
        categories.append(Category(given if isinstance(given, int) else ids[given], name, supercategory))
    names = {category.name: category.id for category in reversed(categories)}
    return tuple(_with_named_parents(categories)), {**names, **ids}


def _with_named_parents(categories: Sequence[Category]) -> Iterable[Category]:
    """Return the categories with the name of a supercategory where a file has its id."""
    names = {str(category.id): category.name for category in categories}
    known = {category.name for category in categories}
    for category in categories:
        parent = category.supercategory or ""
        yield category if parent in known or parent not in names else msgspec.structs.replace(category, supercategory=names[parent])


def _check_unique(listed: Iterable[tuple[ImageId | None, str | None, str | None]]) -> None:
    """Raise `WrongShape` for an id of two categories: its annotations may be of either."""
    names: dict[ImageId, str] = {}
    for given, name, _ in listed:
        if given is None or name is None:
            continue
        if given in names:
            raise WrongShape(f"categories: expected unique ids, found {quoted_id(given)} twice ({quoted(names[given])} and {quoted(name)})")
        names[given] = name


def kind_of(value: object) -> str:
    return "nothing" if value is None else f"`{type(value).__name__}`"
