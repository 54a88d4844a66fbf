"""Wrong input gives one clear line, the right exit code, and no file that looks like a result."""

from __future__ import annotations

import copy
import gzip
import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from negset_jobs.cli import main

COCO = {
    "images": [{"id": number, "file_name": f"{number}.jpg", "width": 64, "height": 48} for number in range(1, 9)],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 0}],
    "categories": [{"id": 1, "name": "person", "supercategory": "human"}, {"id": 2, "name": "car", "supercategory": "vehicle"}],
    "licenses": [],
}

Change = Callable[[dict[str, Any], pathlib.Path], None]


def coco(content: bytes | None) -> Change:
    """Replace the content of the annotation file, or remove it if None."""

    def change(_: dict[str, Any], folder: pathlib.Path) -> None:
        path = folder / "instances.json"
        path.unlink()
        if content is not None:
            path.write_bytes(content)

    return change


def spec(path: str, value: Any) -> Change:
    def change(manifest: dict[str, Any], _: pathlib.Path) -> None:
        *parents, last = path.split(".")
        node = manifest["spec"]
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value

    return change


def training(**fields: Any) -> Change:
    def change(manifest: dict[str, Any], folder: pathlib.Path) -> None:
        manifest["spec"]["positives"] = {"coco": copy.deepcopy(manifest["spec"]["source"]["coco"])}
        manifest["spec"]["training"] = {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 1, **fields}
        (folder / "broken.config").write_text("model { ssd { num_classes: }")
        (folder / "lazy.config").write_text("model { ssd { } }")

    return change


WRONG: dict[str, tuple[Change, int, list[str]]] = {
    "an unknown class is refused with the nearest name": (spec("excludeClasses", ["cars"]), 2, ["spec.excludeClasses", "'cars'", "'car'"]),
    "a synonym is refused with the class to exclude": (
        spec("excludeClasses", ["pedestrian"]),
        2,
        ["spec.excludeClasses", "exclude 'person'"],
    ),
    "a count that is too large says how many there are": (
        spec("selection.count", 9),
        2,
        ["spec.selection.count", "got 9", "7 are candidates"],
    ),
    "a missing annotation file": (coco(None), 2, ["spec.source.coco.annotations", "does not exist"]),
    "an empty annotation file": (coco(b""), 2, ["spec.source.coco.annotations", "empty"]),
    "broken JSON": (coco(json.dumps(COCO).encode()[:-40]), 2, ["spec.source.coco.annotations"]),
    "JSON that is a list": (coco(b"[1, 2]"), 2, ["spec.source.coco.annotations", "object"]),
    "JSON that is not COCO": (coco(b'{"hello": 1}'), 2, ["spec.source.coco.annotations", "images"]),
    "a torn gzip file": (coco(gzip.compress(json.dumps(COCO).encode())[:-9]), 2, ["spec.source.coco.annotations"]),
    "a text file": (coco(b"hello"), 2, ["spec.source.coco.annotations"]),
    "an unknown URL scheme": (spec("output.url", "floppy://a/b"), 2, ["spec.output.url", "floppy"]),
    "an output below a file": (spec("output.url", "{folder}/instances.json/x"), 1, ["instances.json"]),
    "images that are nowhere": (
        spec("source.coco.imageUrl", "{folder}/nowhere/{file_name}"),
        2,
        ["none of the 2 planned images", "not_found"],
    ),
    "a configuration that is no configuration": (
        training(pipelineConfig={"url": "{folder}/broken.config"}),
        2,
        ["spec.training.pipelineConfig.url"],
    ),
    "a configuration without a model": (
        training(pipelineConfig={"url": "{folder}/lazy.config"}),
        2,
        ["spec.training.pipelineConfig", "optimizer"],
    ),
    "a missing configuration": (
        training(pipelineConfig={"url": "{folder}/none.config"}),
        2,
        ["spec.training.pipelineConfig.url", "does not exist"],
    ),
    "a mode that the model cannot have": (
        training(pipelineConfig={"preset": "ssd-mobilenet-v2-fpnlite-320"}, hardNegativeMining={"mode": "Miner"}),
        2,
        ["spec.training.hardNegativeMining.mode"],
    ),
}


def fill(node: Any, folder: pathlib.Path) -> Any:
    if isinstance(node, dict):
        return {key: fill(value, folder) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(value, folder) for value in node]
    return node.replace("{folder}", str(folder)) if isinstance(node, str) else node


@pytest.mark.parametrize("case", WRONG)
def test_one_clear_line_for(case: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, code, expected = WRONG[case]
    (tmp_path / "instances.json").write_text(json.dumps(COCO))
    manifest: dict[str, Any] = {
        "apiVersion": "negset.dev/v1alpha1",
        "kind": "NegativeDataset",
        "metadata": {"name": "wrong"},
        "spec": {
            "source": {"coco": {"annotations": "{folder}/instances.json", "imageUrl": "{folder}/{file_name}"}},
            "excludeClasses": ["person"],
            "selection": {"count": 2},
            "output": {"url": "{folder}/out"},
        },
    }
    change(manifest, tmp_path)
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(fill(manifest, tmp_path)))

    assert main(["run", str(path)]) == code
    said = capsys.readouterr()
    complaints = [line for line in said.err.splitlines() if line.startswith("negset: ")]
    assert len(complaints) == 1, said.err
    assert all(part in complaints[0] for part in expected), complaints[0]
    assert "Traceback" not in said.err
    assert said.out == ""
    markers = [
        found.name
        for found in (tmp_path / "out").rglob("*.json")
        if found.name in {"records.json", "positives.json", "labels.json", "report.json"}
    ]
    assert markers == [], "a reader would take this for done"


def test_a_manifest_that_is_no_yaml(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "manifest.yaml"
    path.write_text("a: [")
    assert main(["validate", str(path)]) == 2
    assert capsys.readouterr().err.startswith("negset: FILE: expected YAML")


def test_a_manifest_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == "negset: FILE: cannot read 'nowhere.yaml': No such file or directory\n"
