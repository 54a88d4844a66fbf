"""A picture of the positives is no negative, also where the source does not annotate its object."""

import io
import json
import shutil

import pyarrow.parquet
import pytest
from PIL import Image
from tests.image_server import image_server
from tests.progress import Silent
from tests.reading import as_image

from negset_api import names, validation
from negset_api.values import Records, decode
from negset_jobs import pipeline
from negset_jobs.adapters import work
from negset_jobs.adapters.access import Access
from negset_jobs.formats.tfrecord import read_records

NEGATIVES, BOTH = range(12), (3, 8)


@pytest.fixture(scope="module", autouse=True)
def workers():
    with work.session(2):
        yield


@pytest.fixture
def folder(tmp_path, coco_mini):
    """Sixteen photos. The source annotates a person in the last four, the positives in two more."""
    photos = sorted((coco_mini / "train2017").iterdir())[:16]
    source, positives = (
        {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "dog"}]} for _ in range(2)
    )
    for number, path in enumerate(photos):
        shutil.copy(path, tmp_path / f"{number}.jpg")
        with Image.open(path) as opened:
            width, height = opened.size
        image = {"id": number, "file_name": f"{number}.jpg", "width": width, "height": height}
        shows = {"id": number, "image_id": number, "bbox": [5, 5, 30, 30]}
        source["images"].append(image)
        source["annotations"].append({**shows, "category_id": 2 if number in NEGATIVES else 1})
        if number in BOTH or number not in NEGATIVES:
            positives["images"].append({**image, "id": 100 + number})
            positives["annotations"].append({**shows, "image_id": 100 + number, "category_id": 1})
    (tmp_path / "source.json").write_text(json.dumps(source))
    (tmp_path / "positives.json").write_text(json.dumps(positives))
    others = {name: [item for item in positives[name] if item["id"] % 100 not in BOTH] for name in ("images", "annotations")}
    (tmp_path / "others.json").write_text(json.dumps({**positives, **others}))
    return tmp_path


def prepared(folder, positives, *, server="", most_failed=5):
    """The revision of the folder's dataset. The images of the positives may come from a server."""
    coco = {"imageUrl": f"{folder}/{{file_name}}"}
    of_positives = {"imageUrl": f"{server or folder}/{{file_name}}"}
    document = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "metadata": {"name": "test"},
        "spec": {
            "source": {"coco": {"annotations": f"{folder}/source.json", **coco}},
            "excludeClasses": ["person"],
            "selection": {"count": 12},
            "output": {"url": str(folder / "out"), "formats": ["TFRecord", "YOLO"]},
            "positives": {"coco": {"annotations": f"{folder}/{positives}.json", **of_positives}, "heldOutPercent": 50},
            "download": {"attempts": 1, "maxOutageSeconds": 0, "maxFailedPercent": most_failed},
            "training": {"pipelineConfig": {"preset": "ssd-mobilenet-v2-tiny-96"}, "steps": 4, "hardNegativeMining": {"rounds": 1}},
        },
    }
    return pipeline.prepare(validation.parse(document), Access(allowed_networks=("127.0.0.0/8",)))


def outcomes(store):
    return {row["image_id"]: row["outcome"] for row in pyarrow.parquet.read_table(io.BytesIO(store.read(names.MANIFEST))).to_pylist()}


def recorded(store):
    files = decode(store.read(names.RECORDS), Records).files
    found = []
    for key in (key for keys in files.values() for key in keys):
        with store.reading(key) as stream:
            found += [int(as_image(payload)[0]) for _, payload in read_records(stream)]
    return sorted(found)


def test_a_negative_that_is_a_positive_is_left_out_and_counted(folder, caplog):
    revision = prepared(folder, "positives")
    pipeline.data(revision, Silent())
    expected = {number: "is_positive" if number in BOTH else "stored" for number in NEGATIVES}
    assert outcomes(revision.store) == expected
    assert recorded(revision.store) == [number for number in NEGATIVES if number not in BOTH]
    assert "2 planned images are positives, too" in caplog.text
    assert len([key for key in revision.store.keys(names.LABELS_FOLDER) if key.endswith(".txt") and "/labels/" in key]) == 10
    before = {key: revision.store.read(key) for key in revision.store.keys()}  # noqa: SIM118
    assert not pipeline.data_missing(revision)
    number = len(json.loads((folder / "positives.json").read_text())["images"])
    assert pipeline.status(revision)["positives"] == {"planned": number, "stored": number, "failed": 0, "transient": 0}
    pipeline.data(revision, Silent())
    assert {key: revision.store.read(key) for key in revision.store.keys() if not key.startswith(names.OWNERS_FOLDER)} == {  # noqa: SIM118
        key: value for key, value in before.items() if not key.startswith(names.OWNERS_FOLDER)
    }


def test_a_revision_with_other_positives_stores_it_again(folder):
    pipeline.data(prepared(folder, "positives"), Silent())
    later = prepared(folder, "others")
    pipeline.data(later, Silent())
    assert set(outcomes(later.store).values()) == {"stored"}
    assert recorded(later.store) == list(NEGATIVES)


def test_a_positive_that_a_later_run_stores_leaves_the_negatives_and_their_labels(folder):
    with image_server() as server:
        for path in folder.glob("*.jpg"):
            server.serve(f"/{path.name}", path.read_bytes())
        server.serve(f"/{BOTH[0]}.jpg", b"", status=500)
        revision = prepared(folder, "positives", server=server.url, most_failed=50)
        pipeline.data(revision, Silent())
        assert outcomes(revision.store)[BOTH[0]] == "stored"
        server.serve(f"/{BOTH[0]}.jpg", (folder / f"{BOTH[0]}.jpg").read_bytes())
        pipeline.data(revision, Silent())
    assert sorted(number for number, outcome in outcomes(revision.store).items() if outcome != "stored") == list(BOTH)
    assert recorded(revision.store) == [number for number in NEGATIVES if number not in BOTH]
    labelled = {key.rpartition("/")[2] for key in revision.store.keys(names.LABELS_FOLDER) if "/images/" in key}
    assert labelled == {f"{number}.jpg" for number in NEGATIVES if number not in BOTH}
    assert not pipeline.data_missing(revision)
