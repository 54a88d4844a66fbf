"""The sections about the dataset. Pure."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import yaml

from negset_api import names, revision, validation
from negset_api.spec import NegativeDataset
from negset_api.values import Outcome, Positives
from negset_jobs.reporting import proofs, wording
from negset_jobs.reporting.blocks import Bar, Bars, Block, Cell, Code, Gallery, Heading, Note, Paragraph, Section, Table, link
from negset_jobs.reporting.cards import chosen_cards, object_cards
from negset_jobs.reporting.facts import Facts
from negset_jobs.selection.filters import REJECTIONS
from negset_jobs.selection.text import unplaced

_MOST_BARS: Final = 14


def request(facts: Facts) -> Section:
    spec = facts.dataset.spec
    strategy = "spread evenly over the other classes they show" if spec.selection.strategy == "Stratified" else "drawn at random"
    excluded = wording.listing(facts.plan.excluded_classes, "or")
    wanted = f"{wording.count(spec.selection.count, 'image')} that show no {excluded}, {strategy} with seed {spec.selection.seed}"
    text = [f"{wanted}, from {proofs.origin(spec.source)}."]
    training = spec.training
    if training is not None:
        mining = training.hard_negative_mining
        model = training.pipeline_config.preset or "custom configuration"
        text.append(
            f"A detector ({model}) is then trained in {wording.count(mining.rounds, 'round')} of {wording.count(training.steps, 'step')} with {wording.percent(training.negative_percent)} negatives in each "
            f"batch. After each round but the last, the negatives with the highest-scoring false positives are added to its training set."
        )
        if training.comparisons:
            compared = {
                names.NO_NEGATIVES: "without negatives",
                names.RANDOM_NEGATIVES: "with as many random negatives instead of the mined ones",
            }
            described = wording.listing([compared[name] for name in training.comparisons])
            text.append(f"For comparison, the same model is also trained {described}, with the same total steps, schedule and seed.")
    manifest = yaml.safe_dump(readable(facts.dataset), sort_keys=False, allow_unicode=True, width=100)
    return Section(
        "request",
        "What was requested",
        (*map(Paragraph, text), Code("The manifest, without default values", wording.without_secrets(manifest), folded=True)),
    )


def readable(dataset: NegativeDataset) -> dict[str, Any]:
    """Return the manifest as a user would write it: without the fields that have default values."""
    given = validation.manifest(dataset)["metadata"]
    metadata = {key: value for key, value in given.items() if value != names.DEFAULT_NAMESPACE}
    spec = msgspec.to_builtins(revision.chosen(dataset.spec, but=frozenset()))
    return {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": metadata, "spec": spec}


def chosen(facts: Facts) -> Section:
    plan, records = facts.plan, facts.records
    everything = plan.candidates + sum(plan.rejected.values())
    steps = (
        ("In the annotations" if facts.dataset.spec.source.coco else "In the source", everything),
        ("Candidates", plan.candidates),
        ("Planned", plan.planned),
        ("Stored", records.stored),
    )
    blocks: list[Block] = [
        Paragraph(
            f"{proofs.definition(plan)} Of {wording.count(everything, 'image')}, {plan.candidates:,} are negative and pass every "
            f"filter. Of these, {plan.planned:,} were planned and {records.stored:,} stored ({wording.size(records.bytes)})."
        ),
        Bars(
            "Images at each step of the selection",
            tuple(Bar(name, f"{number:,}", _percent(number, everything)) for name, number in steps),
        ),
    ]
    if plan.rejected:
        rows = tuple(
            (REJECTIONS.get(reason, reason), f"{number:,}", wording.share(number, everything)) for reason, number in _by_size(plan.rejected)
        )
        blocks.append(Table("Why the other images are not candidates: they", ("Reason", "Images", "Share"), rows, frozenset({1, 2})))
    if plan.unplaced:
        blocks.append(Paragraph(unplaced(plan)))
    blocks += proofs.table(facts)
    blocks += _contents(facts)
    return Section("chosen", "What was chosen, and why", tuple(blocks))


def _contents(facts: Facts) -> list[Block]:
    """Return the content of the planned images, by their remaining annotations."""
    plan = facts.plan
    blocks: list[Block] = []
    if plan.remaining_classes:
        blocks.append(
            Bars(
                "Remaining classes in the chosen images (an image may show several)",
                _bars(plan.remaining_classes, "classes"),
            )
        )
    else:
        blocks.append(Paragraph("No chosen image has an annotation of another class."))
    strata = collections.Counter(image.stratum for shard in plan.shards for image in shard.images if image.stratum)
    if len(strata) > 1:
        blocks.append(Bars("Strata that the images were drawn from (each image counts once)", _bars(strata, "strata")))
    return blocks


def licences(facts: Facts) -> Section:
    used = sorted((each for each in facts.plan.licenses if each.images), key=lambda each: (-each.images, each.id))
    if not used:
        return Section("licences", "Licences", (Paragraph("The source names no licences."),))
    rows = tuple((link(each.name, each.url), f"{each.images:,}", wording.share(each.images, facts.plan.planned)) for each in used)
    return Section(
        "licences",
        "Licences",
        (
            Paragraph(
                "The licences of the planned images, as the source states them. manifest.parquet holds the licence and the source of every image. Every image on this page has them below it."
            ),
            Table("Licences of the planned images", ("Licence", "Images", "Share"), rows, frozenset({1, 2})),
        ),
    )


def failed(facts: Facts) -> Section:
    records = facts.records
    failures = {name: number for name, number in records.outcomes.items() if name != Outcome.STORED and number}
    if not failures:
        return Section(
            "failed", "What failed", (Paragraph(f"Nothing failed: all {wording.count(records.planned, 'planned image')} were stored."),)
        )
    number = sum(failures.values())
    verb = "was" if number == 1 else "were"
    rows = tuple(
        (_sentence(name), f"{count:,}", wording.share(count, records.planned), wording.MEANINGS.get(name, ""))
        for name, count in [(Outcome.STORED, records.stored), *_by_size(failures)]
    )
    examples = tuple(
        (
            link(str(each.image.image_id), wording.without_secrets(each.image.url)),
            _sentence(each.result.outcome),
            wording.without_secrets(each.result.detail) or wording.MEANINGS[each.result.outcome],
        )
        for each in facts.failures
    )
    blocks: list[Block] = [
        Paragraph(
            f"{number:,} of {wording.count(records.planned, 'planned image')} ({wording.share(number, records.planned)}) {verb} not stored."
        ),
        Table("Outcomes of the planned images", ("Outcome", "Images", "Share", "Meaning"), rows, frozenset({1, 2})),
    ]
    if examples:
        blocks.append(Table("Examples", ("Image", "Outcome", "What happened"), examples))
    return Section("failed", "What failed", tuple(blocks))


def gallery(facts: Facts) -> Section:
    cards = chosen_cards(facts)
    if not cards:
        return Section("examples", "Chosen negatives", (Paragraph("There is no image to show."),))
    text = f"{len(cards)} of the {wording.count(facts.records.stored, 'stored negative')}, taken in turn from each stratum. The title of an image is its id, as in manifest.parquet."
    reason = facts.planned[cards[0].title].reason
    why = [Paragraph(f"manifest.parquet says why each image was chosen. For example, image {cards[0].title} {reason}.")] if reason else []
    return Section("examples", "Chosen negatives", (Paragraph(text), *why, Gallery(cards)))


def positives(facts: Facts) -> Section | None:
    found = facts.positives
    if found is None:
        return None
    rows: list[tuple[Cell, ...]] = [
        ("Trained on", f"{found.images.get(names.TRAIN, 0):,}", f"{found.boxes.get(names.TRAIN, 0):,}"),
        ("Held out to measure", f"{found.images.get(names.HELD_OUT, 0):,}", f"{found.boxes.get(names.HELD_OUT, 0):,}"),
    ]
    blocks: list[Block] = [
        Paragraph(f"Images that show objects to detect: {wording.listing(found.classes)}."),
        Table("The positives", ("Use", "Images", "Boxes"), tuple(rows), frozenset({1, 2})),
    ]
    blocks += _unused(found)
    cards = object_cards(facts.objects)
    if cards:
        blocks += [Heading("Examples of objects to detect"), Gallery(cards)]
    return Section("positives", "Positives", tuple(blocks))


def _unused(found: Positives) -> list[Block]:
    """Return what the source of the positives has and the dataset has not."""
    blocks: list[Block] = []
    if found.rejected_boxes:
        blocks.append(_counted("Rejected boxes", ("Reason", "Boxes"), found.rejected_boxes))
    if found.left_out:
        blocks.append(_counted("Left out", ("Kind", "Number"), found.left_out))
    if found.turned:
        stored = f"{wording.count(found.turned, 'image')} stored turned upright, as the EXIF says"
        blocks.append(Paragraph(f"{stored}: TensorFlow ignores EXIF, and the boxes were drawn on the turned image."))
    failures = {name: number for name, number in found.outcomes.items() if name != Outcome.STORED and number}
    if failures:
        text = wording.listing([f"{number:,} {name.replace('_', ' ')}" for name, number in _by_size(failures)])
        blocks.append(Note(f"Positives that could not be stored: {text}.{f' {found.failures} lists them.' if found.failures else ''}"))
    return blocks


def _counted(title: str, head: tuple[str, ...], counts: Mapping[str, int]) -> Table:
    rows = tuple((_sentence(kind), f"{number:,}") for kind, number in _by_size(counts) if number)
    return Table(title, head, rows, frozenset({1}))


def _bars(counts: Mapping[str, int], things: str) -> tuple[Bar, ...]:
    ranked = _by_size(counts)
    most = ranked[0][1]
    bars = [Bar(name, f"{number:,}", _percent(number, most)) for name, number in ranked[:_MOST_BARS]]
    rest = ranked[_MOST_BARS:]
    if rest:
        bars.append(Bar(f"{len(rest)} more {things}, at most {rest[0][1]:,} images each", "", 0.0))
    return tuple(bars)


def _by_size(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def _sentence(code: str) -> str:
    text = code.replace("_", " ")
    return text[:1].upper() + text[1:]
