"""The exit code of a process is its own, even if the shutdown of compiled libraries crashes."""

import subprocess
import sys

import pytest
from tests.conftest import ROOT

ABORTING_DESTRUCTOR = "import ctypes; c = ctypes.CDLL(None); c.__cxa_atexit(c.abort, None, None)\n"
"""A C destructor that kills the process by SIGABRT, always. Ray does so once in some hundreds."""
NEGSET = "import sys; sys.argv[0] = 'negset'; from negset_jobs.cli import process; process()"


def run(program: str, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def test_without_us_such_a_destructor_kills_the_process():
    assert run(ABORTING_DESTRUCTOR).returncode == -6


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["crd"], 0, "kind: CustomResourceDefinition", id="what was done"),
        pytest.param(["validate", "/none.yaml"], 2, "FILE: cannot read '/none.yaml'", id="what was wrong with the input"),
        pytest.param(["validate", "--debug", "/none.yaml"], 1, "Traceback (most recent call last)", id="where it was wrong"),
    ],
)
def test_the_exit_code_is_that_of_the_command_and_all_is_written(arguments, code, said):
    ended = run(ABORTING_DESTRUCTOR + NEGSET, *arguments)
    assert ended.returncode == code
    assert said in ended.stdout + ended.stderr
    assert (ended.stdout or ended.stderr).endswith("\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a device that is always full")
@pytest.mark.parametrize("command", ["crd", "init -"], ids=["a large result", "a small result"])
def test_a_result_that_finds_no_room_is_one_line(command):
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", NEGSET, *command.split()], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert (ended.returncode, ended.stderr) == (1, "negset: cannot write to standard output: No space left on device\n")


def test_threads_and_exit_functions_of_python_have_their_turn():
    program = """
import atexit, threading, time
from negset_jobs.process_end import end_without_destructors
end_without_destructors(lambda: 3)
atexit.register(print, "an exit function")
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
"""
    ended = run(ABORTING_DESTRUCTOR + program)
    assert (ended.returncode, ended.stdout) == (3, "a thread\nan exit function\n")


def test_an_error_that_nobody_catches_keeps_its_traceback_and_code():
    ended = run(
        "from negset_jobs.process_end import end_without_destructors\nend_without_destructors(lambda: None)\nraise ValueError('kept')"
    )
    assert ended.returncode == 1
    assert ended.stderr.endswith("ValueError: kept\n")


@pytest.mark.parametrize(("named", "code"), [("test_good", 0), ("test_bad", 1), ("test_none", 5)])
def test_the_tests_themselves_end_so(named, code, tmp_path):
    """Ray runs in the process of the tests too."""
    (tmp_path / "test_some.py").write_text(ABORTING_DESTRUCTOR + "def test_good(): pass\ndef test_bad(): assert False\n")
    plugins = ["-p", "tests.conftest", "-p", "no:cacheprovider"]
    ended = run("import sys, pytest; sys.exit(pytest.main())", *plugins, str(tmp_path / "test_some.py"), "-k", named, cwd=ROOT)
    assert ended.returncode == code
