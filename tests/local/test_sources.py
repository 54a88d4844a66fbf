"""`negset run` with each kind of source, from its files to labels and report.

On a disk and on S3.
"""

from __future__ import annotations

import io
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from tests.image_server import jpeg
from tests.s3_server import S3Server, s3_server

from negset_jobs.adapters.store import Store

IMAGES = 12
LABELS = "ImageID,Source,LabelName,Confidence\n"
CLASSES = "LabelName,DisplayName\n/m/01g317,Person\n/m/0bt9lr,Dog\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


def filled(url: str) -> Store:
    """A folder with the same images everywhere, in two folders, and lists of them."""
    store = Store(url)
    keys = [f"frames/cam-{index % 2}/{index:016x}.jpg" for index in range(IMAGES)]
    for index, key in enumerate(keys):
        store.write(key, jpeg(index))
    store.write("frames/cam-1/broken.jpg", b"no image")
    store.write("frames/notes.md", b"no image, and not taken for one")
    store.write("list.txt", "".join(f"{key}\n" for key in keys).encode())
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"url": keys, "id": list(range(IMAGES)), "license": ["CC0"] * IMAGES}), sink)
    store.write("list.parquet", sink.getvalue())
    store.write("classes.csv", CLASSES.encode())
    rows = [f"{index:016x},verification,/m/01g317,{int(index % 3 == 0)}\n" for index in range(IMAGES)]
    store.write("labels.csv", (LABELS + "".join(rows)).encode())
    return store


def run(store: Store, folder: pathlib.Path, source: dict[str, Any], count: int) -> tuple[Store, str]:
    """Run a manifest. Return the folder of its revision, and what was logged."""
    spec = {
        "source": source,
        "excludeClasses": ["Person"],
        "selection": {"count": count},
        "download": {"maxFailedPercent": 10, "attempts": 1},
        "output": {"url": f"{store.url}/out", "formats": ["TFRecord", "YOLO", "COCO", "VOC"]},
    }
    manifest = {"apiVersion": "negset.dev/v1alpha1", "kind": "NegativeDataset", "metadata": {"name": "sources"}, "spec": spec}
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(manifest))
    ended = subprocess.run([sys.executable, "-m", "negset_jobs", "run", str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return Store(ended.stdout.strip().removesuffix("/report/index.html")), ended.stderr


def rows_of(revision: Store) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(io.BytesIO(revision.read("manifest.parquet"))).to_pylist()
    return rows


def listing_of(revision: Store) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(revision.read("labels/coco/annotations/instances_train.json"))
    return document


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: pathlib.Path, s3: S3Server) -> Store:
    return filled(f"{tmp_path}/data" if request.param == "disk" else f"s3://{s3.bucket}/{tmp_path.name}")


def test_a_folder_of_own_images_becomes_a_dataset_by_the_users_word(store, tmp_path):
    revision, logged = run(store, tmp_path, {"images": {"urls": [f"{store.url}/frames"]}}, IMAGES + 1)
    rows = rows_of(revision)
    assert {row["proof"] for row in rows} == {"UserWord"}
    assert sorted(row["outcome"] for row in rows) == ["not_an_image"] + ["stored"] * IMAGES
    assert {row["file_name"] for row in rows} >= {"cam-0/0000000000000000.jpg", "cam-1/broken.jpg"}
    listing = listing_of(revision)
    assert [category["name"] for category in listing["categories"]] == ["Person"]
    assert (len(listing["images"]), listing["annotations"]) == (IMAGES, [])
    assert len([key for key in revision.keys("labels/yolo/labels") if key.endswith(".txt")]) == IMAGES
    assert json.loads(revision.read("report/report.json"))["proofs"] == {"UserWord": IMAGES + 1}
    assert "Nothing has checked it" in revision.read("report/index.html").decode()
    assert "1 files in" in logged


def test_a_folder_gives_the_same_images_on_a_disk_and_on_s3(tmp_path, s3):
    places = [filled(f"{tmp_path}/data"), filled(f"s3://{s3.bucket}/same")]
    rows = [rows_of(run(place, tmp_path, {"images": {"urls": [f"{place.url}/frames/*/0*.jpg"]}}, 5)[0]) for place in places]
    assert [row["image_id"] for row in rows[0]] == [row["image_id"] for row in rows[1]]
    assert [row["sha256"] for row in rows[0]] == [row["sha256"] for row in rows[1]]


def test_images_of_one_name_in_two_folders_are_two_images(tmp_path):
    store = Store(f"{tmp_path}/data")
    for index, folder in enumerate("ab"):
        store.write(f"{folder}/1.jpg", jpeg(index))
    revision, _ = run(store, tmp_path, {"images": {"urls": [f"{store.url}/a", f"{store.url}/b"]}}, 2)
    assert len({row["sha256"] for row in rows_of(revision)}) == 2
    assert [image["file_name"] for image in listing_of(revision)["images"]] == ["1.jpg", "1_2.jpg"]


@pytest.mark.parametrize("name", ["list.txt", "list.parquet"])
def test_a_list_of_images_becomes_a_dataset(store, tmp_path, name):
    revision, _ = run(store, tmp_path, {"images": {"urls": [f"{store.url}/{name}"]}}, IMAGES)
    rows = rows_of(revision)
    assert {row["outcome"] for row in rows} == {"stored"}
    assert len({row["sha256"] for row in rows}) == IMAGES
    if name == "list.parquet":
        assert {row["image_id"] for row in rows} == set(range(IMAGES))
        assert [each["name"] for each in listing_of(revision)["licenses"]] == ["CC0"]


def test_open_images_become_a_dataset_where_a_person_verified_it(store, tmp_path):
    source = {
        "labels": [f"{store.url}/labels.csv"],
        "classDescriptions": f"{store.url}/classes.csv",
        "imageUrl": f"{store.url}/frames/cam-0/{{image_id}}.jpg",
    }
    even = [index for index in range(IMAGES) if index % 2 == 0 and index % 3]
    store.write(
        "labels.csv",
        (LABELS + "".join(f"{index:016x},verification,/m/01g317,{int(index not in even)}\n" for index in range(IMAGES))).encode(),
    )
    revision, _ = run(store, tmp_path, {"openImages": source}, len(even))
    rows = rows_of(revision)
    assert {row["file_name"] for row in rows} == {f"{index:016x}.jpg" for index in even}
    assert {(row["proof"], row["outcome"]) for row in rows} == {("VerifiedAbsent", "stored")}
    assert [category["name"] for category in listing_of(revision)["categories"]] == ["Person"]
