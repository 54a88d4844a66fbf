"""nginx on loopback with real images, for the download benchmarks."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]


@contextlib.contextmanager
def image_host(count: int) -> Iterator[tuple[str, str]]:
    """Serve `count` images as /0.jpg, /1.jpg, …. Yield the base URL and a scratch folder.

    The images are the real ones of NEGSET_TEST_DATA, repeated.
    """
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise SystemExit("this benchmark needs nginx on the PATH, because a slower server would be measured instead")
    originals = sorted(
        (pathlib.Path(os.environ.get("NEGSET_TEST_DATA", ROOT.parent / "shared" / "data")) / "coco-mini" / "train2017").glob("*.jpg")
    )
    if not originals:
        raise SystemExit("this benchmark needs real images: set NEGSET_TEST_DATA to the folder that contains coco-mini")
    with tempfile.TemporaryDirectory(prefix="negset-benchmark-") as folder:
        os.chmod(folder, 0o755)
        os.makedirs(f"{folder}/images")
        for number in range(count):
            os.symlink(originals[number % len(originals)], f"{folder}/images/{number}.jpg")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        pathlib.Path(folder, "nginx.conf").write_text(
            f"""
            daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; {"user root;" if os.getuid() == 0 else ""}
            events {{ worker_connections 4096; }}
            http {{
              access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; types {{ image/jpeg jpg; }}
              client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
              server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}/images; }}
            }}
            """
        )
        server = subprocess.Popen([nginx, "-c", f"{folder}/nginx.conf", "-e", f"{folder}/error.log"])
        try:
            _wait_for(port)
            yield f"http://127.0.0.1:{port}", folder
        finally:
            server.terminate()
            server.wait(30)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("nginx did not answer within 10 seconds")
