"""Numbers and findings in words. Pure; the page and the terminal say the same sentences."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from negset_api.values import Outcome, Report, ReportRound

MEANINGS: Final[dict[str, str]] = {
    Outcome.STORED: "Fetched, checked and written.",
    Outcome.NOT_FOUND: "The server has no such picture.",
    Outcome.FORBIDDEN: "The server refused access.",
    Outcome.CLIENT_ERROR: "The server called the request wrong.",
    Outcome.RATE_LIMITED: "The server asked to slow down until no attempt was left.",
    Outcome.SERVER_ERROR: "The server failed until no attempt was left.",
    Outcome.TIMEOUT: "No complete answer came in time.",
    Outcome.UNREACHABLE: "No connection could be made.",
    Outcome.BLOCKED_ADDRESS: "The address is private and may not be reached.",
    Outcome.OPTED_OUT: "The publisher asks not to use the picture for machine learning.",
    Outcome.TOO_LARGE: "The picture is larger than the limits allow.",
    Outcome.NOT_AN_IMAGE: "What came is not a picture.",
    Outcome.TRUNCATED: "The picture's end is missing.",
    Outcome.UNDECODABLE: "The picture cannot be decoded.",
    Outcome.SIZE_MISMATCH: "The picture is not as large as the annotations say.",
    Outcome.INVALID_BOX: "No box of the picture could be used.",
}

_USER: Final = re.compile(r"(?<=://)[^/@\s]+@")
_QUERY: Final = re.compile(r"(https?://[^\s?]*)\?[^\s'\"]*")
_MINUS: Final = "\N{MINUS SIGN}"
_PERCENT: Final = "\N{NO-BREAK SPACE}%"  # a line never ends between the number and its sign
_SMALL_RATE: Final = 0.095  # below, two decimals would say too little
_SMALLEST_RATE: Final = 0.001
_SMALLEST_PERCENT: Final = 0.1
_SECONDS_AS_SUCH: Final = 100
_KIBI: Final = 1024


class Finding(msgspec.Struct, frozen=True):
    """What the training showed: a headline, the sentences that keep it honest, and whether it is "good", "bad" or "neutral" news."""

    headline: str
    details: tuple[str, ...]
    mood: str


def count(number: int, thing: str, things: str = "") -> str:
    """`1 picture`, `1,204 pictures`."""
    return f"{number:,} {thing if number == 1 else things or f'{thing}s'}"


def rate(value: float) -> str:
    """A non-negative rate with two decimals, three where it is small; never rounded to 0 when it is not."""
    if not math.isfinite(value):
        return "unknown"
    if 0 < value < _SMALLEST_RATE:
        return f"< {_SMALLEST_RATE}"
    return f"{value:.3f}" if 0 < value < _SMALL_RATE else f"{value:.2f}"


def percent(value: float, decimals: int = 0) -> str:
    """A percentage that is one already."""
    return f"{value:.{decimals}f}{_PERCENT}"


def precision(value: float) -> str:
    """An average precision in [0, 1] with three decimals; COCO's -1 where nothing could be measured."""
    return f"{value:.3f}" if value >= 0 else "not measured"


def share(part: int, whole: int) -> str:
    """A percentage; never 0 % or 100 % of what is neither."""
    value = 100 * part / whole if whole else 0.0
    if 0 < value < _SMALLEST_PERCENT:
        return f"< {_SMALLEST_PERCENT}{_PERCENT}"
    if 0 < 100 - value < _SMALLEST_PERCENT:
        return f"> {100 - _SMALLEST_PERCENT}{_PERCENT}"
    return percent(value, 0 if value == round(value) else 1)


def change(before: float, after: float) -> str:
    """The change relative to `before`, which is not 0, in percent with its sign; a fall to something is never 100 percent."""
    rounded = round(100 * (after - before) / before)
    if after > 0 and round(100 * after / before) == 0:
        return f"more than {_MINUS}99{_PERCENT}"
    return f"{_MINUS if rounded < 0 else '+'}{abs(rounded):,}{_PERCENT}"


def size(number: int) -> str:
    """Bytes in binary units."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < _KIBI:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= _KIBI
    return f"{value:,.1f} TiB"


def duration(seconds: float) -> str:
    """`48 seconds`, `12 minutes`, `3.4 hours`."""
    if seconds < _SECONDS_AS_SUCH:
        return count(round(seconds), "second")
    if seconds < _SECONDS_AS_SUCH * 60:
        return count(round(seconds / 60), "minute")
    return f"{seconds / 3600:,.1f} hours"


def listing(items: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(items) <= 1:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def without_secrets(text: str) -> str:
    """A URL, or a text with URLs, without what may be a credential: user names and passwords, and the query strings of web addresses (signed URLs). A `?` elsewhere is a
    glob's.
    """
    return _QUERY.sub(r"\1", _USER.sub("", text))


def round_name(number: int) -> str:
    return "the baseline" if number == 0 else f"round {number}"


def finding(report: Report) -> Finding | None:
    """What happened to the false positives between the first and the last round; None without training."""
    rounds = report.rounds
    if not rounds:
        return None
    first, last = rounds[0], rounds[-1]
    if first is last:
        return Finding(
            f"{rate(last.false_positives_per_image)} false positives per held-out negative picture at recall {last.recall:.2f}",
            (
                "There is only one round and no baseline, so nothing to compare with: set training.baseline to true to see what the negatives are worth.",
            ),
            "neutral",
        )
    details = [*_baseline_caveat(first), *_recall_caveats(rounds), *_precision_caveats(first, last)]
    before, after = first.false_positives_per_image, last.false_positives_per_image
    comparable = all(each.recall_reached for each in (first, last))
    between = f"from {rate(before)} to {rate(after)} per picture"
    recall = f"at recall {last.wanted_recall:.2f}" if comparable else "but not at the same recall"
    if not before and not after:
        return Finding(f"There were no false positives on held-out negatives, before or after, {recall}", tuple(details), "neutral")
    if within_chance(first, last):
        details.insert(0, f"With {_pictures(last)} held out, a difference this small may be chance.")
    if after < before:
        mood = "good" if comparable and not within_chance(first, last) else "neutral"
        return Finding(f"False positives on held-out negatives fell {between} ({change(before, after)}) {recall}", tuple(details), mood)
    if after == before:
        return Finding(f"False positives on held-out negatives stayed at {rate(after)} per picture {recall}", tuple(details), "neutral")
    rise = f" ({change(before, after)})" if before else ""
    mood = "neutral" if within_chance(first, last) else "bad"
    return Finding(f"False positives on held-out negatives did not fall: they rose {between}{rise} {recall}", tuple(details), mood)


def within_chance(first: ReportRound, last: ReportRound) -> bool:
    """Whether the two rounds' counts of false positives differ by less than two standard deviations of the difference of two Poisson counts, √(a + b)."""
    before = first.false_positives_per_image * first.held_out_negatives
    after = last.false_positives_per_image * last.held_out_negatives
    return abs(before - after) < 2 * math.sqrt(before + after)


def _pictures(measured: ReportRound) -> str:
    return count(measured.held_out_negatives, "negative")


def _baseline_caveat(first: ReportRound) -> list[str]:
    if first.round == 0:
        return []
    return ["There is no baseline without negatives, so this compares training rounds only; training.baseline: true adds one."]


def _recall_caveats(rounds: Sequence[ReportRound]) -> list[str]:
    return [
        f"{round_name(each.round).capitalize()} reaches a recall of {each.recall:.2f} at most, not the {each.wanted_recall:.2f} asked for; its false positives are counted there, so "
        "its number does not compare with another round's."
        for each in (rounds[0], rounds[-1])
        if not each.recall_reached
    ]


def _precision_caveats(first: ReportRound, last: ReportRound) -> list[str]:
    before, after = first.average_precision, last.average_precision
    if before < 0 or after < 0:
        return []
    shown_before, shown_after = precision(before), precision(after)
    verb = "fell" if after < before else "rose"
    change_of = f"stayed at {shown_after}" if shown_before == shown_after else f"{verb} from {shown_before} to {shown_after}"
    return [f"Average precision on held-out positives {change_of}."]
