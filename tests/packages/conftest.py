"""What the tests of the built wheel share."""

from __future__ import annotations

import functools
import http.server
import json
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from tests.image_server import jpeg
from tests.packages.environments import Environment, Installer, build_wheel, constraints, installers

IMAGES, WITH_OBJECT = 40, 16
SIDES = (96, 96)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module", params=installers())
def installed(
    request: pytest.FixtureRequest, wheel: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Environment]]:
    """A function that returns an environment with an extra. It is removed with its module."""
    installer: Installer = request.param
    folder = tmp_path_factory.mktemp("environments")

    @functools.cache
    def of(extra: str) -> Environment:
        environment = Environment(folder / (extra or "base"), installer)
        environment.install(f"negset{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}", constraints(folder))
        environment.check()
        return environment

    yield of
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with images and COCO's annotations: the first ones have a cat, the others a dog."""
    folder = tmp_path_factory.mktemp("dataset")
    images, annotations = [], []
    for number in range(1, IMAGES + 1):
        name = f"{number:03}.jpg"
        (folder / name).write_bytes(jpeg(number, size=SIDES))
        images.append({"id": number, "file_name": name, "width": SIDES[0], "height": SIDES[1], "coco_url": f"http://example.org/{name}"})
        category = 1 if number <= WITH_OBJECT else 2
        annotations.append(
            {"id": number, "image_id": number, "category_id": category, "bbox": [20, 20, 50, 50], "area": 2500, "iscrowd": 0}
        )
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder


@pytest.fixture(scope="session")
def served(dataset: pathlib.Path) -> Iterator[str]:
    """The URL at which a web server on the loopback has that folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(dataset)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def write_manifest(tmp_path: pathlib.Path, served: str) -> Callable[..., pathlib.Path]:
    """A function that writes a manifest without cats, with more fields of the spec."""

    def write(**spec: Any) -> pathlib.Path:
        coco = {"annotations": f"{served}/instances.json", "imageUrl": f"{served}/{{file_name}}"}
        spec = {
            "source": {"coco": coco},
            "excludeClasses": ["cat"],
            "selection": {"count": 20},
            "output": {"url": "./out", "formats": ["TFRecord", "YOLO", "COCO"]},
            **spec,
        }
        document = {"apiVersion": "negset.dev/v1alpha1", "kind": "NegativeDataset", "metadata": {"name": "street"}, "spec": spec}
        path = tmp_path / "street.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    return write
