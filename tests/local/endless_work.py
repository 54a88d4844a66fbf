"""A program whose two workers never finish: `python -m tests.local.endless_work KIND FOLDER`.

Each worker creates a file in the folder, whose name is its process id.
"""

from __future__ import annotations

import os
import pathlib
import sys
import time

from negset_jobs.adapters import work


def endless(folder, report):
    pathlib.Path(folder, str(os.getpid())).touch()
    while True:
        time.sleep(0.2)
        report(1, 0)


if __name__ == "__main__":
    from tests.local import endless_work  # workers cannot import a function of this program itself
    from tests.local.workers import working

    kind, output = sys.argv[1:]
    with working(kind):
        list(work.map_unordered(endless_work.endless, [output] * 2, workers=2))
