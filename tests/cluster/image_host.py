"""ImageHost with known truth, served by this machine to the pods."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections import Counter
from collections.abc import Iterator

from negset_jobs.demo import dataset as demo

_LONGEST_HOLD = 120.0


class ImageHost:
    """`url` is the server's, `truth` what is in the images, and `asked` counts the requests for
    each image without an object by its id, in the order of the first.
    """

    def __init__(self, url: str, truth: demo.Truth) -> None:
        self.url, self.truth = url, truth
        self.asked: Counter[int] = Counter()
        self._counted = frozenset(truth.without_object)
        self._changed = threading.Condition()
        self._answers: int | None = None

    @property
    def annotations(self) -> str:
        return f"{self.url}/{demo.ANNOTATIONS}"

    def hold_after(self, count: int) -> None:
        """Answers so many requests for images without an object from now on, and lets the others
        wait.
        """
        with self._changed:
            self._answers = count

    def wait_until_held(self, seconds: float) -> None:
        """Waits until a request has to wait: the download is in its middle."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._answers == 0, seconds), f"only {self.asked.total()} images were asked for"

    def release(self) -> None:
        """Answers everything again."""
        with self._changed:
            self._answers = None
            self._changed.notify_all()

    def ask(self, image: int) -> None:
        """Takes note of one request, and returns when it may be answered."""
        if image not in self._counted:
            return
        with self._changed:
            self.asked[image] += 1
            if self._changed.wait_for(lambda: self._answers != 0, _LONGEST_HOLD) and self._answers is not None:
                self._answers -= 1
                self._changed.notify_all()


@contextlib.contextmanager
def serve(address: str, folder: str, *, with_object: int, without_object: int) -> Iterator[ImageHost]:
    """Makes a dataset in `folder` and serves it at `address`, on a free port."""
    served: list[ImageHost] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=folder)

        def do_GET(self) -> None:
            if self.path.startswith(f"/{demo.IMAGES}/"):
                served[0].ask(int(self.path.rpartition("/")[2].partition(".")[0]))
            with contextlib.suppress(ConnectionError):  # who asked may have been killed meanwhile
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer((address, 0), Handler) as server:
        url = f"http://{address}:{server.server_port}"
        truth = demo.make(folder, base_url=url, with_object=with_object, without_object=without_object)
        served.append(ImageHost(url, truth))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield served[0]
        served[0].release()
        server.shutdown()
