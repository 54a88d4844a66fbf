"""The URL of an image: a template over the fields of its annotation entry.

Pure, except that relative paths depend on the working directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from negset_api.errors import InvalidInput
from negset_jobs.adapters.quoting import quoted
from negset_jobs.adapters.urls import CACHE_SCHEMES, OUTSIDE, WEB_SCHEMES, has_slip, scheme_of
from negset_jobs.formats.pictures import name_key

FIELD: Final = "spec.source.coco.imageUrl"
BASE_NAME: Final = "base_name"

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PLACEHOLDER: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")  # two braces stand for one
# What all servers read alike. Some take a plus for a space, and a semicolon for the end of a name;
# in a query, "&" and "=" are not part of a value.
_PATH_CHARACTERS: Final = "/!$'()*,:@"
# Label Studio serves local files as /data/local-files/?d=FOLDER/NAME.
_SERVED: Final = re.compile(r"^/data/local-files/\?d=")
_ABSOLUTE: Final = re.compile(r"/|[A-Za-z]:/")  # also on a drive of Windows
_FLICKR_PHOTO: Final = re.compile(r"^https?://(?:farm\d+|live)\.static\.?flickr\.com/(?:[^/]+/)+(\d+)_")


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names in braces, in order."""
    return tuple(match[1] for match in _PLACEHOLDER.finditer(template) if match[1] is not None)


def entry_fields(file_name: str, coco_url: str | None, flickr_url: str | None) -> dict[str, str]:
    """Return what a template over an image entry of COCO can be made of.

    `base_name` is the last part of the file name. Some exporters write the path or the URL that the
    image had on their machine: labelme2coco /home/me/1.jpg, Label Studio /data/upload/7/1.jpg.
    """
    return {"file_name": file_name, BASE_NAME: base_name(file_name), "coco_url": coco_url or "", "flickr_url": flickr_url or ""}


def base_name(file_name: str) -> str:
    """Return the last part of a file name, which may be a path or a URL."""
    plain = file_name.strip()
    if "/" not in plain and "\\" not in plain:  # most names
        return plain
    plain = _SERVED.sub("", plain)
    path = urlsplit(plain).path if _URL.match(plain) else plain
    return path.replace("\\", "/").rpartition("/")[2]


def check_base_names(template: str, file_names: Iterable[str], *, field: str = FIELD) -> None:
    """Raise `InvalidInput`, naming `field`, if `{base_name}` would be one for several file names.

    One of the images would be taken for the other, with the other's objects.
    """
    if BASE_NAME not in placeholders(template):
        return
    first: dict[str, str] = {}
    for name in file_names:
        known = first.setdefault(base_name(name), name)
        if name_key(known) != name_key(name):
            raise InvalidInput(
                f"{field}: expected each image to have another {{{BASE_NAME}}}, got one for {quoted(known)} and {quoted(name)}; "
                "rename the images, or use {file_name}"
            )


def image_url(template: str, fields: Mapping[str, str], *, field: str = FIELD) -> str:
    """Return the template with each `{name}` replaced by `fields[name]`.

    A field whose name ends in `_url` is a URL and stays as it is, without spaces around it. Any
    other field is a relative file name. Its backslashes are slashes, as exporters on Windows write
    them. In an http(s) URL it is percent-encoded. A relative path becomes absolute.

    A name that leads out of the template's folder, or that would join another URL to it, becomes a
    URL that `urls.parse` refuses, so that the image has an outcome. Raises `InvalidInput`, naming
    `field`, for an unknown placeholder and for an empty field.
    """
    web = scheme_of(template) in WEB_SCHEMES
    chained, outside = "::" in template, list[str]()

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return match[0][0]
        if name not in fields:
            raise InvalidInput(
                f"{field}: expected the placeholders {', '.join(f'{{{known}}}' for known in fields)}, got {{{name}}} in {template!r}"
            )
        value = fields[name]
        if not value:
            raise InvalidInput(f"{field}: {template!r} needs {name}, which is empty in an image entry ({_entry(fields)})")
        if name.endswith("_url"):
            return value.strip()
        if match.span() == (0, len(template)):
            return value if "://" in value else value.replace("\\", "/")
        value = value.replace("\\", "/")
        if web:
            # Two colons would join two URLs. A server treats both spellings alike.
            return quote(value, safe=_PATH_CHARACTERS).replace("::", "%3A%3A")
        if _leads_out(value) or (chained and _chains(value)):
            outside.append(value)
        return value

    url = _PLACEHOLDER.sub(replace, template)
    if outside:
        return f"{OUTSIDE}://{outside[0]}"
    return absolute(url)


def absolute(url: str) -> str:
    """Return a local path as an absolute one; any other URL as it is."""
    return url if "://" in url or has_slip(url) else os.path.abspath(url)


def _leads_out(name: str) -> bool:
    return any(pattern.match(name) for pattern in (_ABSOLUTE, _URL)) or ".." in name.split("/")


def _chains(name: str) -> bool:
    """Return True if the name would be a link of a chain of URLs."""
    return "://" in name or not CACHE_SCHEMES.isdisjoint(name.lower().split("::"))


def photo_page(flickr_url: str) -> str:
    """Return the Flickr page of a photo, which names its author and licence, from its file's URL.

    Other URLs are returned unchanged. Flickr's file names start with the photo's id
    (https://www.flickr.com/services/api/misc.urls.html), and photo.gne redirects from an id to the
    page.
    """
    match = _FLICKR_PHOTO.match(flickr_url)
    return f"https://www.flickr.com/photo.gne?id={match[1]}" if match else flickr_url


def _entry(fields: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {quoted(value)}" for name, value in fields.items() if value)
