"""Numbers and findings in words. Pure. The page and the terminal show the same sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

from negset_api import names
from negset_api.values import Interval, Outcome, ReportMining

MEANINGS: Final[dict[str, str]] = {
    Outcome.STORED: "Downloaded, checked and stored.",
    Outcome.NOT_FOUND: "The server has no such image.",
    Outcome.FORBIDDEN: "The server refused access.",
    Outcome.CLIENT_ERROR: "The server rejected the request (another 4xx status).",
    Outcome.RATE_LIMITED: "The server still limited the rate at the last attempt.",
    Outcome.SERVER_ERROR: "The server still failed at the last attempt.",
    Outcome.TIMEOUT: "No complete response arrived in time.",
    Outcome.UNREACHABLE: "No connection could be made.",
    Outcome.BLOCKED_ADDRESS: "The URL or its address is not allowed.",
    Outcome.OPTED_OUT: "The publisher asks not to use the image for machine learning.",
    Outcome.TOO_LARGE: "The image is larger than the limits allow.",
    Outcome.NOT_AN_IMAGE: "The response is not an image.",
    Outcome.TRUNCATED: "The end of the image is missing.",
    Outcome.UNDECODABLE: "The image cannot be decoded.",
    Outcome.SIZE_MISMATCH: "The size of the image differs from the annotations.",
    Outcome.INVALID_BOX: "No box of the image is usable.",
    Outcome.INVALID_ANNOTATION: "The annotation of the image cannot be used.",
    Outcome.IS_POSITIVE: "The image is a positive, so it shows a class that is trained.",
    Outcome.AMBIGUOUS_ORIENTATION: "EXIF turns the image, and nothing shows how its boxes were drawn.",
}

ARMS: Final = {names.MINED: "mined negatives", names.RANDOM_NEGATIVES: "random negatives", names.NO_NEGATIVES: "no negatives"}
"""The negatives that each arm trains on."""

_USER: Final = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY: Final = re.compile(r"(https?://[^\s?]*)\?[^\s'\"]*")
_MINUS: Final = "\N{MINUS SIGN}"
_PERCENT: Final = "\N{NO-BREAK SPACE}%"  # no line break between the number and its sign
_SMALL_RATE: Final = 0.095  # below, two decimals are too few
_SMALLER_RATE: Final = 0.001
_SMALLEST_RATE: Final = 0.0001
_SMALL_CHANGE: Final = 9.5
_SMALLEST_PERCENT: Final = 0.1
_SECONDS_AS_SUCH: Final = 100
_KIBI: Final = 1024


def count(number: int, noun: str, plural: str = "") -> str:
    """Return `1 image` or `1,204 images`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def rate(value: float) -> str:
    """Return a rate with two decimals, or up to four if it is small; never 0 if it is not 0."""
    if not math.isfinite(value):
        return "unknown"
    if 0 < value < _SMALLEST_RATE:
        return f"< {_SMALLEST_RATE}"
    if 0 < value < _SMALLER_RATE:
        return f"{value:.4f}"
    return f"{value:.3f}" if 0 < value < _SMALL_RATE else f"{value:.2f}"


def signed(value: float) -> str:
    """Return a difference with its sign and three decimals."""
    return f"{_MINUS if value < 0 else '+'}{abs(value):.3f}"


def interval(ends: Interval, formatted: Callable[[float], str]) -> str:
    """Return `0.01 to 0.05`."""
    return f"{formatted(ends[0])} to {formatted(ends[1])}"


def percent(value: float, decimals: int = 0) -> str:
    """Return a value in percent, with its sign."""
    return f"{value:.{decimals}f}{_PERCENT}"


def precision(value: float) -> str:
    """Return an average precision in [0, 1] with three decimals.

    COCO's -1 means that nothing could be measured.
    """
    return f"{value:.3f}" if value >= 0 else "not measured"


def share(part: int, whole: int) -> str:
    """Return a share in percent; never 0 % or 100 % unless it is exactly that."""
    value = 100 * part / whole if whole else 0.0
    if 0 < value < _SMALLEST_PERCENT:
        return f"< {_SMALLEST_PERCENT}{_PERCENT}"
    if 0 < 100 - value < _SMALLEST_PERCENT:
        return f"> {100 - _SMALLEST_PERCENT}{_PERCENT}"
    return percent(value, 0 if value == round(value) else 1)


def change(before: float, after: float) -> str:
    """Return the change relative to `before`, which is not 0, in percent with its sign."""
    return relative(after / before - 1)


def relative(fraction: float) -> str:
    """Return a relative change in percent with its sign: -0.5 is a fall by half.

    Only a fall to 0 is 100 percent.
    """
    value = abs(100 * fraction)
    if -1 < fraction < 0 and round(value) == 100:  # noqa: PLR2004 - of a percentage
        return f"more than {_MINUS}99{_PERCENT}"
    sign = _MINUS if fraction < 0 else "+"
    return f"{sign}{value:.1f}{_PERCENT}" if 0 < value < _SMALL_CHANGE else f"{sign}{round(value):,}{_PERCENT}"


def size(number: int) -> str:
    """Return bytes in binary units."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIBI:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= _KIBI
    return f"{value:,.1f} TiB"


def duration(seconds: float) -> str:
    """Return `48 seconds`, `12 minutes` or `3.4 hours`."""
    if seconds < _SECONDS_AS_SUCH:
        return count(round(seconds), "second")
    if seconds < _SECONDS_AS_SUCH * 60:
        return count(round(seconds / 60), "minute")
    return f"{seconds / 3600:,.1f} hours"


def capital(text: str) -> str:
    """Return the text with a capital first letter."""
    return text[:1].upper() + text[1:]


def listing(items: Sequence[str], word: str = "and") -> str:
    """Return `a`, `a and b` or `a, b and c`."""
    if len(items) <= 1:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def without_secrets(text: str) -> str:
    """Return a URL, or a text with URLs, without possible credentials.

    These are user names and passwords, and the query strings of web addresses (signed URLs). A `?`
    elsewhere belongs to a glob.
    """
    return _QUERY.sub(r"\1", _USER.sub("", text))


def mined(mining: ReportMining) -> str:
    """Return the results of a mining, in two or three sentences."""
    added = (
        f"{mining.fooled:,} with false positives. Added {count(mining.added, 'hard negative')} with a score of at least {mining.floor:.2f} "
        f"({mining.hard_negatives:,} in total); {mining.review:,} for review."
    )
    if mining.pool:
        return f"Mining after round {mining.after_round}: scored {count(mining.pool, 'negative')} of the pool, {added}"
    return (
        f"Mining after round {mining.after_round}: no pool (the selection was too small, or firstRoundPercent is 100). "
        f"Scored {count(mining.trained_on, 'training negative')}, {added}"
    )


def model_name(arm: str, number: int = 0) -> str:
    """Return the name of a model: its round, or what its arm trains on.

    `number` is the round of an arm that has several.
    """
    if arm == names.MINED:
        return f"round {number}"
    return f"{ARMS[arm]}, round {number}" if number else ARMS[arm]
