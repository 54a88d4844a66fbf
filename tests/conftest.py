"""What every test shares."""

from __future__ import annotations

import os
import pathlib
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from negset_jobs.process_end import end_without_destructors

# No test measures time. The profile that Hypothesis takes where CI is set does not, either.
hypothesis.settings.register_profile("default", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])

ROOT = pathlib.Path(__file__).parent.parent


def pytest_sessionstart(session: pytest.Session) -> None:
    """End the test process with its own exit code, as `negset` does.

    Tests start Ray in this process, and Ray leaves threads behind.
    """
    end_without_destructors(lambda: int(session.exitstatus))


@pytest.fixture(scope="session")
def coco_mini() -> pathlib.Path:
    """A folder with 80 real images of COCO train2017 and their annotations.

    They are in `train2017/` and `annotations/instances_train2017.json`. Their licences do not allow
    us to ship them: NEGSET_TEST_DATA names the folder that contains `coco-mini`.
    """
    folder = pathlib.Path(os.environ.get("NEGSET_TEST_DATA", ROOT.parent / "shared" / "data")) / "coco-mini"
    if not folder.is_dir():
        pytest.skip(f"real COCO images are missing: {folder} does not exist; set NEGSET_TEST_DATA to the folder that holds coco-mini")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_reaches_children() -> Iterator[None]:
    """Reset SIGINT to its default, so that programs under test can be interrupted.

    A shell without job control starts background processes with SIGINT ignored, and programs under
    test inherit that. A signal that has a handler here has its default there.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """Restore the signal handlers after a test that calls a program's `main`.

    `main` installs handlers as if it owned the process.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """In CI a skip is a failure: everything that a test needs must be present there."""
    report = yield
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = (
            f"skipped, which CI does not accept: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}"
        )
    return report
