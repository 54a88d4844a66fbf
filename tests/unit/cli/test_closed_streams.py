"""A process that was started without standard streams does its work all the same."""

import subprocess
import sys

import pytest

from negset_jobs.commands.manifest_file import read

NEGSET = "import sys; sys.argv[0] = 'negset'; from negset_jobs.cli import process; process()"
WORKERS = """
import operator, sys
from negset_jobs import cli
from negset_jobs.adapters import work
def main(*_):
    done = sorted(work.map_unordered(operator.is_not, [1, 2, 3], workers=2))
    with open(sys.argv[1], "w") as file:
        file.write(repr(done))
    return 0
cli.main = main
cli.process()
"""
EACH = pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])


def exit_code(closed, program, argument) -> int:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", program]
    return subprocess.run([*shell, *argument], capture_output=True, timeout=60, check=False).returncode


@EACH
def test_a_command_says_what_it_can_and_succeeds(closed, tmp_path):
    path = tmp_path / "street.yaml"
    assert exit_code(closed, NEGSET, ["init", str(path)]) == 0
    assert read(str(path)).metadata.name == "street"


@EACH
def test_its_workers_are_reached(closed, tmp_path):
    """Without a standard stream, the connection to a worker would get the stream's number."""
    assert exit_code(closed, WORKERS, [str(tmp_path / "done")]) == 0
    assert (tmp_path / "done").read_text() == "[(0, True), (1, True), (2, True)]"
