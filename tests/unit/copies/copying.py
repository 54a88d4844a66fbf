"""Make copies of an image as people make them, and find them again."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from negset_jobs.copies import tables
from negset_jobs.copies.find import among_positives, candidates, confirmed
from negset_jobs.copies.fingerprint import fingerprint


def copies_among(wanted, known, *, positives=False):
    """Return the positions in `known` of the copies of each encoded image of `wanted`.

    The images that are wanted are held out or, with `positives`, they are negatives and the known
    ones positives.
    """
    sides = [
        tables.encode_fingerprints([(str(index), fingerprint(encoded, turns=turns)) for index, encoded in enumerate(images)])
        for images, turns in ((wanted, not positives), (known, positives))
    ]
    seen, others = (
        dict(enumerate(tables.decode_seen(side, range(count)))) for side, count in zip(sides, (len(wanted), len(known)), strict=True)
    )
    search = among_positives if positives else candidates
    found = {row: [each.other for each in confirmed(each, seen, others)] for row, each in search(*map(tables.decode_hashes, sides))}
    return [set(found.get(row, ())) for row in range(len(wanted))]


def jpeg(image, quality=85):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def with_orientation(image, orientation):
    exif, stream = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(stream, "JPEG", quality=85, exif=exif)
    return stream.getvalue()


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def resized(image, share):
    return image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)


def cropped(image, share):
    across, down = round(image.width * share), round(image.height * share)
    return image.crop((across, down, image.width - across, image.height - down))


def pasted(image, x, y):
    """Return the image with a lighter or darker object in front: a frame of a fixed camera."""
    box = (x - 25, y - 40, x + 25, y + 40)
    behind = np.asarray(image.crop(box).convert("L")).mean()
    changed = image.copy()
    ImageDraw.Draw(changed).rectangle(box, fill=(30, 30, 60) if behind > 127 else (230, 220, 200))
    return changed


COPIES = {
    "saved again at quality 95": lambda image: jpeg(image, 95),
    "saved again at quality 60": lambda image: jpeg(image, 60),
    "saved again at quality 30": lambda image: jpeg(image, 30),
    "at a quarter of the size": lambda image: jpeg(resized(image, 0.25)),
    "at half the size": lambda image: jpeg(resized(image, 0.5)),
    "at one and a half times the size": lambda image: jpeg(resized(image, 1.5)),
    "at twice the size": lambda image: jpeg(resized(image, 2)),
    "squeezed into a square": lambda image: jpeg(image.resize((320, 320))),
    "as PNG": png,
    "in grey": lambda image: jpeg(image.convert("L")),
    "a tenth brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.1)),
    "darker": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(0.85)),
    "with more contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(1.2)),
    "with less contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(0.8)),
    "cut by 1 % a side": lambda image: jpeg(cropped(image, 0.01)),
    "cut by 2 % a side": lambda image: jpeg(cropped(image, 0.02)),
    "cut by 3 % a side": lambda image: jpeg(cropped(image, 0.03)),
    "mirrored": lambda image: jpeg(ImageOps.mirror(image)),
    "mirrored, at half the size, at quality 60": lambda image: jpeg(resized(ImageOps.mirror(image), 0.5), 60),
    "mirrored and cut by 2 % a side": lambda image: jpeg(cropped(ImageOps.mirror(image), 0.02)),
    "turned to the left": lambda image: jpeg(image.transpose(Image.Transpose.ROTATE_90)),
    "turned to the right, at half the size": lambda image: jpeg(resized(image.transpose(Image.Transpose.ROTATE_270), 0.5)),
    "upside down": lambda image: jpeg(image.transpose(Image.Transpose.ROTATE_180)),
    "mirrored upside down": lambda image: jpeg(ImageOps.flip(image)),
    "mirrored and turned": lambda image: jpeg(image.transpose(Image.Transpose.TRANSPOSE)),
    "mirrored and turned to the other side": lambda image: jpeg(image.transpose(Image.Transpose.TRANSVERSE)),
    "with an EXIF that turns it": lambda image: with_orientation(image, 6),
    "turned as its EXIF says": lambda image: jpeg(ImageOps.exif_transpose(Image.open(io.BytesIO(with_orientation(image, 8))))),
}
