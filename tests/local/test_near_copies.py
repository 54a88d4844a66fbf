"""The manifest names near copies: of negatives, and of positives, whose class they may show."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow.parquet
import pytest
from PIL import Image, ImageOps
from tests.progress import Silent
from tests.reading import as_image

from negset_api import names, validation
from negset_api.values import Copies, Positives, decode
from negset_jobs import pipeline
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.download.stage import withdraw
from negset_jobs.formats.tfrecord import read_records

NEGATIVES = range(30)
POSITIVES = range(30, 40)
COLUMNS = ("near_copy_of", "near_copy_kind")
RIGHT = 6  # the EXIF orientation of a camera that was held upright


@pytest.fixture(scope="module", autouse=True)
def workers() -> Iterator[None]:
    with work.session(2):
        yield


@pytest.fixture
def folder(tmp_path: pathlib.Path, coco_mini: pathlib.Path) -> pathlib.Path:
    """Real images: 30 show a dog, and 10 show a person."""
    documents: dict[str, dict[str, Any]] = {}
    for name in ("source", "positives"):
        documents[name] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]}
    for number, path in enumerate(sorted((coco_mini / "train2017").iterdir())[: len(NEGATIVES) + len(POSITIVES)]):
        shutil.copy(path, tmp_path / f"{number}.jpg")
        document = documents["source" if number in NEGATIVES else "positives"]
        with Image.open(path) as opened:
            document["images"].append({"id": number, "file_name": f"{number}.jpg", "width": opened.width, "height": opened.height})
        shows = {"id": number, "image_id": number, "bbox": [5, 5, 30, 30], "category_id": 2 if number in NEGATIVES else 1}
        document["annotations"].append(shows)
    for name, document in documents.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    return tmp_path


def prepared(folder: pathlib.Path, output: str, *, steps: int = 4) -> pipeline.Revision:
    """Return the revision with so many steps; without training if there are none."""
    coco = {"imageUrl": f"{folder}/{{file_name}}"}
    spec = {
        "source": {"coco": {"annotations": f"{folder}/source.json", **coco}},
        "excludeClasses": ["person"],
        "selection": {"count": len(NEGATIVES)},
        "output": {"url": str(folder / output)},
        "positives": {"coco": {"annotations": f"{folder}/positives.json", **coco}, "exifOrientation": "Upright"},
        "training": {
            "pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"},
            "steps": steps,
            "heldOutPercent": 30,
            "hardNegativeMining": {"rounds": 1},
        },
    }
    if not steps:
        del spec["training"], spec["positives"]
    document = {"apiVersion": names.API_VERSION, "kind": names.KIND, "metadata": {"name": "test"}, "spec": spec}
    return pipeline.prepare(validation.parse(document), Access())


def rows(revision: pipeline.Revision) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(io.BytesIO(revision.store.read(names.MANIFEST))).to_pylist()


def near(revision: pipeline.Revision) -> dict[int, tuple[str, str]]:
    """The near copies that the manifest names, by id."""
    return {row["image_id"]: (row["near_copy_of"], row["near_copy_kind"]) for row in rows(revision) if any(row[name] for name in COLUMNS)}


def resize(folder: pathlib.Path, original: int, copy: int, share: float) -> None:
    """Save an image again, smaller, as another one."""
    with Image.open(folder / f"{original}.jpg") as opened:
        size = (round(opened.width * share), round(opened.height * share))
        opened.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(folder / f"{copy}.jpg", "JPEG", quality=75)


def sizes_as_they_are(folder: pathlib.Path) -> None:
    for name in ("source", "positives"):
        document = json.loads((folder / f"{name}.json").read_text())
        for image in document["images"]:
            with Image.open(folder / image["file_name"]) as opened:
                # An export has the size of the image as it is seen.
                image["width"], image["height"] = ImageOps.exif_transpose(opened).size if name == "positives" else opened.size
        (folder / f"{name}.json").write_text(json.dumps(document))


def trained_positives(revision: pipeline.Revision) -> list[int]:
    found = []
    for key in decode(revision.store.read(names.POSITIVES), Positives).files[names.TRAIN]:
        with revision.store.reading(key) as stream:
            found += [int(as_image(payload)[0]) for _, payload in read_records(stream)]
    return sorted(found)


class Made(NamedTuple):
    """The negatives that were made near copies, and their originals.

    `held_out` is a negative of `trained` at another size. `again` is a positive, `saved`, that was
    saved again. `turned` has the pixels of the positive `upright`, which its EXIF turns: stored, it
    is upright.
    """

    held_out: int
    trained: int
    again: int
    saved: int
    turned: int
    upright: int


def with_copies(folder: pathlib.Path) -> Made:
    untouched = prepared(folder, "before")
    pipeline.data(untouched, Silent())
    assert near(untouched) == {}, "real images without copies are named nowhere"
    assert decode(untouched.store.read(names.COPIES), Copies).like_positives == 0
    held_out, *_ = (row["image_id"] for row in rows(untouched) if row["subset"] == names.HELD_OUT)
    trained, again, turned, *_ = (row["image_id"] for row in rows(untouched) if row["subset"] == names.TRAIN)
    saved, upright = trained_positives(untouched)[:2]
    made = Made(held_out, trained, again, saved, turned, upright)
    resize(folder, made.trained, made.held_out, 0.6)
    resize(folder, made.saved, made.again, 1.0)
    with Image.open(folder / f"{made.upright}.jpg") as opened:
        exif = opened.getexif()
        exif[0x0112] = RIGHT
        pixels = opened.copy()
    pixels.save(folder / f"{made.upright}.jpg", "JPEG", quality=90, exif=exif)
    pixels.save(folder / f"{made.turned}.jpg", "JPEG", quality=80, exif=exif)
    sizes_as_they_are(folder)
    return made


def test_the_manifest_names_the_near_copies_and_no_others(folder: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    made = with_copies(folder)
    revision = prepared(folder, "out")
    pipeline.data(revision, Silent())
    assert near(revision) == {
        made.held_out: (str(made.trained), "negative"),
        made.again: (str(made.saved), "positive"),
        made.turned: (str(made.upright), "positive"),
    }
    assert {row["outcome"] for row in rows(revision)} == {"stored"}, "none of them is left out"
    found = decode(revision.store.read(names.COPIES), Copies)
    assert (found.negatives, found.positives, found.like_positives) == ((str(made.held_out),), (), 2), "two train, and exclude nothing"
    pairs = pyarrow.parquet.read_table(io.BytesIO(revision.store.read(names.COPIES_TABLE))).to_pylist()
    assert {(row["held_out_id"], row["negative_id"], row["other_id"]) for row in pairs} == {
        (str(made.held_out), None, str(made.trained)),
        (None, str(made.again), str(made.saved)),
        (None, str(made.turned), str(made.upright)),
    }
    assert "2 negatives look like positives" in caplog.text
    report = pipeline.report(revision, Silent())
    assert report.like_positives == 2
    page = revision.store.read(names.REPORT_PAGE).decode()
    assert "2 negatives look like a positive" in page
    for negative, positive in ((made.again, made.saved), (made.turned, made.upright)):
        assert f"Left: negative {negative}. Right: positive {positive}, which it looks like" in page


def test_a_stage_that_is_reused_or_made_again_gives_the_same_manifest(folder: pathlib.Path) -> None:
    with_copies(folder)
    revision = prepared(folder, "out")
    pipeline.data(revision, Silent())
    manifest = revision.store.read(names.MANIFEST)

    later = prepared(folder, "out", steps=5)
    assert later.store.url != revision.store.url
    pipeline.data(later, Silent())
    assert later.store.read(names.COPIES_TABLE) == revision.store.read(names.COPIES_TABLE)
    assert later.store.keys(names.FINGERPRINTS_FOLDER) == []
    assert later.store.read(names.MANIFEST) == manifest

    revision.store.remove([names.COPIES_TABLE])
    last = prepared(folder, "out", steps=6)
    pipeline.data(last, Silent())
    assert last.store.read(names.MANIFEST) == manifest, "one of two earlier revisions has the pairs"

    withdraw(revision.store, names.RECORDS)
    pipeline.data(revision, Silent())
    assert revision.store.read(names.MANIFEST) == manifest


def test_without_training_the_columns_are_there_and_empty(folder: pathlib.Path) -> None:
    revision = prepared(folder, "out", steps=0)
    pipeline.data(revision, Silent())
    assert not revision.store.exists(names.COPIES)
    assert [tuple(row)[-2:] for row in rows(revision)] == [COLUMNS] * len(NEGATIVES)
    assert near(revision) == {}
