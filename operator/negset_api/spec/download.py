"""How images are downloaded and checked."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from negset_api.spec.fields import Percent, Spec


class Download(Spec, frozen=True, kw_only=True):
    verify: Annotated[
        Literal["Structure", "Decode"],
        Meta(
            description="How each image is checked before it is stored. Both refuse what TensorFlow cannot decode. "
            "Structure reads the markers and tables of a JPEG up to its end, and decompresses the rows of a PNG. "
            "Decode also decodes each JPEG, and costs several times as much. "
            "Neither sees damage that only changes pixels, such as a grey lower half of a JPEG."
        ),
    ] = "Structure"
    max_failed_percent: Annotated[
        Percent,
        Meta(
            description="Maximum percentage of the planned images that may fail. "
            "With more failures the step fails, instead of storing an incomplete dataset. Negatives and positives are counted apart. "
            "The same limit holds for boxes of positives that cannot be used. "
            "The same limit holds for records that a training cannot read."
        ),
    ] = 5
    attempts: Annotated[
        int,
        Meta(
            ge=1,
            le=20,
            description="Maximum attempts per image. "
            "Transient errors (timeout, 429, 5xx, connection error, truncated image) are retried with growing pauses. "
            "An attempt counts if the host has answered another request since the previous one. "
            "No attempt begins later than `attempts` times `timeoutSeconds`, plus `maxOutageSeconds`, after the first.",
        ),
    ] = 5
    max_outage_seconds: Annotated[
        int,
        Meta(
            ge=0,
            le=3600,
            description="Maximum time that a worker waits for a host that does not answer, in seconds. "
            "Images of other hosts are downloaded meanwhile. When it is over, the images of the host fail, and the next run requests them again. "
            "A host that has never answered is waited for at most 30 seconds. With 0, every attempt counts.",
        ),
    ] = 120
    timeout_seconds: Annotated[
        int, Meta(ge=1, le=3600, description="Maximum duration of one request in seconds, from connecting to the last byte.")
    ] = 30
    connections: Annotated[int, Meta(ge=1, le=512, description="Maximum number of images that one worker downloads at the same time.")] = 32
    connections_per_host: Annotated[
        int, Meta(ge=1, le=512, description="Maximum number of connections that one worker has to one host at the same time.")
    ] = 32
    max_image_mebibytes: Annotated[int, Meta(ge=1, le=1024, description="Maximum size of an encoded image, in MiB.")] = 32
    max_image_megapixels: Annotated[
        int,
        Meta(
            ge=1,
            le=1000,
            description="Maximum size of an image, in millions of pixels. Checking an image takes at most 8 bytes of memory for each of them. "
            "WebP, AVIF and progressive CMYK JPEG need more for a pixel, so 1/2, 2/3 and 4/7 of this size is their maximum. "
            "TensorFlow decodes at most 178.",
        ),
    ] = 100
    contact: Annotated[
        str,
        Meta(
            max_length=256,
            description="A URL or e-mail address for the User-Agent header, so that the owners of the image servers can contact you.",
        ),
    ] = ""
    robots_tag: Annotated[
        Literal["Honour", "Ignore"],
        Meta(
            description="Honour leaves out an image if the X-Robots-Tag header of the answer has noai, noimageai, noindex, noimageindex or none. "
            "Ignore stores it."
        ),
    ] = "Honour"
