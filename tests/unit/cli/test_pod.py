"""On a cluster, a job's error is in its pod's status, whatever libraries write after it."""

import pytest

from negset_api import names
from negset_jobs.cli import main


@pytest.fixture
def told(tmp_path, monkeypatch):
    path = tmp_path / "termination-log"
    path.touch()
    monkeypatch.setattr(names, "TERMINATION_LOG", str(path))
    return path


def test_an_error_is_written_to_the_status_of_the_pod(told):
    assert main(["job", "data", "--file", "/none.yaml", "--cluster"]) == 2
    assert told.read_text() == "negset: FILE: cannot read '/none.yaml': No such file or directory"


def test_on_a_laptop_nothing_is_written(told):
    assert main(["job", "data", "--file", "/none.yaml"]) == 2
    assert told.read_text() == ""


def test_without_such_a_file_nothing_is_made(told):
    told.unlink()
    assert main(["job", "data", "--file", "/none.yaml", "--cluster"]) == 2
    assert not told.exists()
