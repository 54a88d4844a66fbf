"""Makes the page from the facts, and HTML from the page. Pure."""

from __future__ import annotations

from typing import cast

import jinja2

from negset_api import names
from negset_api.values import Report
from negset_jobs.reporting import comparison_sections, copied, data_sections, model_sections, wording
from negset_jobs.reporting.blocks import Block, Code, Mood, Page, Paragraph, Section, Table, Tile
from negset_jobs.reporting.evaluation import Evaluation
from negset_jobs.reporting.facts import Facts
from negset_jobs.reporting.finding import compared, finding


def compose(facts: Facts, evaluation: Evaluation, report: Report) -> Page:
    """Return the page: first the finding, then how it was made."""
    excluded = wording.listing(facts.plan.excluded_classes, "or")
    found = finding(report)
    stored = f"{wording.count(report.stored, 'image')} without {excluded}"
    failed = report.planned - report.stored
    return Page(
        title=f"{report.name}: images without {excluded}",
        subtitle=f"{report.namespace}/{report.name}, revision {report.revision}",
        headline=found.headline
        if found
        else f"{stored} are stored; {'none' if not failed else f'{failed:,}'} of {report.planned:,} failed",
        mood=cast("Mood", found.mood) if found else "neutral",
        details=found.details if found else (),
        tiles=_tiles(report),
        sections=_sections(facts, evaluation, report),
        footer=f"Written by negset {report.negset_version}. The numbers are in report.json next to this page.",
    )


def render(page: Page) -> str:
    """Return one HTML file that loads nothing else. Every text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("negset_jobs.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(page=page)


def _tiles(report: Report) -> tuple[Tile, ...]:
    data = (
        Tile(f"{report.stored:,}", f"negatives stored of {report.planned:,} planned"),
        Tile(wording.size(report.bytes), "total size of the images"),
    )
    if not report.comparisons:
        used = sum(each.images > 0 for each in report.licenses)
        return (
            *data,
            Tile(f"{len(report.remaining_classes):,}", "remaining classes"),
            Tile(str(used), "licence" if used == 1 else "licences"),
        )
    return (*_worth(report), data[0])


def _worth(report: Report) -> tuple[Tile, ...]:
    """Return the values that the headline compares, before and after.

    Only one value if there is no comparison, or none at the same recall.
    """
    before, after = compared(report)
    comparable = before is not None and before.recall_reached and after.recall_reached
    measured = (before, after) if before is not None else (after,)
    rates = [wording.rate(each.false_positives_per_image) for each in (measured if comparable else (after,))]
    precisions = [wording.precision(each.average_precision) for each in measured]
    return (
        Tile(" → ".join(rates), f"false positives per held-out negative{'' if comparable else f' at recall {after.recall:.2f}'}"),
        Tile(" → ".join(precisions), "average precision (COCO) on held-out positives"),
        Tile(
            f"{after.recall:.2f}",
            f"recall on {wording.count(report.held_out_objects, 'held-out object')}, {after.wanted_recall:.2f} wanted",
        ),
    )


def _sections(facts: Facts, evaluation: Evaluation, report: Report) -> tuple[Section, ...]:
    trained = bool(evaluation.arms)
    sections = (
        data_sections.request(facts),
        comparison_sections.effect(facts, evaluation, report) if trained else None,
        comparison_sections.lies_on(report) if trained else None,
        model_sections.worst(facts) if trained else None,
        comparison_sections.every_threshold(evaluation, report) if trained else None,
        model_sections.hard(facts),
        model_sections.review(facts),
        model_sections.training(facts) if trained else None,
        data_sections.chosen(facts),
        data_sections.gallery(facts),
        data_sections.positives(facts),
        copied.section(facts.copies, facts.copied),
        copied.like_positives(facts.copies, facts.copied),
        data_sections.licences(facts),
        data_sections.failed(facts),
        reproduce(facts, report),
    )
    return tuple(section for section in sections if section is not None)


def reproduce(facts: Facts, report: Report) -> Section:
    spec = facts.dataset.spec
    seeds = [
        f"seed {spec.selection.seed} selects the images",
        *([f"seed {spec.training.seed} starts the training"] if spec.training else []),
    ]
    blocks: list[Block] = [
        Paragraph(
            f"The manifest above gives revision {facts.revision} and the same images wherever it runs: {wording.listing(seeds)}. On other hardware, training gives similar numbers, not identical ones."
        ),
        Code("On a laptop, or on a cluster", "negset run manifest.yaml\nkubectl apply -f manifest.yaml"),
        Paragraph(f"This revision is stored at {wording.without_secrets(facts.location)}."),
        Table("Files of this revision", ("Content", "Path"), _files(facts, report)),
    ]
    if facts.versions:
        blocks.append(Table("Software versions where this page was written", ("Component", "Version"), tuple(facts.versions.items())))
    return Section("reproduce", "How to reproduce it", tuple(blocks))


def _files(facts: Facts, report: Report) -> tuple[tuple[str, str], ...]:
    labels = facts.labels.folders if facts.labels is not None else {}
    return (
        ("One row per planned image", names.MANIFEST),
        ("Negatives, as TFRecords", f"{names.RECORDS_FOLDER}/"),
        *((f"Labels, {kind}", f"{folder}/") for kind, folder in sorted(labels.items())),
        *([("Positives, as TFRecords", f"{names.POSITIVES_FOLDER}/"), ("Label map", names.LABEL_MAP)] if facts.positives else []),
        *(
            [("Exported model of the last round", f"{facts.trained[-1].saved_model}/")]
            if facts.trained and facts.trained[-1].saved_model
            else []
        ),
        *((f"Scores after round {mining.number}", mining.scores) for mining in facts.mined),
        *([("Copies: held-out images, and negatives that look like positives", facts.copies.table)] if facts.copies.table else []),
        *([("Held-out images, in COCO's format", report.held_out)] if report.held_out else []),
        *((f"Detections on held-out images, {wording.ARMS[each.name]}", each.detections) for each in report.comparisons),
        ("The numbers of this page", names.REPORT),
    )
