"""The report's numbers on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from negset_api.values import Outcome, Report
from negset_jobs.reporting import wording
from negset_jobs.reporting.finding import finding
from negset_jobs.reporting.sentences import lies_on_sentence

_WIDTH: Final = 100
_MOST_NAMED: Final = 8


def describe(report: Report) -> str:
    """Return a few lines of plain text, without an end of line after the last one."""
    paragraphs = (
        [f"{report.namespace}/{report.name}, revision {report.revision}"],
        _finding(report),
        [*_images(report), *_proofs(report), *_classes(report), *_licenses(report)],
        _arms(report),
        _rounds(report),
        _placed(report),
        _minings(report),
        _review(report),
    )
    return "\n\n".join("\n".join(paragraph) for paragraph in paragraphs if paragraph)


def _finding(report: Report) -> list[str]:
    found = finding(report)
    return [] if found is None else [line for text in (f"{found.headline}.", *found.details) for line in _wrapped(text)]


def _images(report: Report) -> list[str]:
    failures = sorted(((number, name) for name, number in report.outcomes.items() if name != Outcome.STORED and number), reverse=True)
    excluded = wording.listing(report.excluded_classes, "or")
    stored = f"Stored {report.stored:,} of {wording.count(report.planned, 'planned image')} without {excluded}"
    summary = f"{stored} ({wording.size(report.bytes)}); {report.planned - report.stored:,} failed."
    return [*_wrapped(summary), *(f"  {number:>9,}  {name}" for number, name in failures)]


def _proofs(report: Report) -> list[str]:
    counted = [f"{name} ({number:,})" for name, number in report.proofs.items()]
    return _wrapped(f"Proof: {wording.listing(counted)}.") if counted else []


def _classes(report: Report) -> list[str]:
    common = sorted(report.remaining_classes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{name} ({number:,})" for name, number in common[:_MOST_NAMED]]
    return _wrapped(f"Remaining classes: {_listing(shown, len(common))}.") if common else []


def _licenses(report: Report) -> list[str]:
    used = [f"{each.name} ({each.images:,})" for each in report.licenses if each.images]
    return _wrapped(f"Licences: {wording.listing(used)}.") if used else []


def _review(report: Report) -> list[str]:
    if not report.review:
        return []
    named = _listing(report.review[:_MOST_NAMED], len(report.review))
    return _wrapped(f"For review, because they may show an excluded class: {named}.")


def _listing(shown: Sequence[str], total: int) -> str:
    return wording.listing([*shown, f"{total - len(shown):,} more"] if total > len(shown) else shown)


def _arms(report: Report) -> list[str]:
    heads = ("model", "FP/image", "95 % interval", "recall", "AP", "AP50", "threshold", "steps", "negatives")
    rows = [
        (
            wording.ARMS[each.name],
            wording.rate(each.false_positives_per_image),
            wording.interval(each.false_positives_per_image_interval, wording.rate),
            f"{each.recall:.2f}",
            wording.precision(each.average_precision),
            wording.precision(each.average_precision_50),
            f"{each.threshold:.3f}",
            f"{each.steps:,}",
            f"{each.negatives:,}",
        )
        for each in report.comparisons
    ]
    return _table(heads, rows)


def _rounds(report: Report) -> list[str]:
    heads = ("round", "FP/image", "recall", "AP", "AP50", "threshold", "total steps", "hard negatives")
    rows = [
        (
            str(each.round),
            wording.rate(each.false_positives_per_image),
            f"{each.recall:.2f}",
            wording.precision(each.average_precision),
            wording.precision(each.average_precision_50),
            f"{each.threshold:.3f}",
            f"{each.total_steps:,}",
            f"{each.hard_negatives:,}",
        )
        for each in report.rounds
    ]
    return _table(heads, rows) if len(rows) > 1 else []


def _placed(report: Report) -> list[str]:
    return [line for each in report.comparisons if (text := lies_on_sentence(each)) for line in _wrapped(f"{text}.")]


def _minings(report: Report) -> list[str]:
    return [line for each in report.minings for line in _wrapped(wording.mined(each))]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [_row(cells, widths) for cells in (heads, *rows)]


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join((first, *rest)).rstrip()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
