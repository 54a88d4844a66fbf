"""The report as a stage: from every earlier value to the report."""

from __future__ import annotations

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import Report
from negset_api.version import version
from negset_jobs.adapters.progress import Progress
from negset_jobs.adapters.store import Store
from negset_jobs.formats.stored import commit
from negset_jobs.reporting import coco_results
from negset_jobs.reporting.evaluation import Evaluation, evaluate
from negset_jobs.reporting.facts import Facts
from negset_jobs.reporting.gather import gather
from negset_jobs.reporting.numbers import summarise
from negset_jobs.reporting.page import compose, render


def report_stage(store: Store, dataset: NegativeDataset, progress: Progress) -> Report:
    """Write report/index.html, every detection in COCO's format and, last, report/report.json.

    It needs the plan and the records. Labels, positives, rounds and minings are reported if they
    exist.
    """
    progress.start("Writing the report", 3, "parts")
    facts = gather(store, dataset)
    evaluation = evaluate(facts)
    report = summarise(facts, evaluation, version())
    store.write(names.REPORT_PAGE, render(compose(facts, evaluation, report)).encode())
    progress.advance()
    _write_detections(store, facts, evaluation)
    progress.advance()
    committed = commit(store, names.REPORT, report)
    progress.advance()
    progress.finish()
    return committed


def _write_detections(store: Store, facts: Facts, evaluation: Evaluation) -> None:
    """Write the held-out images, and the detections of each arm's last model on them."""
    for index, judged in enumerate(evaluation.arms):
        images = coco_results.images(judged.model, facts.held_out)
        ids = coco_results.numbered(images)
        if index == 0:
            store.write(names.REPORT_HELD_OUT, coco_results.instances(judged.model, images, ids))
        store.write(names.report_detections(judged.model.round.arm), coco_results.results(judged.model, images, ids))
