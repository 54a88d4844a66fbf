"""Images without annotations: files in folders, and lists of URLs."""

from __future__ import annotations

import csv
import io
import itertools
import logging
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin

from negset_api.errors import InvalidInput
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.image_files import find
from negset_jobs.adapters.inputs import expand, open_input, read_input
from negset_jobs.adapters.quoting import quoted
from negset_jobs.adapters.urls import Url, scheme_of, shown
from negset_jobs.formats.coco import FileLicense, Image
from negset_jobs.formats.image_url import absolute

log = logging.getLogger(__name__)

_TEXT_ENDINGS: Final = (".txt", ".lst", ".list")
_CSV_ENDING: Final = ".csv"
_PARQUET_ENDING: Final = ".parquet"
_LIST_ENDINGS: Final = (*_TEXT_ENDINGS, _CSV_ENDING, _PARQUET_ENDING)
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_COLUMNS: Final = ("url", "file_name", "id", "license", "width", "height")
_QUOTES: Final = "\"'"
_MOST_COLUMNS: Final = 20
_LARGEST_ID: Final = 2**63 - 1
_SPARE_BITS: Final = 64 - 53


class Entry(NamedTuple):
    """One image as its folder or list has it.

    `name` decides the id, unless `number` is given. `license` is a number, or the name or URL of a
    licence. `page` is the page where the image was published.
    """

    url: str
    name: str
    file_name: str
    number: int | None = None
    license: int | str | None = None
    width: int | None = None
    height: int | None = None
    page: str | None = None


class Listed(NamedTuple):
    """Images with unique ids and URLs, and the licences that they name."""

    images: tuple[Image, ...]
    licenses: tuple[FileLicense, ...]


def read_images(urls: Sequence[str], access: Access, field: str) -> Listed:
    """Return the images of folders, globs, files and lists.

    `field` is the field of the spec that has `urls`. An image is listed once, even if several
    entries name it. Raises `InvalidInput`.
    """
    entries = itertools.chain.from_iterable(_entries(url, access, f"{field}[{index}]") for index, url in enumerate(urls))
    return listed(entries, field)


def listed(entries: Iterable[Entry], field: str) -> Listed:
    """Return the entries as images, in their order, without the second mention of a URL."""
    kept: dict[int, Entry] = {}
    seen: set[str] = set()
    names: dict[str, int] = {}
    again = 0
    for entry in entries:
        if entry.url in seen:
            again += 1
            continue
        seen.add(entry.url)
        number = entry.number
        while number is None or (entry.number is None and number in kept):
            names[entry.name] = names.get(entry.name, 0) + 1
            number = identifier(entry.name, names[entry.name])
        if number in kept:
            raise InvalidInput(f"{field}: expected one URL for each id, got two for the id {number}")
        kept[number] = entry
    if again:
        log.warning("%s: %d images are named more than once; each is used once", field, again)
    return _with_license_numbers(kept)


def identifier(name: str, occurrence: int = 1) -> int:
    """Return the id of an image that has none: a hash of its name, in [0, 2**53).

    It is the same everywhere, and every reader of JSON can hold it. `occurrence` counts from 1. It
    is more than 1 for another image of the same name, such as 0001.jpg of a second folder.
    """
    text = name if occurrence == 1 else f"{name}\n{occurrence}"
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") >> _SPARE_BITS


def _with_license_numbers(entries: Mapping[int, Entry]) -> Listed:
    """Give a number to each licence that is text, in alphabetical order, after the given ones."""
    given = {entry.license for entry in entries.values() if isinstance(entry.license, int)}
    texts = sorted({entry.license for entry in entries.values() if isinstance(entry.license, str)})
    numbers = dict(zip(texts, (number for number in itertools.count(1) if number not in given), strict=False))
    images = (
        Image(
            id=number,
            file_name=entry.file_name,
            width=entry.width,
            height=entry.height,
            license=numbers[entry.license] if isinstance(entry.license, str) else entry.license,
            coco_url=entry.url,
            flickr_url=entry.page,
        )
        for number, entry in entries.items()
    )
    return Listed(tuple(images), tuple(FileLicense(number, text, text if scheme_of(text) else None) for text, number in numbers.items()))


def _entries(url: str, access: Access, field: str) -> Iterator[Entry]:
    """Yield the images of one entry of the spec: those of a list, or of files in a store."""
    source = access.check_url(url, field)
    if _is_list(source):
        for match in expand(url, access, field):
            yield from _from_list(access.check_url(match, field), access, field)
        return
    files, others = find(url, access, field)
    if others:
        log.warning(
            "%s: %d files in %s are hidden, or have no ending of an image; they are left out, and annotations among them are not read",
            field,
            others,
            shown(source),
        )
    for file in files:
        found = access.check_url(file.url, field) if _ending(file.name) in _LIST_ENDINGS else None
        if found is not None:
            yield from _from_list(found, access, field)
        else:
            yield Entry(file.url, file.name, file.name)


def _ending(name: str) -> str:
    return posixpath.splitext(re.split("[?#]", name, maxsplit=1)[0].lower().removesuffix(".gz"))[1]


def _is_list(source: Url) -> bool:
    path = source.leaf.path if len(source.links) > 1 or not source.is_web else re.split("[?#]", source.leaf.path, maxsplit=1)[0]
    return _ending(posixpath.basename(path)) in _LIST_ENDINGS


def _from_list(source: Url, access: Access, field: str) -> Iterator[Entry]:
    read = {_CSV_ENDING: _csv, _PARQUET_ENDING: _parquet}.get(_ending(posixpath.basename(source.leaf.path)), _text)
    for entry in read(source, access, field):
        yield entry._replace(url=_absolute(entry.url, source))


def _absolute(url: str, source: Url) -> str:
    """Return the URL of an image in a list. A relative path is relative to the list's folder."""
    if scheme_of(url) or "::" in url:
        return absolute(url)
    base = str(source)
    if source.is_web and len(source.links) == 1:
        return urljoin(base, url)
    if url.startswith("/"):
        return absolute(url)
    first, separator, rest = base.partition("::")
    scheme, mark, path = first.rpartition("://")
    # Stores take no "." and ".." in a key.
    return absolute(f"{scheme}{mark}{posixpath.normpath(posixpath.join(posixpath.dirname(path), url))}{separator}{rest}")


def _text(source: Url, access: Access, field: str) -> Iterator[Entry]:
    """Yield the URLs of a text file: one a line. Empty lines, and those with #, are left out."""
    for line in _lines(source, access, field):
        url = line.strip()
        if len(url) > 1 and url[0] == url[-1] and url[0] in _QUOTES:
            url = url[1:-1]
        if url and not url.startswith("#"):
            yield Entry(url, url, _file_name(url))


def _csv(source: Url, access: Access, field: str) -> Iterator[Entry]:
    """Yield the rows of a CSV file with a column url. Rows without a URL are left out."""
    try:
        lines = _lines(source, access, field)
        header = next(lines, "")
        # Spreadsheets of some countries write semicolons.
        delimiter = next((each for each in ",;\t" if each in header), ",")
        columns = _columns(next(csv.reader([header], delimiter=delimiter), []), source, field)
        for values in csv.reader(lines, delimiter=delimiter):
            row = {column: value for column, value in zip(columns, values, strict=False) if column in _COLUMNS}
            if row.get("url"):
                yield _row(row, source, field)
    except csv.Error as error:
        raise InvalidInput(f"{field}: {shown(source)} is not a CSV file, or it is damaged") from error


def _lines(source: Url, access: Access, field: str) -> Iterator[str]:
    with open_input(source, access, field) as stream:
        start = stream.peek(3)[:3]  # type: ignore[attr-defined]
        if start.startswith(_UTF_16) or b"\0" in start:
            raise InvalidInput(f"{field}: expected text in UTF-8, {shown(source)} is something else, such as UTF-16; save it as UTF-8")
        try:
            yield from io.TextIOWrapper(stream, "utf-8-sig", newline="")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{field}: expected text in UTF-8, {shown(source)} has other bytes; save it as UTF-8") from error


def _columns(given: Iterable[str], source: Url, field: str) -> list[str]:
    """Return the names of the columns as in `_COLUMNS`, whatever their case.

    Raises `InvalidInput` if none of them, or more than one, is url.
    """
    columns = [name.strip().lower() for name in given]
    if columns.count("url") != 1:
        found = ", ".join(map(quoted, itertools.islice(columns, _MOST_COLUMNS))) or "no columns"
        raise InvalidInput(
            f"{field}: expected a column 'url' in {shown(source)}, found {found}; name the column with the URLs of the images url"
        )
    return columns


def _file_name(url: str) -> str:
    return posixpath.basename(re.split(r"[?#]|::", url, maxsplit=1)[0].rstrip("/")) or "image"


def _parquet(source: Url, access: Access, field: str) -> Iterator[Entry]:
    """Yield the rows of a Parquet file. Rows without a URL are left out."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(io.BytesIO(read_input(source, access, field)))
        names = file.schema_arrow.names
        present = {name: column for name, column in zip(names, _columns(names, source, field), strict=True) if column in _COLUMNS}
        for batch in file.iter_batches(columns=list(present)):
            for values in batch.to_pylist():
                row = {present[name]: value for name, value in values.items()}
                if row["url"]:
                    yield _row(row, source, field)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{field}: {shown(source)} is not a Parquet file, or it is damaged") from error


def _row(row: dict[str, Any], source: Url, field: str) -> Entry:
    url, given = row["url"], row.get("id")
    if not isinstance(url, str):
        raise InvalidInput(f"{field}: expected text in the column 'url' of {shown(source)}, found something else")
    number = _whole(given)
    if number is not None and abs(number) > _LARGEST_ID:
        number = None
    name = url if given is None or given == "" or number is not None else str(given)
    return Entry(
        url=url,
        name=name,
        file_name=_text_of(row.get("file_name")) or _file_name(url),
        number=number,
        license=_license(row.get("license")),
        width=_side(row.get("width")),
        height=_side(row.get("height")),
    )


def _license(value: Any) -> int | str | None:
    number = _whole(value)
    return number if number is not None else _text_of(value) or None


def _whole(value: Any) -> int | None:
    """Return a whole number, also if it is written as text; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]+", value) and str(int(value)) == value else None


def _text_of(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _side(value: Any) -> int | None:
    """Return a side in pixels, or None where it is not a positive number."""
    try:
        return int(value) if value is not None and int(value) > 0 else None
    except (TypeError, ValueError, OverflowError):
        return None
