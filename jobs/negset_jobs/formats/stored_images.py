"""Read the records of a file that hold an image; report and skip the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Final

from negset_api.errors import WorkFailed
from negset_jobs.formats import od_keys
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import salvage_records

log = logging.getLogger(__name__)

Features = dict[str, list[Any]]
Report = Callable[[str], None]
"""Receives each skipped record: its position, and why it was skipped."""

_NEEDED: Final = (od_keys.ENCODED, od_keys.SOURCE_ID)


def warn(skipped: str) -> None:
    """Log one warning: the default `Report`."""
    log.warning("skipped a record that cannot be read: %s", skipped)


def read_images(stream: BinaryIO, name: str, report: Report = warn) -> Iterator[tuple[bytes, Features, str]]:
    """Yield the records of the file `name`: payload, features, and position for messages.

    A damaged record, or one without an image or an id, goes to `report`.
    """
    for index, (offset, record) in enumerate(salvage_records(stream)):
        where = f"{name}: record {index} (at byte {offset})"
        try:
            if isinstance(record, WorkFailed):
                raise record
            features = decode_example(record)
            if absent := [key for key in _NEEDED if not isinstance(next(iter(features.get(key, ())), None), bytes)]:
                raise WorkFailed(f"it has no {' and no '.join(absent)}")  # noqa: TRY301
            where = f"{name}: record {index} (id {image_id(features)})"
        except WorkFailed as error:
            report(f"{where}: {error}")
        else:
            yield record, features, where


def image_id(features: Features) -> str:
    """Return the id of a record's image."""
    value: bytes = features[od_keys.SOURCE_ID][0]
    return value.decode("utf-8", "replace")
