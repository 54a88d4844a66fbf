"""The sections about training and mining. Pure."""

from __future__ import annotations

import json
from typing import Final

from negset_api import names
from negset_api.values import Mining, Round
from negset_jobs.reporting import charts, wording
from negset_jobs.reporting.blocks import Block, Cell, Charts, Code, Gallery, Heading, Note, Paragraph, Section, Table
from negset_jobs.reporting.cards import scored_cards
from negset_jobs.reporting.facts import HARD, REVIEW, WORST, Facts, worst_rounds

_PARTS: Final = (
    ("classification", "how well objects are classified, including the negatives"),
    ("localization", "how well boxes fit the objects"),
)
_EVERYTHING: Final = 100
_MOST_IDS: Final = 12


def training(facts: Facts) -> Section:
    rounds = (*facts.trained, *facts.others)
    heads = (
        "Model",
        "Steps",
        "Total steps",
        "Steps per second",
        "Time",
        "Distinct negatives",
        "Negatives per batch",
        "Hard negative mining in the loss",
    )
    rows = tuple(_training_row(each) for each in rounds)
    blocks: list[Block] = [Table("How each model was trained", heads, rows, frozenset({1, 2, 3, 4, 5, 6}))]
    curves = charts.lines(rounds)
    if curves:
        drawn = [(f"{part.capitalize()} loss: {described}", charts.logged(curves, part)) for part, described in _PARTS]
        drawn.append(("Learning rate: one schedule over all rounds, the same for every arm", charts.logged(curves, charts.LEARNING_RATE)))
        blocks.append(Charts(tuple(drawn)))
        blocks += _rate_notes(rounds)
        blocks.append(Paragraph("The losses of different models cannot be compared: each trains on other negatives."))
    return Section("training", "Training", tuple(blocks))


def _training_row(each: Round) -> tuple[Cell, ...]:
    known = each.steps_per_second > 0
    return (
        _model(each),
        f"{each.steps:,}",
        f"{each.total_steps:,}",
        f"{each.steps_per_second:.1f}" if known else "unknown",
        wording.duration(each.steps / each.steps_per_second) if known else "unknown",
        f"{each.negatives:,}",
        wording.percent(each.measured_negative_percent, 1),
        each.miner or "none",
    )


def _rate_notes(rounds: tuple[Round, ...]) -> list[Block]:
    """Return a warning about training that logged a learning rate of 0 at every step."""
    still = [_model(each) for each in rounds if each.losses and not any(point.learning_rate for point in each.losses)]
    if not still:
        return []
    return [Note(f"The learning rate was 0 at every logged step of {wording.listing(still)}, so nothing was learned.", "bad")]


def worst(facts: Facts) -> Section:
    """Return the galleries of false positives on held-out negatives."""
    blocks: list[Block] = [
        Paragraph(
            "The held-out negatives with the highest scores. Boxes are the detections at or above the model's threshold. The number in a box is its score."
        )
    ]
    for each in worst_rounds(facts.trained, facts.others):
        firing = [image for image in each.worst if image.score >= each.measurement.threshold]
        rate = next((model.rate for model in facts.evidence if model.round == each), each.measurement.false_positives_per_image)
        cards = scored_cards(facts, firing[:WORST], each.measurement.threshold)
        blocks.append(Heading(f"{_model(each)}: {wording.rate(rate)} per image"))
        blocks.append(Gallery(cards) if cards else Paragraph("No held-out negative reaches the threshold."))
    return Section("worst", "The worst false positives", tuple(blocks))


def hard(facts: Facts) -> Section | None:
    """Return the hard negatives that mining found."""
    if not facts.mined:
        return None
    rows = tuple(
        (
            f"After round {each.number}",
            f"{each.pool:,}",
            f"{each.trained_on:,}",
            f"{each.fooled:,}",
            f"{each.floor:.2f}",
            f"{each.added:,}",
            f"{each.hard_images:,}",
            f"{len(each.review):,}",
        )
        for each in facts.mined
    )
    heads = (
        "Mining",
        "Scored in the pool",
        "Training negatives scored",
        "With false positives",
        "Minimum score of a hard negative",
        "Added",
        "Hard negatives in total",
        "For review",
    )
    last = facts.mined[-1]
    blocks: list[Block] = [
        Paragraph(
            "Round 1 trains on a part of the training negatives. The others are the pool; the model has not seen them. After each round but the last, the model of the round scores the pool, and the "
            "negatives with the highest scores are added to the training set of the next rounds. The negatives that it was trained on are scored too, but only to find images for review."
        ),
        *([Note(no_pool(facts))] if not any(each.pool for each in facts.mined) else []),
        Table("Results of hard negative mining", heads, rows, frozenset(range(1, len(heads)))),
    ]
    cards = scored_cards(facts, last.hardest[:HARD], last.threshold)
    if cards:
        blocks += [Heading(f"Hardest negatives after round {last.number}"), Gallery(cards)]
    elif not last.added:
        blocks.append(Paragraph(nothing_added(last)))
    return Section("hard", "Hard negatives", tuple(blocks))


def no_pool(facts: Facts) -> str:
    """Return why there was no pool, and what that means."""
    training = facts.dataset.spec.training
    everything = training is not None and training.hard_negative_mining.first_round_percent == _EVERYTHING
    reason = (
        "firstRoundPercent is 100, so round 1 trains on every training negative"
        if everything
        else "the selection was too small to divide; raise selection.count"
    )
    return f"There was no pool: {reason}. The hard negatives are negatives that the model was trained on, so it learns little from them."


def nothing_added(mining: Mining) -> str:
    negative = "negative in the pool" if mining.pool else "training negative"
    return f"No {negative} scores {mining.floor:.2f} or more with the model of round {mining.number}, so none was added."


def review(facts: Facts) -> Section | None:
    """Return the images for a person to review."""
    if not facts.mined:
        return None
    last = facts.mined[-1]
    training = facts.dataset.spec.training
    bound = training.hard_negative_mining.review_above_percent if training else 0
    confirmed = _confirmed(len(training.hard_negative_mining.confirmed_negatives) if training else 0)
    if not last.review:
        blocks: list[Block] = [Paragraph(f"No training negative still scores {wording.percent(bound)} or more.")]
        if last.review_declined:
            blocks = [
                Note(
                    f"The model of round {last.number} finds an object with a high score in {last.review_declined:,} of the {last.trained_on:,} negatives it was trained on. So many wrong labels are unlikely: "
                    "the model is undertrained, so no image was put under review. Train with more steps."
                )
            ]
        return Section("review", "For review", (*blocks, *confirmed))
    one = len(last.review) == 1
    text = (
        f"{wording.count(len(last.review), 'negative')} may show an object that is not annotated. The model was trained on {'it' if one else 'them'} as {'a negative' if one else 'negatives'}, and {'it' if one else 'each'} still scores "
        f"{wording.percent(bound)} or more. {'It is' if one else 'They are'} excluded from the next round until a person reviews {'it' if one else 'them'}. If an image shows an object, correct the annotations{_or_word(facts)}. "
        "If it shows none, add its id to the manifest as below; the image is then used for training again. All ids are in report.json under “review”."
    )
    cards = scored_cards(facts, last.review[:REVIEW], last.threshold)
    more = [Paragraph(f"{len(last.review) - len(cards):,} more are in report.json.")] if cards and len(last.review) > len(cards) else []
    gallery = [Gallery(cards)] if cards else []
    return Section("review", "For review", (Paragraph(text), _verdict(last), *confirmed, *gallery, *more))


def _or_word(facts: Facts) -> str:
    return ", or take the image out of the source" if names.USER_WORD in facts.plan.proofs else ""


def _confirmed(number: int) -> list[Block]:
    """Return the effect of the images that a person confirmed."""
    if not number:
        return []
    used = "It is used for training and is" if number == 1 else "They are used for training and are"
    return [
        Paragraph(
            f"The manifest confirms {wording.count(number, 'image')} as {'a true negative' if number == 1 else 'true negatives'}. {used} not listed here."
        )
    ]


def _verdict(mining: Mining) -> Code:
    """Return the lines of the manifest that confirm true negatives."""
    ids = [json.dumps(image.image_id) for image in mining.review[:_MOST_IDS]]
    shortened = "  # and so on" if len(mining.review) > len(ids) else ""
    lines = ("spec:", "  training:", "    hardNegativeMining:", f"      confirmedNegatives: [{', '.join(ids)}]{shortened}")
    return Code("Add the ids of true negatives to the manifest", "\n".join(lines))


def _model(each: Round) -> str:
    several = each.arm == names.MINED or each.steps != each.total_steps
    return wording.capital(wording.model_name(each.arm, each.number if several else 0))
