"""The description of a YOLO dataset: its classes, and where its images are.

Tools write it as data.yaml (https://docs.ultralytics.com/datasets/detect) or, older, as darknet's
obj.data. The paths in it are often those of another machine, or begin in a folder that was not
exported. So a path is sought in several places, as Ultralytics does (`check_det_dataset` and
`get_img_files`), and by leaving out its first folders.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from negset_api.errors import InvalidInput
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.inputs import find_input, is_file, read_input
from negset_jobs.adapters.urls import STORE_SCHEMES, WEB_SCHEMES, InvalidUrl, Url, parse, scheme_of, shown
from negset_jobs.adapters.wildcards import is_hidden

log = logging.getLogger(__name__)

FIELD: Final = "spec.positives.yolo.data"
SUFFIXES: Final = frozenset({"avif", "bmp", "dng", "gif", "heic", "heif", "jp2", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"})

_REQUIRED: Final = "train"
_CLASSES: Final = ("classes.txt", ".names")
"""How a file with one class a line ends: Label Studio and labelImg write no other description."""
_USUAL: Final = {"train": ("images/train",), "val": ("images/val", "images/valid"), "test": ("images/test",)}
"""Where a split is that no description names, or in the same folder without images/."""
_LISTS: Final = (".txt",)
_TRIED: Final = 3  # lines of a list that show where its images are
_SPELLINGS: Final = {"validation": "val", "valid": "val"}
_DRIVE: Final = re.compile(r"[A-Za-z]:/")


class YoloData(NamedTuple):
    """A dataset's description, as it is written.

    `names` are the classes by id, or the path of a file with one name a line. `path` is the folder
    that the paths in `splits` begin in. `keypoints` is the number of columns after a box, None if
    the description does not say it.
    """

    names: Mapping[int, str] | str
    path: str
    splits: Mapping[str, Sequence[str]]
    keypoints: int | None = None


def parse_data(data: bytes, url: str) -> YoloData:
    """Parse a data.yaml or obj.data. Raises `InvalidInput`, naming the field and `url`.

    A classes.txt or .names instead of them means the images in its folder, and in those below.
    """
    import yaml

    name = parse(url).name
    if name.lower().endswith(_CLASSES):
        return YoloData(name, "", {_REQUIRED: (".",)})
    text = data.decode("utf-8-sig", "replace")
    try:
        # All scalars are text, as they are written: `no` and `1` are names of classes.
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506  # it makes text, lists and mappings only
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise InvalidInput(f"{FIELD}: {shown(url)} is not readable YAML{place}{_other_kind(text)}") from error
    fields = document if isinstance(document, dict) else _darknet(text)
    if not fields.get("names"):
        if other := _other_kind(text):
            raise InvalidInput(f"{FIELD}: {shown(url)} is not a dataset's description{other}")
        raise InvalidInput(
            f"{FIELD}: expected a data.yaml with the key names, got {shown(url)} without it; "
            "give data.yaml or obj.data, or the classes.txt beside the folders images and labels"
        )
    splits = {
        _SPELLINGS.get(key, key): _texts(value) for key, value in fields.items() if key in {"train", "val", "test", *_SPELLINGS} and value
    }
    path = fields.get("path")
    return YoloData(_names(fields["names"], url), path if isinstance(path, str) else "", splits, _columns(fields.get("kpt_shape")))


def class_names(data: YoloData, url: Url, access: Access) -> dict[int, str]:
    """Return the classes by id, read from their own file if the description names one."""
    if not isinstance(data.names, str):
        return dict(data.names)
    for candidate in _candidates(data.names, (folder_of(url),)):
        if is_file(candidate, access, FIELD):
            lines = read_input(candidate, access, FIELD).decode("utf-8-sig", "replace").splitlines()
            return dict(enumerate(line.strip() for line in lines if line.strip()))
    raise InvalidInput(f"{FIELD}: {shown(url)} names a file with the classes that does not exist")


def with_splits(data: YoloData, url: Url, access: Access) -> YoloData:
    """Return the description with splits, also if it names none, as that of supervision.

    Then they are the folders that are usually named so, or else all images beside the description.
    """
    if data.splits:
        return data
    roots = _roots(data.path, folder_of(url))
    usual = {split: tuple(place for place in places if _images(place, roots, access)) for split, places in _USUAL.items()}
    found = {split: places for split, places in usual.items() if places} or {_REQUIRED: (".",)}
    log.warning("%s: %s names no images; those beside it are used: %s", FIELD, shown(url), ", ".join(found))
    return data._replace(splits=found)


def find_images(data: YoloData, url: Url, split: str, access: Access) -> list[Url]:
    """Return the images of a split, in the order of the description.

    Exports often lack the images of val or test, which are then none. Raises `InvalidInput` if
    there are none in train.
    """
    roots = _roots(data.path, folder_of(url))
    images: dict[Url, None] = {}
    for entry in data.splits[split]:
        images.update(dict.fromkeys(_images(entry, roots, access)))
    if not images:
        text = f"{FIELD}: expected images where {shown(url)} says {split} is, found none below {shown(roots[0])}"
        if data.splits[split] == (".",):
            raise InvalidInput(
                f"{FIELD}: expected images in the folder of {shown(url)} or below it, found none; "
                "export the images with the labels, or put them into a folder images beside labels"
            )
        if split == _REQUIRED:
            raise InvalidInput(f"{text}; correct its paths, or set spec.positives.yolo.splits")
        log.warning("%s; the split is left out", text)
    return list(images)


def folder_of(url: Url) -> Url:
    """Return the folder that a file lies in."""
    return _at(url, posixpath.dirname(url.leaf.path))


def _images(entry: str, roots: Sequence[Url], access: Access) -> list[Url]:
    for candidate in _candidates(entry, roots):
        if candidate.name.lower().endswith(_LISTS):
            if is_file(candidate, access, FIELD):
                return _listed(candidate, roots, access)
        elif found := [url for url in find_input(candidate, access, FIELD) if _is_image(url) and not is_hidden(_below(url, candidate))]:
            return found
    return []


def _listed(url: Url, roots: Sequence[Url], access: Access) -> list[Url]:
    """Return the images of a list, one path a line.

    The first lines show where all of them are. If none of them exists, they are beside the list.
    """
    lines = [line.strip() for line in read_input(url, access, FIELD).decode("utf-8-sig", "replace").splitlines() if line.strip()]
    places = (folder_of(url), *roots)
    for line in lines[:_TRIED]:
        for number, candidate in enumerate(_candidates(line, places)):
            if is_file(candidate, access, FIELD):
                return [same for each in lines if (same := _nth(_candidates(each, places), number))]
    return [first for each in lines if (first := _nth(_candidates(each, places), 0))]


def _candidates(path: str, places: Sequence[Url]) -> Iterator[Url]:
    """Yield where a path of the description may lead, the most probable place first.

    These are the places themselves, then the places with a path that lacks its first folders.
    """
    if scheme_of(path):
        try:
            yield parse(path)
        except InvalidUrl as error:
            raise InvalidInput(f"{FIELD}: a path in the dataset is a URL that cannot be used: {error}") from error
        return
    plain = path.replace("\\", "/")
    if plain.startswith("/") and places[0].is_local and len(places[0].links) == 1:
        yield parse(plain)
    relative = _DRIVE.sub("", plain).lstrip("/").removeprefix("./")
    parts = relative.split("/")
    for number in range(len(parts)):
        for place in places:
            yield _at(place, posixpath.join(place.leaf.path, *parts[number:]))


def _roots(path: str, folder: Url) -> tuple[Url, ...]:
    """Return the folders that the paths may begin in: that of `path`, then that of the file."""
    if not path or path in {".", "./"}:
        return (folder,)
    return tuple(dict.fromkeys((*_candidates(path, (folder,)), folder)))


def _at(url: Url, path: str) -> Url:
    """Return the URL of another path in the same place, without `.` and `..` in it."""
    leading = "/" if path.startswith("/") else ""
    kept = 1 if url.leaf.scheme in WEB_SCHEMES | STORE_SCHEMES else 0  # the host, or the bucket
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and len(parts) > kept:
            parts.pop()
        elif part not in {"", ".", ".."}:
            parts.append(part)
    try:
        return url.with_path(leading + "/".join(parts) or ".")
    except InvalidUrl as error:
        raise InvalidInput(f"{FIELD}: {shown(url)} names a path that cannot be part of a URL; rename the file") from error


def _below(url: Url, folder: Url) -> str:
    return posixpath.relpath(url.leaf.path, folder.leaf.path)


def _is_image(url: Url) -> bool:
    return posixpath.splitext(url.name)[1][1:].lower() in SUFFIXES


def _nth(urls: Iterator[Url], number: int) -> Url | None:
    return next((url for index, url in enumerate(urls) if index == number), None)


def _names(value: Any, url: str) -> dict[int, str] | str:
    if isinstance(value, str):
        return value
    try:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {int(number): str(name).strip() for number, name in pairs}
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{FIELD}: {shown(url)}: expected names as a list, or as a mapping from numbers to names") from error


def _other_kind(text: str) -> str:
    """Return what a file is that was meant to be another, and the advice; empty if unknown."""
    if text.lstrip().startswith(("{", "[")):
        return "; it is JSON: give COCO's format as spec.positives.coco, or export the dataset as YOLO with its images"
    if text.lstrip().startswith("<"):
        return "; it is XML: give Pascal VOC's format as spec.positives.voc, or export the dataset as YOLO with its images"
    if text.startswith("PK\x03\x04"):
        return "; it is a zip archive: give the file in it as zip://data.yaml::URL"
    return ""


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    return tuple(item.strip() for item in items if isinstance(item, str) and item.strip())


def _columns(shape: Any) -> int | None:
    """Return the number of columns of `kpt_shape`, [points, numbers of each]; None without it."""
    try:
        points, numbers = map(int, shape)
    except (TypeError, ValueError):
        return None
    return points * numbers


def _darknet(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, separator, value in pairs if separator}
