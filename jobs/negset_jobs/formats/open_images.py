"""Read the CSV files of Open Images (https://storage.googleapis.com/openimages/web/download_v7.html).

The labels of the training set have tens of millions of rows (2.7 GB). They are read once, in
blocks. Of a row, 12 bytes are kept if its label is present, or is absent and of an excluded class.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from negset_api.errors import InvalidInput
from negset_jobs.adapters.urls import shown

log = logging.getLogger(__name__)

Keys = npt.NDArray[np.uint64]
"""Images by their ImageID as a number: 16 hexadecimal digits, or a hash of any other text."""

Numbers = npt.NDArray[np.int32]

LABEL_COLUMNS: Final = ("ImageID", "LabelName", "Confidence")
IMAGE_COLUMNS: Final = ("ImageID",)
_OPTIONAL: Final = ("Source", "Subset", "OriginalURL", "OriginalLandingURL", "License", "Thumbnail300KURL")
_MACHINE: Final = "machine"
_BLOCK: Final = 1 << 20
_DIGITS: Final = 16
_INVALID: Final = 255
_NIBBLES: Final = np.full(256, _INVALID, np.uint8)
_NIBBLES[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(_DIGITS)
_LONGEST_HEADER: Final = 1 << 16


class ImageClass(NamedTuple):
    """A class: LabelName, such as /m/0k4j, and DisplayName, such as Car."""

    label: str
    name: str


class Labels(NamedTuple):
    """What people verified: pairs of an image and the position of a class.

    `absent` has the excluded classes only, `present` has all classes. `names` has the ImageIDs that
    are not 16 hexadecimal digits.
    """

    absent: tuple[Keys, Numbers]
    present: tuple[Keys, Numbers]
    names: dict[int, str]


class ListedImage(NamedTuple):
    """A row of a list of images. Missing columns are empty."""

    image_id: str
    subset: str
    original_url: str
    landing_url: str
    license: str
    thumbnail_url: str


def read_classes(stream: BinaryIO, *, field: str, url: str) -> list[ImageClass]:
    """Return the classes of a file with or without a header. Raises `InvalidInput`.

    Exporters such as CVAT write the name of the user's class in both columns.
    """
    try:
        rows = [row for row in csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline="")) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{field}: {shown(url)} is not a CSV file in UTF-8") from error
    if rows and not _names_class(rows[0]):
        rows = rows[1:]
    if not rows or not all(map(_names_class, rows)):
        raise InvalidInput(
            f"{field}: expected rows of LabelName and DisplayName, such as /m/0k4j,Car, in {shown(url)}; found something else"
        )
    return [ImageClass(row[0], row[1].strip()) for row in rows]


def _names_class(row: Sequence[str]) -> bool:
    return len(row) > 1 and (row[0].startswith("/") or row[0] == row[1])


class LabelReader:
    """Collects the labels of several files."""

    def __init__(self, classes: Sequence[ImageClass], excluded: frozenset[int]) -> None:
        """`excluded` has positions in `classes`."""
        import pyarrow as pa

        self._classes = pa.array([each.label for each in classes], pa.string())
        self._excluded = np.array(sorted(excluded), np.int32)
        self._absent: list[tuple[Keys, Numbers]] = []
        self._present: list[tuple[Keys, Numbers]] = []
        self._names: dict[int, str] = {}

    def read(self, stream: BinaryIO, *, field: str, url: str) -> None:
        """Add the rows of a file. Raises `InvalidInput` if it is no such file."""
        for batch in _batches(stream, LABEL_COLUMNS, field=field, url=url):
            self._add(batch)

    def labels(self) -> Labels:
        return Labels(_joined(self._absent), _joined(self._present), self._names)

    def _add(self, batch: Any) -> None:
        import pyarrow.compute as pc

        found = pc.fill_null(pc.index_in(batch["LabelName"], value_set=self._classes), -1)
        numbers = found.to_numpy(zero_copy_only=False).astype(np.int32)
        confidence = _confidence(batch["Confidence"])
        known = numbers >= 0
        if "Source" in batch.schema.names:
            known &= pc.fill_null(pc.not_equal(batch["Source"], _MACHINE), fill_value=True).to_numpy(zero_copy_only=False)
        present = known & (confidence > 0)
        absent = known & (confidence == 0) & np.isin(numbers, self._excluded)
        chosen = np.flatnonzero(present | absent)
        keys = keys_of(batch["ImageID"].take(chosen), self._names)
        for rows, mask in ((self._present, present), (self._absent, absent)):
            kept = mask[chosen]
            rows.append((keys[kept], numbers[chosen][kept]))


def read_list(stream: BinaryIO, wanted: Keys, *, field: str, url: str) -> Iterator[ListedImage]:
    """Yield the images of a list whose keys are in `wanted`, which is sorted."""
    for batch in _batches(stream, IMAGE_COLUMNS, field=field, url=url):
        keys = keys_of(batch["ImageID"], {})
        places = np.minimum(np.searchsorted(wanted, keys), max(wanted.size - 1, 0))
        chosen = np.flatnonzero(wanted[places] == keys) if wanted.size else np.empty(0, np.intp)
        for row in batch.take(chosen).to_pylist():
            texts = [
                row.get(name) or "" for name in ("ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "Thumbnail300KURL")
            ]
            yield ListedImage(*texts)


def keys_of(image_ids: Any, names: dict[int, str]) -> Keys:
    """Return the key of each ImageID of an Arrow array. `names` gets those that are no numbers."""
    import pyarrow.compute as pc

    texts = pc.fill_null(image_ids, "")
    sized = pc.equal(pc.binary_length(texts), _DIGITS)
    keys = np.zeros(len(texts), np.uint64)
    places = np.flatnonzero(sized.to_numpy(zero_copy_only=False))
    keys[places], regular = _from_digits(texts.filter(sized))
    others = np.ones(len(texts), bool)
    others[places[regular]] = False
    for position in np.flatnonzero(others).tolist():
        text = texts[position].as_py()
        keys[position] = key = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        names[key] = text
    return keys


def _from_digits(texts: Any) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """Return the numbers of texts of 16 bytes, and which of them are hexadecimal digits."""
    size = len(texts) * _DIGITS
    characters = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[:size].reshape(-1, _DIGITS)
    nibbles = _NIBBLES[characters]
    keys = np.zeros(len(texts), np.uint64)
    for column in range(_DIGITS):
        keys = (keys << np.uint64(4)) | nibbles[:, column].astype(np.uint64)
    return keys, (nibbles != _INVALID).all(axis=1)


def image_id(key: int, names: dict[int, str]) -> str:
    """Return the ImageID of a key: the inverse of `keys_of`."""
    return names.get(key, f"{key:016x}")


def _joined(parts: Sequence[tuple[Keys, Numbers]]) -> tuple[Keys, Numbers]:
    return (
        np.concatenate([np.empty(0, np.uint64), *(keys for keys, _ in parts)]),
        np.concatenate([np.empty(0, np.int32), *(numbers for _, numbers in parts)]),
    )


def _confidence(column: Any) -> npt.NDArray[np.float64]:
    """Return the numbers in a column of text, of which few differ; nan where there is none."""
    encoded = column.dictionary_encode()
    numbers = np.array([*map(_number, encoded.dictionary.to_pylist()), math.nan])
    import pyarrow.compute as pc

    taken: npt.NDArray[np.float64] = numbers[pc.fill_null(encoded.indices, numbers.size - 1).to_numpy(zero_copy_only=False)]
    return taken


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _batches(stream: BinaryIO, required: Sequence[str], *, field: str, url: str) -> Iterator[Any]:
    """Yield the rows of a CSV file, in blocks: the required columns and the optional ones, as text.

    A row with another number of columns is left out, and counted in the log.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    header = _header(stream, required, field=field, url=url)
    columns = [name for name in header if name in (*required, *_OPTIONAL)]
    skipped = 0

    def skip(_: Any) -> str:
        nonlocal skipped
        skipped += 1
        return "skip"

    if not stream.peek(1):  # type: ignore[attr-defined]
        return
    try:
        yield from arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(column_names=header, block_size=_BLOCK),
            # Titles of images have line breaks.
            parse_options=arrow_csv.ParseOptions(newlines_in_values="Title" in header, invalid_row_handler=skip),
            convert_options=arrow_csv.ConvertOptions(include_columns=columns, column_types=dict.fromkeys(columns, pa.string())),
        )
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{field}: {shown(url)} is not a CSV file in UTF-8, or it is damaged") from error
    if skipped:
        log.warning("%s: %d rows of %s have another number of columns, and are left out", field, skipped, shown(url))


def _header(stream: BinaryIO, required: Sequence[str], *, field: str, url: str) -> list[str]:
    """Return the names of the columns, and consume the first line. Raises `InvalidInput`."""
    line = stream.readline(_LONGEST_HEADER)
    try:
        names = [name.strip() for name in next(csv.reader([line.decode("utf-8-sig")]), [])]
    except (UnicodeDecodeError, csv.Error):
        names = []
    missing = [name for name in required if name not in names]
    if missing or len(set(names)) != len(names):
        raise InvalidInput(
            f"{field}: expected a CSV file whose first line has the columns {', '.join(required)}, got {shown(url)} without {', '.join(missing) or 'unique names'}"
        )
    return names
