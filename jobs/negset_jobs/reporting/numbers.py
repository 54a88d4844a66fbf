"""Facts → the report's numbers. Pure."""

from __future__ import annotations

from negset_api import names
from negset_api.values import Report, ReportRound, Round, digest
from negset_jobs.reporting.facts import Facts


def summarise(facts: Facts, negset_version: str) -> Report:
    """`report.json`: the contract with whoever reads the numbers by machine."""
    review = facts.mined[-1].review if facts.mined else ()
    return Report(
        inputs=digest(
            facts.plan.inputs, facts.records.inputs, [each.inputs for each in facts.trained], [each.inputs for each in facts.mined]
        ),
        name=facts.dataset.metadata.name,
        namespace=facts.dataset.metadata.namespace,
        revision=facts.revision,
        negset_version=negset_version,
        planned=facts.records.planned,
        stored=facts.records.stored,
        outcomes=facts.records.outcomes,
        bytes=facts.records.bytes,
        excluded_classes=facts.plan.excluded_classes,
        remaining_classes=facts.plan.remaining_classes,
        licenses=facts.plan.licenses,
        rounds=tuple(_line(facts, each) for each in facts.trained),
        comparisons=(),
        review=tuple(image.image_id for image in review),
        page=names.REPORT_PAGE,
    )


def _line(facts: Facts, trained: Round) -> ReportRound:
    measured = trained.measurement
    return ReportRound(
        round=trained.number,
        false_positives_per_image=measured.false_positives_per_image,
        recall=measured.recall,
        average_precision=measured.average_precision,
        average_precision_50=measured.average_precision_50,
        threshold=measured.threshold,
        steps=trained.steps,
        # The mining with a round's model feeds the round after it.
        hard_negatives=sum(mining.hard_images for mining in facts.mined if mining.number == trained.number - 1),
        wanted_recall=measured.wanted_recall,
        held_out_negatives=measured.negatives,
        held_out_objects=measured.objects,
    )
