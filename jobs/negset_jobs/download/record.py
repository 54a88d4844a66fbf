"""Make the record of one image: copy it, or download it once."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from negset_api.errors import WorkFailed
from negset_api.spec import Download
from negset_api.values import ImageResult, Outcome, PlannedImage, digest
from negset_jobs.adapters.quoting import of_bug
from negset_jobs.adapters.store import Store
from negset_jobs.download.failure import Failed
from negset_jobs.download.fetcher import Fetcher
from negset_jobs.download.plan_order import Record
from negset_jobs.download.verify import EncodedImage
from negset_jobs.formats import od_keys
from negset_jobs.formats.tf_example import decode_example, encode_example
from negset_jobs.formats.tfrecord import unframe

log = logging.getLogger(__name__)

RECORD_FORMAT: Final = 1
"""The version of a record's content.

It is part of every digest, so that records of an older version are not reused.
"""


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
    objects = (image.width, image.height, [(box, label_ids.get(box.class_name)) for box in image.objects]) if image.objects else None
    return digest(RECORD_FORMAT, image.url, image.image_id, image.file_name, objects, checks)


async def downloaded(image: PlannedImage, download: Download, label_ids: Mapping[str, int], fetcher: Fetcher) -> Record:
    """Request the image once, check it, and return its record.

    Raises `Failed`, whatever goes wrong: one image never ends the work for the others.
    """
    try:
        fetched = await fetcher.image(image.url)
        _check_size(image, fetched)
        return _record(image, fetched, image_input_digest(image, download, label_ids), label_ids)
    except Failed:
        raise
    except Exception as error:
        log.debug("image %s", image.image_id, exc_info=error)
        raise Failed(Outcome.CLIENT_ERROR, f"an error that negset does not know: {of_bug(error)}") from error


def _record(image: PlannedImage, fetched: EncodedImage, input_digest: str, label_ids: Mapping[str, int]) -> Record:
    sha256 = hashlib.sha256(fetched.encoded).hexdigest()
    payload = encode_example(
        encoded=fetched.encoded,
        image_format=fetched.format,
        file_name=image.file_name,
        source_id=str(image.image_id),
        sha256=sha256,
        height=fetched.height,
        width=fetched.width,
        boxes=image.objects,
        label_ids=label_ids,
    )
    result = ImageResult(
        image_id=image.image_id,
        outcome=Outcome.STORED,
        input_digest=input_digest,
        sha256=sha256,
        bytes=len(fetched.encoded),
        width=fetched.width,
        height=fetched.height,
    )
    return Record(payload, result)


def _check_size(image: PlannedImage, fetched: EncodedImage) -> None:
    """Raise `Failed` if a positive has another size than its annotations say.

    Boxes are fractions of the size in the annotations: on an image of another size they would be
    wrong. A negative has no boxes, and is stored with its real size.
    """
    if not image.width or (fetched.width, fetched.height) == (image.width, image.height):
        return
    detail = f"expected {image.width}x{image.height} pixels as in the annotations, got {fetched.width}x{fetched.height}"
    if image.objects:
        raise Failed(Outcome.SIZE_MISMATCH, detail)
    log.debug("%s: %s", image.url, detail)


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
