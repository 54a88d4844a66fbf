"""Types that several threads decode for the first time at once.

A failure ends the process, so the test runs in its own process.
"""

from __future__ import annotations

import subprocess
import sys

MANY_AT_ONCE = """
import sys, threading, types
from negset_api import decoding

SOURCE = '''
from __future__ import annotations
import msgspec
class Part(msgspec.Struct):
    values: dict[str, int] = {}
class Whole(msgspec.Struct):
    first: Part
    more: tuple[Part, ...] = ()
'''

sys.setswitchinterval(1e-6)
for attempt in range(100):
    module = sys.modules["fresh"] = types.ModuleType("fresh")
    exec(SOURCE, module.__dict__)
    together, seen = threading.Barrier(8), []

    def use():
        together.wait()
        seen.append(decoding.from_json(b'{"first": {}, "more": [{}]}', module.Whole))
        seen.append(decoding.convert({"first": {}, "more": [{}]}, module.Whole))

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == 16 * [module.Whole(first=module.Part(), more=(module.Part(),))]
"""


def test_threads_that_decode_a_type_for_the_first_time_at_once_all_get_it() -> None:
    # With msgspec's own functions this ends with SIGSEGV after a few attempts.
    done = subprocess.run([sys.executable, "-c", MANY_AT_ONCE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
