"""Held-out copies of training images are found in the records, listed and not measured."""

from __future__ import annotations

import io
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image, ImageEnhance, ImageOps
from tests.local.serving import CountingServer
from tests.local.test_pipeline import manifest, negset, revision_of
from tests.local.training_data import make_revision, step, write_shard
from tests.local.training_data import manifest as shapes_manifest
from tests.progress import Silent
from tests.reading import as_image

from negset_api import names, validation
from negset_api.errors import InvalidInput
from negset_api.values import Copies, CopyCounts, Positives, Records, Round, decode, encode
from negset_jobs import pipeline
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.copies import stage
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.training import detections
from negset_jobs.training.task import round_input_digest

SHAPES = shapes_manifest(steps=1)
LOOPBACK = Access(allowed_networks=("127.0.0.1/32",))


def asked(server: CountingServer, folder: pathlib.Path) -> dict[str, Any]:
    return manifest(
        server,
        folder / "out",
        selection={"count": 40, "seed": 17},
        positives={"coco": manifest(server, folder)["spec"]["source"]["coco"]},
        training={
            "pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"},
            "steps": 4,
            "batchSize": 4,
            "negativePercent": 50,
            "hardNegativeMining": {"rounds": 1},
        },
    )


@pytest.fixture
def source(coco_mini: pathlib.Path, tmp_path: pathlib.Path) -> Iterator[tuple[CountingServer, pathlib.Path]]:
    """Real images, in a folder that a test may change."""
    shutil.copytree(coco_mini, tmp_path / "source")
    with CountingServer(tmp_path / "source").running() as running:
        yield running, tmp_path / "source" / "train2017"


def stored(store: Store, value: Records | Positives, split: str) -> dict[str, bytes]:
    """The images of a split by id, from the records."""
    found = []
    for key in value.files[split]:
        with store.reading(key) as stream:
            found += [as_image(payload) for _, payload in read_records(stream)]
    return dict(found)


def put_copy(path: pathlib.Path, encoded: bytes, *, quality: int, mirrored: bool) -> None:
    """Replace an image by a copy of another, in the size of its annotations."""
    with Image.open(path) as before, Image.open(io.BytesIO(encoded)) as original:
        copy = ImageOps.mirror(original) if mirrored else original
        copy.convert("RGB").resize(before.size, Image.Resampling.LANCZOS).save(path, "JPEG", quality=quality)


def test_a_resized_copy_and_a_mirrored_one_are_named_and_measure_nothing(
    source: tuple[CountingServer, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    server, images = source
    document = asked(server, tmp_path)
    untouched = pipeline.prepare(
        validation.parse({**document, "spec": {**document["spec"], "output": {"url": str(tmp_path / "before")}}}), LOOPBACK
    )
    with work.session(2):
        pipeline.data(untouched, Silent())
    before = decode(untouched.store.read(names.COPIES), Copies)
    assert (before.negatives, before.positives, before.counts) == ((), (), CopyCounts()), "real images without copies leave nothing out"
    assert (before.held_out + before.others, before.plain) == (40 + 38, 0)

    records, positives = (decode(untouched.store.read(key), kind) for key, kind in ((names.RECORDS, Records), (names.POSITIVES, Positives)))
    negatives, held_out_negatives = (stored(untouched.store, records, split) for split in (names.TRAIN, names.HELD_OUT))
    held_out_objects = stored(untouched.store, positives, names.HELD_OUT)
    negative, positive = min(held_out_negatives), min(held_out_objects)
    # Positives that are copies of each other would be on one side.
    trained_negative, mirrored_negative = sorted(negatives)[:2]
    put_copy(images / f"{int(negative):012d}.jpg", negatives[trained_negative], quality=60, mirrored=False)
    put_copy(images / f"{int(positive):012d}.jpg", negatives[mirrored_negative], quality=85, mirrored=True)

    finished = negset("run", document, tmp_path)
    revision = revision_of(finished)
    found = decode((revision / names.COPIES).read_bytes(), Copies)
    assert (found.negatives, found.positives) == ((negative,), (positive,))
    assert found.counts == CopyCounts(near_negatives=1, near_positives=1)
    assert "1 held-out negatives and 1 held-out positives are copies of training images" in finished.stderr
    rows = pyarrow.parquet.read_table(revision / names.COPIES_TABLE).to_pylist()
    assert [
        tuple(row[name] for name in ("held_out_id", "held_out_kind", "other_id", "other_kind", "copy"))
        for row in sorted(rows, key=lambda row: row["held_out_kind"])
    ] == [(negative, "negative", trained_negative, "negative", "near"), (positive, "positive", mirrored_negative, "negative", "near")]
    assert all(0 <= row["distance"] <= 31 and (revision / row["other_records"]).exists() for row in rows)

    value = decode((revision / names.round_marker(1)).read_bytes(), Round)
    measured, left = value.measurement, detections.decode((revision / value.detections).read_bytes())
    assert (measured.negatives, measured.positives) == (len(held_out_negatives) - 1, len(held_out_objects) - 1)
    assert {image.image_id for image in left.negatives} == held_out_negatives.keys() - {negative}
    assert {truth.image_id for truth in left.truths} == held_out_objects.keys() - {positive}
    assert measured.objects == sum(len(truth.counted) for truth in left.truths)
    fired = sum(each.score >= measured.threshold for image in left.negatives for each in image.detections)
    assert measured.false_positives_per_image == pytest.approx(fired / (len(held_out_negatives) - 1))

    report = json.loads((revision / names.REPORT).read_text())
    assert report["heldOutCopies"] == 2
    assert report["copies"] == {"exactNegatives": 0, "nearNegatives": 1, "exactPositives": 0, "nearPositives": 1, "measuredNear": 0}
    assert (report["heldOutNegatives"], report["heldOutPositives"]) == (measured.negatives, measured.positives)
    (reported,) = report["rounds"]
    assert reported["falsePositivesPerImage"] == measured.false_positives_per_image
    status = pipeline.status(pipeline.prepare(validation.parse(document), LOOPBACK))
    assert status["rounds"][0]["falsePositivesPerImage"] == f"{measured.false_positives_per_image:.3f}"
    page = (revision / names.REPORT_PAGE).read_text()
    assert f"Held-out negative {negative} next to its copy, negative {trained_negative}" in page

    document["spec"]["output"]["formats"] = ["TFRecord", "YOLO"]
    later = revision_of(negset("run", document, tmp_path))
    assert later != revision
    for key in (names.MANIFEST, names.COPIES, names.COPIES_TABLE, names.round_marker(1), value.detections):
        assert (later / key).read_bytes() == (revision / key).read_bytes(), f"{key} is copied from the other revision"
    assert json.loads((later / names.REPORT).read_text())["rounds"] == report["rounds"]


def test_frames_of_a_camera_that_does_not_move_are_measured_all_the_same(
    source: tuple[CountingServer, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    server, _ = source
    frames = tmp_path / "frames"
    frames.mkdir()
    scene = Image.fromarray(np.random.default_rng(1).integers(0, 256, (9, 12, 3), np.uint8)).resize((240, 180), Image.Resampling.BICUBIC)
    for number in range(24):
        ImageEnhance.Brightness(scene).enhance(1 - number / 400).save(frames / f"{number:03}.jpg")
    document = asked(server, tmp_path)
    document["spec"] |= {"source": {"images": {"urls": [str(frames)]}}, "selection": {"count": 24}}
    prepared = pipeline.prepare(validation.parse(document), LOOPBACK)
    with work.session(2):
        pipeline.data(prepared, Silent())
    found = decode(prepared.store.read(names.COPIES), Copies)
    held_out = decode(prepared.store.read(names.RECORDS), Records).images[names.HELD_OUT]
    assert (found.negatives, found.counts) == ((), CopyCounts(measured_near=held_out))
    assert pipeline.report(prepared, Silent()).copies.measured_near == held_out > 0
    page = prepared.store.read(names.REPORT_PAGE).decode()
    assert f"{held_out} held-out images look like training images, as frames of a camera that does not move do." in page


def a_revision(store: Store, *, copied: tuple[int, ...] = ()) -> tuple[Records, Positives]:
    """Two files of training negatives and one of training positives, and one of each held out.

    The held-out negatives in these places are images of the first training positives.
    """
    files: dict[str, dict[str, tuple[str, ...]]] = {}
    for seed, (folder, positive) in enumerate(((names.RECORDS_FOLDER, False), (names.POSITIVES_FOLDER, True))):
        files[folder] = {
            split: (write_shard(store, f"{folder}/{split}.tfrecord", 12, positive=positive, seed=100 * seed + index),)
            for index, split in enumerate((names.TRAIN, names.HELD_OUT) if positive else (names.TRAIN, names.POOL, names.HELD_OUT))
        }
    ((held_out,), (others,)) = files[names.RECORDS_FOLDER][names.HELD_OUT], files[names.POSITIVES_FOLDER][names.TRAIN]
    with store.reading(held_out) as stream, store.reading(others) as positives:
        payloads, known = ([payload for _, payload in read_records(each)] for each in (stream, positives))
    changed = io.BytesIO()
    for index, payload in enumerate(payloads):
        write_record(changed, known[index] if index in copied else payload)
    store.write(held_out, changed.getvalue())
    counts: dict[str, Any] = {"input_digest": "x", "outcomes": {}}
    counted = dict.fromkeys((names.TRAIN, names.POOL, names.HELD_OUT), 12)
    records = Records(planned=36, stored=36, bytes=0, manifest="", images=counted, files=files[names.RECORDS_FOLDER], **counts)
    objects = Positives(
        classes=("disc",), label_map="", images=counted, boxes={}, rejected_boxes={}, files=files[names.POSITIVES_FOLDER], **counts
    )
    return records, objects


@pytest.fixture(scope="module", autouse=True)
def workers() -> Iterator[None]:
    with work.session(2):
        yield


class Counting(Silent):
    """The progress: how many files were done before, and then one by one."""

    def __init__(self) -> None:
        self.advances: list[int] = []

    def advance(self, done: int = 1, **_: object) -> None:
        self.advances.append(done)


def test_a_held_out_negative_may_be_a_copy_of_a_positive(tmp_path: pathlib.Path) -> None:
    store = Store(str(tmp_path))
    records, positives = a_revision(store, copied=(2, 5))
    value = stage.copies_stage(store, SHAPES, records, positives, Silent())
    assert value.counts == CopyCounts(exact_negatives=2)
    rows = pyarrow.parquet.read_table(tmp_path / names.COPIES_TABLE).to_pylist()
    assert {(row["held_out_kind"], row["other_kind"], row["copy"], row["distance"]) for row in rows} == {
        ("negative", "positive", "exact", 0)
    }
    assert decode(store.read(names.COPIES), Copies) == value
    assert store.keys(names.FINGERPRINTS_FOLDER) == []


def test_an_interrupted_search_continues_with_the_remaining_files(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    records, positives = a_revision(store, copied=(2,))

    def interrupt(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stage, "encode_pairs", interrupt)
        with pytest.raises(KeyboardInterrupt):
            stage.copies_stage(store, SHAPES, records, positives, Silent())
    assert not store.exists(names.COPIES)
    made = store.keys(names.FINGERPRINTS_FOLDER)
    assert len(made) == 5
    store.remove([made[0]])
    progress = Counting()
    assert stage.copies_stage(store, SHAPES, records, positives, progress).counts == CopyCounts(exact_negatives=1)
    assert progress.advances == [4, 1], "four files were done, one was made"


def test_held_out_images_that_are_all_copies_are_refused_and_are_listed(tmp_path: pathlib.Path) -> None:
    store = Store(str(tmp_path))
    records, positives = a_revision(store, copied=tuple(range(12)))
    with pytest.raises(InvalidInput, match=r"spec\.training: expected held-out negatives to measure with, but all 12 are copies"):
        stage.copies_stage(store, SHAPES, records, positives, Silent())
    assert not store.exists(names.COPIES)
    assert len(pyarrow.parquet.read_table(tmp_path / names.COPIES_TABLE)) == 12


def test_other_files_are_another_search(tmp_path: pathlib.Path) -> None:
    records, positives = a_revision(Store(str(tmp_path)))
    more = msgspec.structs.replace(records, files={**records.files, names.POOL: ()})
    assert (
        stage.copies_input_digest(records, positives)
        == stage.copies_input_digest(records, positives)
        != stage.copies_input_digest(more, positives)
    )


def test_a_round_that_excludes_other_images_is_another_round(tmp_path: pathlib.Path) -> None:
    store = Store(str(tmp_path))
    make_revision(store)
    inputs = [round_input_digest(store, SHAPES, step(SHAPES, 1), Access())]
    for copies in ("copies", "others"):
        store.write(names.COPIES, encode(Copies(input_digest=copies)))
        inputs.append(round_input_digest(store, SHAPES, step(SHAPES, 1), Access()))
    assert inputs[0] == inputs[1] != inputs[2]
