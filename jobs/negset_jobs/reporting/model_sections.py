"""The sections about the detector. Pure."""

from __future__ import annotations

from typing import Final

from negset_api.values import Report, Round
from negset_jobs.reporting import charts, wording
from negset_jobs.reporting.blocks import Block, Cell, Charts, Gallery, Heading, Note, Paragraph, Section, Table
from negset_jobs.reporting.cards import scored_cards
from negset_jobs.reporting.facts import HARD, REVIEW, WORST, Facts, worst_rounds

_PARTS: Final = (("classification", "how well boxes are named, the negatives' part included"), ("localization", "how well boxes fit"))


def effect(facts: Facts, report: Report) -> Section:
    """False positives and average precision by round."""
    measured = facts.trained[-1].measurement
    how = (
        f"Every round is measured on {wording.count(measured.negatives, 'negative')} and {wording.count(measured.positives, 'positive')} ({wording.count(measured.objects, 'object')}) that no "
        f"round was trained on. The threshold is the highest score at which {wording.percent(100 * measured.wanted_recall)} of the objects are found (IoU at least 0.5, right class). Negatives show no object, so "
        "every detection on them at or above that threshold is a false positive."
    )
    blocks: list[Block] = [Paragraph(how)]
    if len(report.rounds) > 1:
        blocks.append(
            Charts(
                (
                    ("False positives per held-out negative", charts.false_positives(report.rounds)),
                    ("Average precision on held-out positives", charts.average_precision(report.rounds)),
                )
            )
        )
    rows = tuple(
        (
            _round(each.round),
            wording.rate(each.false_positives_per_image),
            f"{each.recall:.3f}",
            f"{each.threshold:.3f}",
            wording.precision(each.average_precision),
            wording.precision(each.average_precision_50),
        )
        for each in report.rounds
    )
    heads = ("Round", "False positives per picture", "Recall", "Threshold", "AP", "AP at IoU 0.50")
    blocks.append(Table("What each round is worth", heads, rows, frozenset({1, 2, 3, 4, 5})))
    blocks.append(
        Paragraph(
            "Annotators overlook objects. A detection on a held-out negative may be right after all and is still counted as false; the pictures below let you judge."
        )
    )
    return Section("effect", "False positives, before and after", tuple(blocks))


def training(facts: Facts) -> Section:
    rows = tuple(_training_row(each) for each in facts.trained)
    heads = (
        "Round",
        "Steps",
        "Steps per second",
        "Time",
        "Negatives per batch",
        "Hard negatives added",
        "Hard negative mining in the loss",
    )
    hard = {mining.number + 1: mining.hard_images for mining in facts.mined}
    rows = tuple((*row[:5], f"{hard.get(each.number, 0):,}", row[5]) for row, each in zip(rows, facts.trained, strict=True))
    blocks: list[Block] = [Table("How each round was trained", heads, rows, frozenset({1, 2, 3, 4, 5}))]
    curves = [(each.number, each.losses) for each in facts.trained if each.losses]
    if curves:
        blocks.append(Charts(tuple((f"{part.capitalize()} loss: {told}", charts.losses(curves, part)) for part, told in _PARTS)))
        blocks.append(
            Paragraph("The baseline's loss is not comparable with the others': it has no negatives to be wrong about.")
            if facts.trained[0].number == 0
            else Paragraph("Each round's loss is its own: the negatives that it is fed differ.")
        )
    return Section("training", "Training", tuple(blocks))


def _training_row(each: Round) -> tuple[Cell, ...]:
    known = each.steps_per_second > 0
    return (
        _round(each.number),
        f"{each.steps:,}",
        f"{each.steps_per_second:.1f}" if known else "unknown",
        wording.duration(each.steps / each.steps_per_second) if known else "unknown",
        wording.percent(each.measured_negative_percent, 1),
        each.miner or "none",
    )


def worst(facts: Facts) -> Section:
    """The galleries of false positives on held-out negatives."""
    blocks: list[Block] = [
        Paragraph(
            "The held-out negatives with the highest scores, each with what was detected at or above the round's threshold. The number in a box is its score."
        )
    ]
    for each in worst_rounds(facts.trained):
        firing = [image for image in each.worst if image.score >= each.measurement.threshold]
        cards = scored_cards(facts, firing[:WORST], each.measurement.threshold)
        blocks.append(Heading(f"{_round(each.number)}: {wording.rate(each.measurement.false_positives_per_image)} per picture"))
        blocks.append(Gallery(cards) if cards else Paragraph("No held-out negative reaches the threshold."))
    return Section("worst", "The worst false positives", tuple(blocks))


def hard(facts: Facts) -> Section | None:
    """What mining found among the negatives trained on."""
    if not facts.mined:
        return None
    rows = tuple(
        (f"After round {each.number}", f"{each.scored:,}", f"{each.fooled:,}", f"{each.hard_images:,}", f"{len(each.review):,}")
        for each in facts.mined
    )
    heads = ("Mining", "Negatives scored", "Fool the model", "Kept as hard", "For review")
    last = facts.mined[-1]
    blocks: list[Block] = [
        Paragraph(
            "After each round but the last, every negative it was trained on is scored. Those with a detection at or above the round's threshold fool the model; the highest scores are "
            "the next round's extra input."
        ),
        Table("What the minings found", heads, rows, frozenset({1, 2, 3, 4})),
    ]
    cards = scored_cards(facts, last.hardest[:HARD], last.threshold)
    if cards:
        blocks += [Heading(f"The hardest after round {last.number}"), Gallery(cards)]
    elif not last.hard_images:
        what = "Nothing else" if last.review else "Nothing"
        blocks.append(Paragraph(f"{what} that it was trained on fools the model of round {last.number} any more."))
    return Section("hard", "Hard negatives", tuple(blocks))


def review(facts: Facts) -> Section | None:
    """The pictures for a person to look at."""
    if not facts.mined:
        return None
    last = facts.mined[-1]
    bound = facts.dataset.spec.training.hard_negative_mining.review_above_percent if facts.dataset.spec.training else 0
    if not last.review:
        blocks: list[Block] = [Paragraph(f"No negative that was trained on still scores {wording.percent(bound)} or more.")]
        if last.review_declined:
            blocks = [
                Note(
                    f"The model of round {last.number} is sure of an object in {last.review_declined:,} of the {last.scored:,} negatives it was trained on. So many are hardly mislabelled: it is "
                    "undertrained, so its scores were not held against the labels. More steps help."
                )
            ]
        return Section("review", "To be looked at", tuple(blocks))
    one = len(last.review) == 1
    text = (
        f"{wording.count(len(last.review), 'negative')} may show an object that the annotations do not have: the model was trained on {'it' if one else 'each'} as a negative and still scores "
        f"{wording.percent(bound)} or more. {'It is' if one else 'They are'} left out of the next round until a person has looked. Where there is an object, correct the annotations; the ids stand "
        "in report.json under “review”."
    )
    cards = scored_cards(facts, last.review[:REVIEW], last.threshold)
    more = [Paragraph(f"{len(last.review) - len(cards):,} more are in report.json.")] if len(last.review) > len(cards) else []
    return Section("review", "To be looked at", (Paragraph(text), Gallery(cards), *more) if cards else (Paragraph(text), *more))


def _round(number: int) -> str:
    return "Baseline" if number == 0 else f"Round {number}"
