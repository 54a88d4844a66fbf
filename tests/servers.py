"""What the servers of other people's programs have in common: ports, and waiting for a start."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

_START_SECONDS = 90


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in sockets]


def wait_for(process: subprocess.Popen[bytes], url: str, log: pathlib.Path, accepted: tuple[int, ...] = ()) -> None:
    """Wait until a server responds, with success or with one of the statuses `accepted`."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2)
        except urllib.error.HTTPError as error:
            if error.code in accepted:
                return
        except OSError:
            pass
        else:
            return
        time.sleep(0.2)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
