"""The stages that need Ray, each in its own session."""

from __future__ import annotations

from negset_jobs import pipeline
from negset_jobs.adapters import ray_session
from negset_jobs.adapters.progress import Progress


def data(revision: pipeline.Revision, progress: Progress) -> None:
    pipeline.plan(revision)  # before Ray starts, so that a wrong class name fails at once
    with ray_session.session(revision.dataset.spec.ray.workers):
        pipeline.data(revision, progress)


def mine(revision: pipeline.Revision, number: int, progress: Progress) -> None:
    if pipeline.mined(revision, number) is None:
        with ray_session.session(revision.dataset.spec.ray.workers):
            pipeline.mine(revision, number, progress)
