"""The demo's images are served over HTTP as a dataset's host would serve them."""

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from negset_jobs.demo import dataset, server


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("demo"))
    with server.serve(folder) as base_url:
        yield base_url, dataset.make(folder, base_url=base_url, with_object=20, without_object=30)


def _get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read()


def test_the_annotations_name_addresses_that_answer_with_images_except_the_missing_ones(served):
    base_url, truth = served
    status, kind, body = _get(f"{base_url}/{dataset.ANNOTATIONS}")
    assert (status, kind) == (200, "application/json")
    for image in json.loads(body)["images"]:
        if image["id"] in truth.dead:
            with pytest.raises(urllib.error.HTTPError, match="404"):
                _get(image["coco_url"])
        else:
            _, kind, drawn = _get(image["coco_url"])
            assert kind == "image/jpeg"
            assert drawn.startswith(b"\xff\xd8") != (image["id"] in truth.moved)


def test_one_connection_carries_many_requests(served):
    base_url, truth = served
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(base_url).netloc, timeout=10)
    connection.connect()
    socket = connection.sock
    for image_id in truth.with_object[:5]:
        connection.request("GET", f"/images/{image_id:012d}.jpg")
        assert connection.getresponse().read()
        assert connection.sock is socket
    connection.close()


def test_many_connections_at_once_are_all_answered(served):
    base_url, truth = served
    urls = [f"{base_url}/images/{image_id:012d}.jpg" for image_id in truth.with_object] * 10
    with ThreadPoolExecutor(64) as pool:
        assert all(status == 200 for status, _, _ in pool.map(_get, urls))


def test_a_taken_port_gives_a_free_one_and_the_port_is_free_afterwards(tmp_path):
    with server.serve(str(tmp_path)) as first:
        port = int(first.rsplit(":", 1)[1])
        with server.serve(str(tmp_path), port=port) as second:
            assert second != first
    with server.serve(str(tmp_path), port=port) as third:
        assert third == first
