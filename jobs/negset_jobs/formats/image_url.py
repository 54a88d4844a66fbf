"""The URL of an image: a template over the fields of its annotation entry.

Pure, except that relative paths depend on the working directory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from negset_api.errors import InvalidInput
from negset_jobs.adapters.quoting import quoted
from negset_jobs.adapters.urls import WEB_SCHEMES, scheme_of

FIELD: Final = "spec.source.coco.imageUrl"

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
# Characters that a path may contain (RFC 3986, section 3.3), besides those that quote() keeps.
_PATH_CHARACTERS: Final = "/!$&'()*+,;=:@"
_FLICKR_PHOTO: Final = re.compile(r"^https?://(?:farm\d+|live)\.static\.?flickr\.com/(?:[^/]+/)+(\d+)_")


def placeholders(template: str) -> tuple[str, ...]:
    """Return the names in braces, in order."""
    return tuple(_PLACEHOLDER.findall(template))


def image_url(template: str, fields: Mapping[str, str], *, field: str = FIELD) -> str:
    """Return the template with each `{name}` replaced by `fields[name]`.

    A field whose name ends in `_url` is a URL and stays as it is. Any other field is a relative
    file name. In an http(s) URL it is percent-encoded. In a path or a key it may not lead out of
    the template's folder. A relative path becomes absolute. Raises `InvalidInput`, naming `field`.

    Only the template may chain URLs: two colons in a name make a URL that `urls.parse` refuses.
    """
    scheme = scheme_of(template)

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in fields:
            raise InvalidInput(
                f"{field}: expected the placeholders {', '.join(f'{{{known}}}' for known in fields)}, got {{{name}}} in {template!r}"
            )
        value = fields[name]
        if not value:
            raise InvalidInput(f"{field}: {template!r} needs {name}, which is empty in an image entry ({_entry(fields)})")
        if name.endswith("_url") or match.span() == (0, len(template)):
            return value
        if scheme in WEB_SCHEMES:
            # Two colons would join two URLs. A server treats both spellings alike.
            return quote(value, safe=_PATH_CHARACTERS).replace("::", "%3A%3A")
        if value.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", value):
            raise InvalidInput(f"{field}: expected file names inside the folder of {template!r}, got {name} {quoted(value)}")
        return value

    url = _PLACEHOLDER.sub(replace, template)
    return url if "://" in url else os.path.abspath(url)


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
