"""The two kinds of workers, for tests that run on both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from negset_jobs.adapters import ray_session, work

KINDS = ("processes", "Ray")


@contextlib.contextmanager
def working(kind: str) -> Iterator[None]:
    """Keep two workers of this kind for the block. Small work uses Ray only if it runs already."""
    with work.session(2):
        if kind == "Ray":
            with ray_session.session(2):
                yield
        else:
            yield
            assert not ray_session.is_open()
