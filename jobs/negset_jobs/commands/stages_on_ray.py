"""The stages that need Ray, each with a session of its own."""

from __future__ import annotations

from negset_jobs import pipeline
from negset_jobs.adapters import ray_session
from negset_jobs.adapters.progress import Progress


def data(opened: pipeline.Run, progress: Progress) -> None:
    pipeline.plan(opened)  # before Ray starts: a wrong class name should not cost seconds
    with ray_session.session(opened.dataset.spec.ray.workers):
        pipeline.data(opened, progress)


def mine(opened: pipeline.Run, number: int, progress: Progress) -> None:
    if pipeline.mined(opened, number) is None:
        with ray_session.session(opened.dataset.spec.ray.workers):
            pipeline.mine(opened, number, progress)
