"""One process at a time in a folder of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from negset_jobs.adapters.local_files import alone

HOLD = "import sys, time; from negset_jobs.adapters.local_files import alone\nwith alone(sys.argv[1], lambda: None): print('in', flush=True); time.sleep(600)"


def test_the_second_waits_until_the_first_ends(tmp_path):
    folder = f"{tmp_path}/a"
    order: list[str] = []
    waits = threading.Event()

    def second():
        with alone(folder, waits.set):
            order.append("second")

    with alone(folder, lambda: None):
        os.makedirs(f"{folder}/kept")
        thread = threading.Thread(target=second)
        thread.start()
        assert waits.wait(10)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert os.listdir(folder) == ["kept"]


def test_of_many_at_once_each_is_alone(tmp_path):
    inside, most = 0, 0

    def enter():
        nonlocal inside, most
        for _ in range(20):
            with alone(f"{tmp_path}/a", lambda: None):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_killed_process_does_not_hold_the_folder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, f"{tmp_path}/a"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    with alone(f"{tmp_path}/a", lambda: None):
        pass


def test_a_folder_that_stays_empty_is_removed_again(tmp_path):
    (tmp_path / "users").mkdir()
    with alone(f"{tmp_path}/users/a/b", lambda: None):
        pass
    assert os.listdir(tmp_path) == ["users"]
    assert os.listdir(tmp_path / "users") == []
