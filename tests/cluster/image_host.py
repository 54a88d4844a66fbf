"""Images with known truth, which this machine serves to the pods."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections import Counter
from collections.abc import Iterator

from negset_jobs.demo import dataset as demo

_LONGEST_HOLD = 120.0


class ImageHost:
    """A running server of images.

    `truth`: which images show an object.
    `asked`: requests for each image without an object, by image id, in the order of the first
    request.
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
        """Answer `count` more requests for images without an object, and let the others wait."""
        with self._changed:
            self._answers = count

    def wait_until_held(self, seconds: float) -> None:
        """Wait until all allowed requests are answered. The download is then paused."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._answers == 0, seconds), f"only {self.asked.total()} images were asked for"

    def release(self) -> None:
        """Answer all requests again."""
        with self._changed:
            self._answers = None
            self._changed.notify_all()

    def ask(self, image: int) -> None:
        """Count a request, and return when it may be answered."""
        if image not in self._counted:
            return
        with self._changed:
            self.asked[image] += 1
            if self._changed.wait_for(lambda: self._answers != 0, _LONGEST_HOLD) and self._answers is not None:
                self._answers -= 1
                self._changed.notify_all()


@contextlib.contextmanager
def serve(address: str, folder: str, *, with_object: int, without_object: int) -> Iterator[ImageHost]:
    """Make a dataset in `folder` and serve it at `address`, on a free port."""
    served: list[ImageHost] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=folder)

        def do_GET(self) -> None:
            if self.path.startswith(f"/{demo.IMAGES}/"):
                served[0].ask(int(self.path.rpartition("/")[2].partition(".")[0]))
            with contextlib.suppress(ConnectionError):  # the client may have been killed
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
