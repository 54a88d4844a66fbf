"""The sections that compare models. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from negset_api import names
from negset_api.values import Comparison, Interval, Report
from negset_jobs.reporting import charts, curve_charts, intervals, precision, wording
from negset_jobs.reporting.blocks import Block, Cell, Charts, Paragraph, Section, Table
from negset_jobs.reporting.evaluation import Evaluation
from negset_jobs.reporting.facts import Facts
from negset_jobs.reporting.overlap import COVERED, OVERLAP
from negset_jobs.reporting.sentences import NOTHING, lies_on_sentence

_MOST_CLASSES: Final = 30
_NONE: Final = "–"  # noqa: RUF001 - a dash in a table


def effect(facts: Facts, evaluation: Evaluation, report: Report) -> Section:
    """Return the section on false positives and average precision, by arm and by round."""
    measured = facts.trained[-1].measurement
    blocks: list[Block] = [
        Paragraph(
            f"Every model is measured on {wording.count(report.held_out_negatives, 'held-out negative')} and {wording.count(report.held_out_positives, 'held-out positive')} "
            f"({wording.count(report.held_out_objects, 'object')}). No model was trained on them. The threshold of a model is the highest score at which it finds "
            f"{wording.percent(100 * measured.wanted_recall)} of the objects (IoU at least 0.5, correct class). Negatives show no object, so every detection on them at or above the threshold is a false "
            "positive."
        )
    ]
    if len(evaluation.rounds) > 1 or len(evaluation.arms) > 1:
        blocks.append(
            Charts(
                (
                    ("False positives per held-out negative, with 95 % intervals", charts.false_positives(evaluation)),
                    ("Average precision on held-out positives", charts.average_precision(evaluation)),
                )
            )
        )
    blocks += _arms(report)
    if len(report.rounds) > 1:
        blocks.append(_rounds(report))
    blocks.append(
        Paragraph(
            f"The intervals show the effect of chance in the choice of the held-out images. They are drawn {intervals.RESAMPLES:,} times with replacement; each draw has as many images as were held out. Every "
            f"model is measured on the same draws, with a new threshold for each. Average precision uses a jackknife over {precision.GROUPS} groups of images instead. The intervals do not include chance in the "
            "training; to see it, train with other seeds."
        )
    )
    blocks.append(
        Paragraph(
            "Annotators overlook objects. A detection on a held-out negative may be correct, but it still counts as false. Judge by the images below."
        )
    )
    return Section("effect", "False positives, before and after", tuple(blocks))


def every_threshold(evaluation: Evaluation, report: Report) -> Section:
    """Return the section of curves, score histograms, and the numbers by class."""
    arms = evaluation.arms
    drawn = [
        ("Recall against false positives (FROC); the dots are where the models are compared", curve_charts.froc(arms)),
        ("Precision against recall on held-out positives, IoU 0.50, all classes", curve_charts.precision_recall(arms)),
        *((f"Scores: {wording.ARMS[each.model.round.arm]}", curve_charts.scores(each)) for each in arms),
    ]
    rows = tuple(
        (
            _arm(each),
            f"{each.hits:,}",
            f"{each.misses:,}",
            f"{each.duplicates:,}",
            f"{each.wrong_class:,}",
            f"{each.wrong_place:,}",
        )
        for each in report.comparisons
    )
    heads = ("Model", "Objects found", "Objects missed", "Duplicates", "Wrong class", "Wrong place")
    return Section(
        "curves",
        "At every threshold, and by class",
        (
            Paragraph(
                "A curve further up and to the left is better at every threshold, not only at the threshold of the comparison. Where the scores of negatives overlap with those of found objects, no "
                "threshold separates them."
            ),
            Charts(tuple(drawn)),
            Table("Detections on held-out positives, at each model's threshold", heads, rows, frozenset({1, 2, 3, 4, 5})),
            *_by_class(report),
        ),
    )


def lies_on(report: Report) -> Section:
    """Return the section on the other annotated classes that the false positives lie on."""
    title = "What the false positives lie on"
    fired = [each for each in report.comparisons if each.false_positives]
    if not fired:
        return Section("lies-on", title, (Paragraph("No model has a false positive on the held-out negatives."),))
    if not any(each.false_positives_on for each in fired):
        return Section("lies-on", title, (Paragraph("The annotations have no boxes for the held-out negatives, so this is unknown."),))
    total: dict[str, int] = {}
    for each in fired:
        for name, number in each.false_positives_on.items():
            total[name] = total.get(name, 0) + number
    classes = sorted(total, key=lambda name: (name == NOTHING, -total[name], name))
    shown = classes[:_MOST_CLASSES] if len(classes) > _MOST_CLASSES else classes
    rows = tuple((name or "nothing annotated", *(_share(each, name) for each in fired)) for name in shown)
    rule = (
        f"The other classes are annotated on the negatives too. A false positive lies on an annotation that covers at least {wording.percent(100 * COVERED)} of it, or whose IoU with it is "
        f"{OVERLAP} or more. If there are several, the one with the highest IoU counts."
    )
    described = (Paragraph(f"{text}.") for each in fired if (text := lies_on_sentence(each)))
    more = [Paragraph(f"{len(classes) - len(shown):,} more classes are in report.json.")] if len(classes) > len(shown) else []
    heads = ("Lies on", *(wording.capital(wording.ARMS[each.name]) for each in fired))
    return Section(
        "lies-on",
        title,
        (Paragraph(rule), *described, Table("False positives by what they lie on", heads, rows, frozenset(range(1, len(heads)))), *more),
    )


def _arms(report: Report) -> list[Block]:
    rows = tuple(
        (
            _arm(each),
            f"{each.steps:,}",
            f"{each.negatives:,}",
            wording.rate(each.false_positives_per_image),
            wording.interval(each.false_positives_per_image_interval, wording.rate),
            f"{each.recall:.3f}",
            f"{each.threshold:.3f}",
            wording.precision(each.average_precision),
        )
        for each in report.comparisons
    )
    heads = ("Model", "Steps", "Distinct negatives", "False positives per image", "95 % interval", "Recall", "Threshold", "AP")
    alone = len(report.comparisons) == 1
    caption = "Results of the model" if alone else "Results of each model at equal total steps"
    blocks: list[Block] = [Table(caption, heads, rows, frozenset(range(1, len(heads))))]
    if not alone:
        blocks.append(_differences(report))
    return blocks


def _differences(report: Report) -> Table:
    rows = tuple(
        (
            _arm(each),
            _ends(each.difference_interval, wording.signed),
            _ends(each.change_interval, wording.relative),
            _ends(each.average_precision_difference_interval, wording.signed),
        )
        for each in report.comparisons
        if each.name != names.MINED
    )
    heads = ("Compared with", "False positives per image", "False positives, relative", "Average precision")
    return Table("Mined negatives minus the other model, paired by image: 95 % intervals", heads, rows, frozenset({1, 2, 3}))


def _rounds(report: Report) -> Table:
    rows = tuple(
        (
            f"Round {each.round}",
            f"{each.total_steps:,}",
            f"{each.hard_negatives:,}",
            wording.rate(each.false_positives_per_image),
            _ends(each.false_positives_per_image_interval, wording.rate),
            f"{each.recall:.3f}",
            f"{each.threshold:.3f}",
            wording.precision(each.average_precision),
            wording.precision(each.average_precision_50),
        )
        for each in report.rounds
    )
    heads = (
        "Round",
        "Total steps",
        "Hard negatives",
        "False positives per image",
        "95 % interval",
        "Recall",
        "Threshold",
        "AP",
        "AP at IoU 0.50",
    )
    return Table("Training rounds (they differ in steps)", heads, rows, frozenset(range(1, len(heads))))


def _by_class(report: Report) -> list[Block]:
    """Return a table with a row for each class and arm.

    If there are many classes, it has only those with the most objects.
    """
    classes = sorted(report.comparisons[0].classes, key=lambda each: -each.objects)
    shown = [each.name for each in classes[:_MOST_CLASSES]]
    numbers = {(arm.name, each.name): each for arm in report.comparisons for each in arm.classes}
    rows: list[tuple[Cell, ...]] = []
    for name in shown:
        for arm in report.comparisons:
            if each := numbers.get((arm.name, name)):
                found = (f"{each.recall:.3f}", wording.precision(each.average_precision_50)) if each.objects else (_NONE, _NONE)
                rows.append((name, _arm(arm), f"{each.objects:,}", *found, f"{each.false_positives:,}"))
    heads = ("Class", "Model", "Held-out objects", "Recall", "AP at IoU 0.50", "False positives")
    blocks: list[Block] = [Table("By class, at each model's threshold", heads, tuple(rows), frozenset({2, 3, 4, 5}))]
    if len(classes) > len(shown):
        blocks.append(Paragraph(f"{len(classes) - len(shown):,} more classes are in report.json."))
    return blocks


def _arm(each: Comparison) -> str:
    return wording.capital(wording.ARMS[each.name])


def _share(each: Comparison, name: str) -> str:
    number = each.false_positives_on.get(name, 0)
    return f"{number:,} ({wording.share(number, each.false_positives)})"


def _ends(ends: Interval | None, formatted: Callable[[float], str]) -> str:
    return _NONE if ends is None else wording.interval(ends, formatted)
