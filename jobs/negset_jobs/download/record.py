"""Make the record of one image: copy it, or download it once."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from negset_api.errors import WorkFailed
from negset_api.spec import Download
from negset_api.values import ImageResult, Outcome, PlannedImage, digest
from negset_jobs.adapters.quoting import of_bug
from negset_jobs.adapters.store import Store
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.placing import Placed, placed
from negset_jobs.download.plan_order import Record
from negset_jobs.formats import od_keys
from negset_jobs.formats.tf_example import decode_example, encode_example
from negset_jobs.formats.tfrecord import unframe

log = logging.getLogger(__name__)

RECORD_FORMAT: Final = 2
"""The version of a record's content.

It is part of every digest, so that records of an older version are not reused. Version 1 checked
less of an image, and ignored EXIF.
"""


class Recording(NamedTuple):
    """How the images of a shard are downloaded and recorded. See `ShardTask` for the fields."""

    download: Download
    label_ids: Mapping[str, int]
    orientation: str = ""


class CachedRecord(msgspec.Struct, frozen=True, gc=False):
    """A record of another shard that was made from the same inputs."""

    store_url: str
    key: str
    result: ImageResult


def image_input_digest(image: PlannedImage, download: Download, label_ids: Mapping[str, int]) -> str:
    """Return the digest of all inputs of an image's record.

    The number and the pace of attempts are not part of it.
    """
    checks = (download.verify, download.max_image_mebibytes, download.max_image_megapixels, download.robots_tag)
    boxes = [(box, label_ids.get(box.class_name)) for box in image.objects]
    objects = (image.width, image.height, boxes, image.pixels, image.orientation) if boxes else None
    return digest(RECORD_FORMAT, image.url, image.image_id, image.file_name, objects, checks)


async def downloaded(image: PlannedImage, recording: Recording, fetcher: Fetcher) -> Record:
    """Request the image once, check it, and return its record.

    Raises `Failed`, whatever goes wrong: one image never ends the work for the others.
    """
    try:
        fetched = await fetcher.image(image.url)
        if image.objects:  # an image may have to be turned, which takes long
            put = await fetcher.in_decoder(placed, image, fetched, recording.orientation)
        else:
            put = placed(image, fetched, recording.orientation)
        return _record(image, put, recording)
    except Failed:
        raise
    except Exception as error:
        log.debug("image %s", image.image_id, exc_info=error)
        raise Failed(Outcome.CLIENT_ERROR, f"an error that negset does not know: {of_bug(error)}") from error


def _record(image: PlannedImage, put: Placed, recording: Recording) -> Record:
    fetched = put.image
    sha256 = hashlib.sha256(fetched.encoded).hexdigest()
    payload = encode_example(
        encoded=fetched.encoded,
        image_format=fetched.format,
        file_name=image.file_name,
        source_id=str(image.image_id),
        sha256=sha256,
        height=fetched.height,
        width=fetched.width,
        boxes=put.boxes,
        label_ids=recording.label_ids,
    )
    result = ImageResult(
        image_id=image.image_id,
        outcome=Outcome.STORED,
        input_digest=image_input_digest(image, recording.download, recording.label_ids),
        sha256=sha256,
        bytes=len(fetched.encoded),
        width=fetched.width,
        height=fetched.height,
        rejected_boxes=len(image.objects) - len(put.boxes),
        orientation=put.orientation if put.orientation > 1 else 0,
        turned=put.turned,
    )
    return Record(payload, result)


async def copied(cached: CachedRecord) -> Record | None:
    """Return a record of another file. None if it was removed or is damaged."""
    payload = await asyncio.to_thread(_read_cached, cached)
    return None if payload is None else Record(payload, cached.result)


def _read_cached(cached: CachedRecord) -> bytes | None:
    """Return the cached record after checking its checksum and the image's digest."""
    try:
        payload = unframe(Store(cached.store_url).read_range(cached.key, cached.result.offset, cached.result.length))
        (encoded,) = decode_example(payload)[od_keys.ENCODED]
    except (WorkFailed, KeyError, ValueError):
        return None
    return payload if hashlib.sha256(encoded).hexdigest() == cached.result.sha256 else None
