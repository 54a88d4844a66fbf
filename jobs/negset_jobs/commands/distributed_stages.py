"""The stages whose work is distributed over workers, each in its own session."""

from __future__ import annotations

from negset_jobs import pipeline
from negset_jobs.adapters import work
from negset_jobs.adapters.progress import Progress


def data(revision: pipeline.Revision, progress: Progress) -> None:
    pipeline.plan(revision)  # before any worker starts, so that a wrong class name fails at once
    with work.session(revision.dataset.spec.ray.workers):
        pipeline.data(revision, progress)


def mine(revision: pipeline.Revision, number: int, progress: Progress) -> None:
    if pipeline.mined(revision, number) is None:
        with work.session(revision.dataset.spec.ray.workers):
            pipeline.mine(revision, number, progress)
