"""Copies among the positives: whatever their names, they are on one side of the split."""

import io
import json

import pytest
from PIL import Image
from tests.image_server import image_server
from tests.local.positives_run import make, records
from tests.progress import Silent

from negset_api import names
from negset_jobs.adapters import work

COPIES = ("exact", "saved", "small", "turned")


@pytest.fixture(scope="module", autouse=True)
def workers():
    with work.session(2):
        yield


def changed(encoded, kind):
    with Image.open(io.BytesIO(encoded)) as opened:
        image = opened.convert("RGB")
    if kind == "exact":
        return encoded
    if kind == "small":
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    if kind == "turned":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=70)
    return stream.getvalue()


@pytest.fixture(scope="module")
def annotations(tmp_path_factory, coco_mini):
    """Twelve photos, the first four each with a copy under a name that does not say so."""
    folder = tmp_path_factory.mktemp("copies")
    photos = [path.read_bytes() for path in sorted((coco_mini / "train2017").iterdir())[:12]]
    files = {f"{number}.jpg": photo for number, photo in enumerate(photos)}
    files |= {f"{kind}.jpg": changed(photos[number], kind) for number, kind in enumerate(COPIES)}
    document = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    for number, (name, encoded) in enumerate(files.items()):
        (folder / name).write_bytes(encoded)
        width, height = Image.open(io.BytesIO(encoded)).size
        document["images"].append({"id": number, "file_name": name, "width": width, "height": height})
        document["annotations"].append({"id": number, "image_id": number, "category_id": 1, "bbox": [number, 5, 20, 20]})
    (folder / "a.json").write_text(json.dumps(document))
    return folder


def sides(store, positives):
    return {
        split: {record["image/filename"][0].decode().removesuffix(".jpg"): record for record in found}
        for split, found in records(store, positives).items()
    }


def source(folder, percent=40):
    return {"coco": {"annotations": f"{folder}/a.json", "imageUrl": f"{folder}/{{file_name}}"}, "heldOutPercent": percent}


def test_copies_are_on_one_side_and_those_with_the_same_bytes_are_one_record(annotations, tmp_path):
    store, positives = make(tmp_path, source(annotations))
    found = sides(store, positives)
    assert sum(map(len, found.values())) == 15
    for number, kind in enumerate(COPIES[1:], 1):
        assert [kind in side for side in found.values()] == [str(number) in side for side in found.values()], kind
    (record,) = (side["0"] for side in found.values() if "0" in side)
    assert len(record["image/object/bbox/ymin"]) == 2, "the object of either name"
    listed = json.loads(store.read(names.POSITIVE_COPIES))
    assert listed["exact"] == [["0", "12"]]
    assert listed["near"] == [["1", "13"], ["14", "2"], ["15", "3"]]
    assert positives.outcomes == {"stored": 15}


def test_another_run_and_an_interrupted_one_give_the_same_bytes(annotations, tmp_path):
    store, positives = make(tmp_path / "a", source(annotations))
    other, again = make(tmp_path / "b", source(annotations))
    assert again == positives
    other.remove([names.POSITIVES])
    _, resumed = make(tmp_path / "b", source(annotations))
    assert resumed == positives
    assert {key for key in other.keys("positives") if key.endswith("tfrecord")} == {
        key for key in store.keys("positives") if key.endswith("tfrecord")
    }


class Stages(Silent):
    """Progress that keeps the stages that were started."""

    def __init__(self):
        self.started = []

    def start(self, stage, *_, **__):
        self.started.append(stage)


def run_on_server(server, annotations, folder, percent, earlier=None):
    stages = Stages()
    source = {"coco": {"annotations": f"{annotations}/a.json", "imageUrl": f"{server.url}/{{file_name}}"}, "heldOutPercent": percent}
    download = {"attempts": 1, "maxOutageSeconds": 0, "maxFailedPercent": 50}
    store, positives = make(folder, source, download=download, networks=("127.0.0.0/8",), earlier=earlier, progress=stages)
    return store, positives, stages.started.count("Looking for copies")


@pytest.mark.parametrize("percent", [20, 40, 60])
def test_a_copy_that_a_later_run_stores_is_on_the_side_of_its_original(percent, annotations, tmp_path):
    """Three copies fail at first, all but the exact one."""
    with image_server() as server:
        for path in annotations.glob("*.jpg"):
            server.serve(f"/{path.name}", path.read_bytes())
        for kind in COPIES[1:]:
            server.serve(f"/{kind}.jpg", b"", status=500)
        store, first, searches = run_on_server(server, annotations, tmp_path / "mended", percent)
        assert (first.outcomes, searches) == ({"stored": 12, "server_error": 3}, 1)
        found = store.read(names.POSITIVE_COPIES)
        _, still, searches = run_on_server(server, annotations, tmp_path / "mended", percent, first)
        assert (still, searches) == (first, 0), "the stored images are those that were searched"
        assert store.read(names.POSITIVE_COPIES) == found
        for kind in COPIES[1:]:
            server.serve(f"/{kind}.jpg", (annotations / f"{kind}.jpg").read_bytes())
        _, mended, searches = run_on_server(server, annotations, tmp_path / "mended", percent, first)
        other, whole, _ = run_on_server(server, annotations, tmp_path / "whole", percent)
    by_side = sides(store, mended)
    for number, kind in enumerate(COPIES[1:], 1):
        assert [kind in side for side in by_side.values()] == [str(number) in side for side in by_side.values()], kind
    assert (mended.outcomes, searches) == ({"stored": 15}, 1)
    assert mended == whole
    assert json.loads(store.read(names.POSITIVE_COPIES)) == json.loads(other.read(names.POSITIVE_COPIES))


def test_copies_in_tfrecords_are_on_one_side(annotations, tmp_path):
    """The records of another dataset, in which copies are on both sides."""
    store, positives = make(tmp_path / "a", source(annotations, 10))
    files = [store.location(key) for keys in positives.files.values() for key in keys]
    other, copied = make(tmp_path / "b", {"tfrecords": files, "heldOutPercent": 50})
    found = sides(other, copied)
    assert sum(map(len, found.values())) == 15
    for number, kind in enumerate(COPIES[1:], 1):
        assert [kind in side for side in found.values()] == [str(number) in side for side in found.values()], kind


def test_augmented_copies_are_on_one_side_by_their_names_however_little_they_look_alike(annotations, tmp_path):
    document = json.loads((annotations / "a.json").read_text())
    document["images"] = document["images"][:12]
    for number, image in enumerate(document["images"]):
        name = f"{number // 3}_jpg.rf.{number:032x}.jpg"
        (tmp_path / name).write_bytes((annotations / image["file_name"]).read_bytes())
        image["file_name"] = name
    (tmp_path / "a.json").write_text(json.dumps(document))
    store, positives = make(tmp_path / "out", source(tmp_path, 50))
    originals = [{name.partition("_")[0] for name in side} for side in sides(store, positives).values()]
    assert [len(side) for side in originals] == [2, 2]
    assert not originals[0] & originals[1]


def test_without_copies_nothing_is_written_twice(annotations, tmp_path):
    document = json.loads((annotations / "a.json").read_text())
    document["images"] = document["images"][:12]
    (tmp_path / "a.json").write_text(json.dumps(document))
    store, _ = make(
        tmp_path / "out", {**source(annotations), "coco": {"annotations": f"{tmp_path}/a.json", "imageUrl": f"{annotations}/{{file_name}}"}}
    )
    assert not [key for key in store.keys("shards/positives") if "attempt" in key]
