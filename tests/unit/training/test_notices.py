"""TensorFlow's notices at its import are dropped, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# Lines of TensorFlow 2.21.
NOTICES = r"""WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795690809.137650   17842 port.cc:153] oneDNN custom operations are on. You may see slightly different numerical results
To enable the following instructions: AVX2 AVX512F, in other operations, rebuild TensorFlow with the appropriate compiler flags.
"""
ERROR = "E0000 00:00:1795690809.137650   17842 port.cc:1] an error\n"
FATAL = "F0000 00:00:1795690809.137650   17842 cpu_feature_guard.cc:227] this processor lacks AVX\n"

CASES = {
    "notices are dropped": (f"os.write(2, {NOTICES.encode()!r})", "2", ""),
    "an error passes": (f"os.write(2, {(NOTICES + ERROR).encode()!r})", "2", ERROR),
    "a warning of Python passes": ("print('warn', file=sys.stderr)", "2", "warn\n"),
    "who asks for messages gets them": (f"os.write(2, {NOTICES.encode()!r})", "0", NOTICES),
}
BEFORE_AND_AFTER = "print('before', file=sys.stderr)\nwith notices.dropped():\n    {}\nprint('after', file=sys.stderr)"


def run(program: str, level: str = "2", **options) -> subprocess.CompletedProcess[str]:
    program = f"import os, sys\nfrom negset_jobs.training import notices\n{program}"
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": level}
    return subprocess.run([sys.executable, "-c", program], text=True, stderr=subprocess.PIPE, env=environment, check=False, **options)


@pytest.mark.parametrize(("statement", "level", "expected"), CASES.values(), ids=CASES)
def test_while_the_block_runs(statement, level, expected):
    done = run(BEFORE_AND_AFTER.format(statement), level)
    assert (done.returncode, done.stderr) == (0, f"before\n{expected}after\n")


def test_the_last_words_of_a_process_that_is_aborted_pass():
    """TensorFlow aborts the process if the processor is too old; the line before says why."""
    done = run(BEFORE_AND_AFTER.format(f"os.write(2, {FATAL.encode()!r}); os.abort()"))
    assert (done.returncode, done.stderr) == (-signal.SIGABRT, f"before\n{FATAL}")


def test_without_standard_error_the_block_runs():
    assert run("os.close(2)\nwith notices.dropped():\n    os._exit(7)").returncode == 7
