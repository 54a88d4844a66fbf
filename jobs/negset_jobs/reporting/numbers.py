"""The report's numbers, from the facts. Pure."""

from __future__ import annotations

from negset_api import names
from negset_api.values import Comparison, Mining, Report, ReportMining, ReportRound, digest
from negset_jobs.reporting.evaluation import Evaluation, Judged
from negset_jobs.reporting.evidence import DUPLICATE, HIT, WRONG_CLASS, WRONG_PLACE
from negset_jobs.reporting.facts import Facts


def summarise(facts: Facts, evaluation: Evaluation, negset_version: str) -> Report:
    """Return the content of `report.json`, the contract with readers by machine."""
    review = facts.mined[-1].review if facts.mined else ()
    first = facts.evidence[0] if facts.evidence else None
    stages = [*(each.input_digest for each in (*facts.trained, *facts.others)), *(each.input_digest for each in facts.mined)]
    return Report(
        input_digest=digest(facts.plan.input_digest, facts.records.input_digest, stages),
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
        rounds=tuple(_round(facts, each) for each in evaluation.rounds),
        comparisons=tuple(map(_comparison, evaluation.arms)),
        review=tuple(image.image_id for image in review),
        page=names.REPORT_PAGE,
        minings=tuple(map(_mining, facts.mined)),
        held_out_negatives=len(first.negative_ids) if first else 0,
        held_out_positives=len(first.truths) if first else 0,
        held_out_objects=int(first.objects.sum()) if first else 0,
        held_out_copies=facts.copies.counts.total,
        copies=facts.copies.counts,
        held_out=names.REPORT_HELD_OUT if first else "",
        positive_outcomes=facts.positives.outcomes if facts.positives else {},
        rejected_boxes=facts.positives.rejected_boxes if facts.positives else {},
        left_out=facts.positives.left_out if facts.positives else {},
        proofs=facts.plan.proofs,
        like_positives=facts.copies.like_positives,
    )


def _round(facts: Facts, judged: Judged) -> ReportRound:
    trained = judged.model.round
    measured = trained.measurement
    return ReportRound(
        round=trained.number,
        false_positives_per_image=judged.model.rate,
        recall=measured.recall,
        average_precision=measured.average_precision,
        average_precision_50=measured.average_precision_50,
        threshold=measured.threshold,
        steps=trained.steps,
        total_steps=trained.total_steps,
        # The mining with a round's model feeds the round after it.
        hard_negatives=sum(mining.hard_images for mining in facts.mined if mining.number == trained.number - 1),
        wanted_recall=measured.wanted_recall,
        held_out_negatives=len(judged.model.negative_ids),
        held_out_objects=measured.objects,
        false_positives_per_image_interval=judged.interval,
        difference_interval=judged.difference,
        change_interval=judged.change,
        average_precision_difference_interval=judged.precision_difference,
    )


def _comparison(judged: Judged) -> Comparison:
    trained, counts = judged.model.round, judged.model.counts()
    measured = trained.measurement
    return Comparison(
        name=trained.arm,
        steps=trained.total_steps,
        negatives=trained.negatives,
        false_positives_per_image=judged.model.rate,
        false_positives_per_image_interval=judged.interval,
        recall=measured.recall,
        average_precision=measured.average_precision,
        average_precision_50=measured.average_precision_50,
        threshold=measured.threshold,
        wanted_recall=measured.wanted_recall,
        difference_interval=judged.difference,
        change_interval=judged.change,
        average_precision_difference_interval=judged.precision_difference,
        hits=counts[HIT],
        misses=int(judged.model.objects.sum()) - counts[HIT],
        duplicates=counts[DUPLICATE],
        wrong_class=counts[WRONG_CLASS],
        wrong_place=counts[WRONG_PLACE],
        false_positives=int(judged.model.firing.sum()),
        false_positives_on=judged.lies_on,
        classes=judged.classes,
        detections=names.report_detections(trained.arm),
    )


def _mining(mining: Mining) -> ReportMining:
    return ReportMining(
        after_round=mining.number,
        pool=mining.pool,
        trained_on=mining.trained_on,
        floor=mining.floor,
        fooled=mining.fooled,
        added=mining.added,
        hard_negatives=mining.hard_images,
        review=len(mining.review),
    )
