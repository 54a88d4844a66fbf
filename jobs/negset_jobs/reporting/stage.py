"""Every value before it → the report."""

from __future__ import annotations

import importlib.metadata

from negset_api import names
from negset_api.spec import NegativeDataset
from negset_api.values import Report, decode, encode
from negset_jobs.progress import Progress
from negset_jobs.reporting.gather import gather
from negset_jobs.reporting.numbers import summarise
from negset_jobs.reporting.page import compose, render
from negset_jobs.store import Store


def report_stage(store: Store, dataset: NegativeDataset, progress: Progress) -> Report:
    """Writes report/index.html and, last, report/report.json. Needs the plan and the records; what else there is of labels, positives, rounds and minings is reported too."""
    progress.start("Writing the report", 2, "files")
    facts = gather(store, dataset)
    report = summarise(facts, importlib.metadata.version("negset"))
    store.write(names.REPORT_PAGE, render(compose(facts, report)).encode())
    progress.advance()
    first = store.create(names.REPORT, encode(report))
    progress.advance()
    progress.finish()
    return report if first else decode(store.read(names.REPORT), Report)
