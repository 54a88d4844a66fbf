"""The result of the training, in sentences that do not promise more than was measured.

Pure. The page and the terminal show the same sentences.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from negset_api import names
from negset_api.values import Comparison, Interval, Report, ReportRound
from negset_jobs.reporting import wording
from negset_jobs.reporting.intervals import least_resolved
from negset_jobs.reporting.sentences import copies_sentence

_SMALLEST: Final = 0.0001
_FINE: Final = 0.005
_CONFIDENT: Final = "95\N{NO-BREAK SPACE}%"

Measured = Comparison | ReportRound

_ASK: Final = "set spec.training.comparisons: [NoNegatives, RandomNegatives] to measure the effect of the negatives"


class Finding(msgspec.Struct, frozen=True):
    """A headline without a full stop, and the sentences that qualify it.

    The mood is "good", "bad" or "neutral".
    """

    headline: str
    details: tuple[str, ...]
    mood: str


class _Pair(NamedTuple):
    """Two models that were measured on the same images.

    The intervals of `other` are of the differences to `ours`.
    """

    ours: Measured
    other: Measured
    our_name: str
    other_name: str


def finding(report: Report) -> Finding | None:
    """Return what happened to the false positives; None without training.

    Mined negatives are compared with no negatives, and also with as many random ones, at equal
    total steps. Without such a comparison, the last round is compared with the first. The headline
    has no percentage if the wanted recall was not reached, or if the difference may be chance. It
    also has none if average precision fell by more than chance.
    """
    if not report.comparisons:
        return None
    ours, *others = _in_order(report)
    notes = [*_resolution(report), *([copies_sentence(report.copies)] if report.copies.total or report.copies.measured_near else [])]
    pairs = [_Pair(ours, other, subject(report), _other_name(other)) for other in others]
    if not pairs and len(report.rounds) > 1:
        first, last = report.rounds[0], report.rounds[-1]
        pairs = [_Pair(last, first, wording.model_name(names.MINED, last.round), wording.model_name(names.MINED, first.round))]
        steps = f"{first.total_steps:,} and {last.total_steps:,}"
        notes.append(f"The two rounds also differ in training steps ({steps}), so this does not measure the effect of mining; {_ASK}.")
    if not pairs:
        return _alone(ours, subject(report), notes)
    headline, mood = _sentence(pairs[0])
    sentences = [headline, *(text for pair in pairs for text in _about(pair))]
    return Finding(headline, (*(f"{text}." for text in dict.fromkeys(sentences) if text != headline), *notes), mood)


def compared(report: Report) -> tuple[Measured | None, Measured]:
    """Return what the headline compares: before (if there is one), and after."""
    ours, *others = _in_order(report)
    if others:
        return others[0], ours
    return (report.rounds[0], report.rounds[-1]) if len(report.rounds) > 1 else (None, ours)


def subject(report: Report) -> str:
    """Return the name of the negatives of the arm `Mined`: "negatives" if no mining added any."""
    return wording.ARMS[names.MINED] if any(mining.added for mining in report.minings) else "negatives"


def _other_name(other: Comparison) -> str:
    # Random negatives are compared in the same number.
    return f"{'as many ' if other.name == names.RANDOM_NEGATIVES else ''}{wording.ARMS[other.name]}"


def _in_order(report: Report) -> list[Comparison]:
    """Return the comparisons: `Mined` first, then the arm that the headline compares it with."""
    order = (names.MINED, names.NO_NEGATIVES, names.RANDOM_NEGATIVES)
    return sorted(report.comparisons, key=lambda each: order.index(each.name))


def _sentence(pair: _Pair) -> tuple[str, str]:
    """Return the most important sentence about two models, and its mood."""
    if unreached := _unreached(pair):
        return _not_reached(pair.ours.wanted_recall, unreached), "bad"
    if _precision_fell(pair):
        return _fell(pair), "bad"
    ends = pair.other.difference_interval
    if ends is None or ends[0] <= 0 <= ends[1]:
        return f"No significant difference between {pair.our_name} and {pair.other_name}: {_rates(pair)}", "neutral"
    falls = ends[1] < 0
    verb = "cut" if falls else "raised"
    before, after = pair.other.false_positives_per_image, pair.ours.false_positives_per_image
    text = (
        f"{wording.capital(pair.our_name)} {verb} false positives per held-out negative from {wording.rate(before)} to {wording.rate(after)}{_change(pair)} compared with {pair.other_name}, "
        f"at recall {pair.ours.wanted_recall:.2f}"
    )
    return text, "good" if falls else "bad"


def _about(pair: _Pair) -> list[str]:
    """Return every sentence about two models.

    The most important one comes first. Then the rates follow, if it is not about them, and average
    precision, if it is not about that.
    """
    about_rates = not _unreached(pair) and not _precision_fell(pair)
    about_precision = not _unreached(pair) and _precision_fell(pair)
    return [_sentence(pair)[0], *([] if about_rates else [_rates(pair)]), *([] if about_precision else [_precision(pair)])]


def _alone(ours: Comparison, name: str, notes: list[str]) -> Finding:
    rate = f"{wording.rate(ours.false_positives_per_image)} false positives per held-out negative ({_CONFIDENT} interval {wording.interval(ours.false_positives_per_image_interval, wording.rate)})"
    details = (f"There is no comparison; {_ASK}.", *notes)
    if not ours.recall_reached:
        return Finding(_not_reached(ours.wanted_recall, [(ours, name)]), (f"At that recall there are {rate}.", *details), "bad")
    return Finding(f"{rate} at recall {ours.wanted_recall:.2f}", details, "neutral")


def _unreached(pair: _Pair) -> list[tuple[Measured, str]]:
    return [(each, name) for each, name in ((pair.ours, pair.our_name), (pair.other, pair.other_name)) if not each.recall_reached]


def _not_reached(wanted: float, unreached: list[tuple[Measured, str]]) -> str:
    best = wording.listing([f"{each.recall:.2f} ({name})" for each, name in unreached])
    which = "the best recall is" if len(unreached) == 1 else "the best recalls are"
    return f"The wanted recall of {wanted:.2f} was not reached, so false positives cannot be compared at equal recall; {which} {best}"


def _precision_fell(pair: _Pair) -> bool:
    ends = pair.other.average_precision_difference_interval
    return ends is not None and ends[1] < 0


def _fell(pair: _Pair) -> str:
    before, after = pair.other.average_precision, pair.ours.average_precision
    return (
        f"Average precision fell significantly, from {wording.precision(before)} ({pair.other_name}) to {wording.precision(after)} ({pair.our_name})"
        f"{_difference(pair.other.average_precision_difference_interval)}"
    )


def _rates(pair: _Pair) -> str:
    """Return both rates, each at the recall at which it was measured."""
    ours, other = pair.ours, pair.other
    numbers = f"{wording.rate(ours.false_positives_per_image)} and {wording.rate(other.false_positives_per_image)} false positives per held-out negative"
    if not (ours.recall_reached and other.recall_reached):
        return (
            f"{wording.capital(pair.our_name)} and {pair.other_name} have {numbers}, at recalls of {ours.recall:.2f} and {other.recall:.2f}"
        )
    described = f"{numbers} at recall {ours.wanted_recall:.2f}{_difference(other.difference_interval)}"
    return f"{wording.capital(pair.our_name)} and {pair.other_name} have {described}" if _precision_fell(pair) else described


def _difference(ends: Interval | None) -> str:
    return f" ({_CONFIDENT} interval of the difference {wording.interval(ends, wording.signed)})" if ends else ""


def _change(pair: _Pair) -> str:
    before, ends = pair.other.false_positives_per_image, pair.other.change_interval
    if not before or ends is None:
        return _difference(pair.other.difference_interval)
    percent = wording.change(before, pair.ours.false_positives_per_image)
    return f" ({percent}, {_CONFIDENT} interval {wording.interval(ends, wording.relative)})"


def _precision(pair: _Pair) -> str:
    """Return both average precisions, with the interval of their difference."""
    ours, other = wording.precision(pair.ours.average_precision), wording.precision(pair.other.average_precision)
    word = "with" if isinstance(pair.ours, Comparison) else "in"
    ends = pair.other.average_precision_difference_interval
    return f"Average precision is {ours} {word} {pair.our_name} and {other} {word} {pair.other_name}{_difference(ends)}"


def _resolution(report: Report) -> list[str]:
    """Return how many held-out images there were, and how small a rate they can show."""
    negatives = report.held_out_negatives
    positives = f"{wording.count(report.held_out_positives, 'held-out positive')} ({wording.count(report.held_out_objects, 'object')})"
    if not negatives:
        return [f"Measured on no held-out negative and {positives}: false positives are unknown."]
    one, none = _fine(1 / negatives), _fine(least_resolved(negatives))
    measured = f"Measured on {wording.count(negatives, 'held-out negative')} and {positives}"
    return [f"{measured}: one false positive is {one} per image, and a rate of 0 means below {none} with {_CONFIDENT} confidence."]


def _fine(value: float) -> str:
    """Return a rate with four decimals, if three would change it by a tenth."""
    return f"{value:.4f}" if _SMALLEST < value < _FINE else wording.rate(value)
