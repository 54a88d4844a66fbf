"""Read one value in the spellings that exporters use: numbers, ids, flags and names. Pure.

pandas, spreadsheets and XML converters write numbers as text and whole numbers as 1.0. Each
function returns None if a value has no such reading. A caller then counts it as unknown.
"""

from __future__ import annotations

import math
import re
from typing import Final
from urllib.parse import unquote, urlsplit

_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE: Final = re.compile(r"(-?(?:0|[1-9]\d{0,18}))(?:\.0*)?", re.ASCII)
_LONGEST: Final = 400
_LARGEST: Final = 2**63 - 1
_FLAGS: Final = {"true": True, "false": False, "yes": True, "no": False}


def number(value: object) -> float | None:
    """Return a finite number. Text such as "30.0000" is one; true and false are none."""
    if isinstance(value, str) and len(value) <= _LONGEST and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -_LARGEST <= value <= _LARGEST else None


def identifier(value: object) -> int | str | None:
    """Return an id: 1, "1" and 1.0 are the number 1; any other text stays as it is.

    A number beyond 64 bits becomes its digits.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        return identifier(int(value)) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value.strip())):
        value = int(match[1])
    if isinstance(value, int):
        return value if -_LARGEST <= value <= _LARGEST else str(value)
    return value if isinstance(value, str) and value.strip() else None


def whole_number(value: object) -> int | None:
    """Return an id that is a number of at most 64 bits."""
    found = identifier(value)
    return found if isinstance(found, int) else None


def side(value: object) -> int | float | None:
    """Return the width or height of an image in pixels."""
    found = number(value)
    return found if found is not None and found > 0 else None


def flag(value: object) -> bool | None:
    """Return a flag: a number other than 0, true, or the word for it."""
    if isinstance(value, bool):
        return value
    found = number(value)
    if found is not None:
        return found != 0
    return _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None


def text(value: object) -> str | None:
    """Return text. A number becomes its digits: a class or a file can be named 1."""
    if isinstance(value, str):
        return value or None
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def file_name_of(url: str) -> str:
    """Return the last part of a URL's path, without percent-encoding; empty if there is none."""
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError:
        return ""
