"""Positives as tools and people write them: every stored box lies on its object.

Slips of single files are outcomes, and what is not used is counted.
"""

import contextlib
import functools
import http.server
import io
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image
from tests.conftest import ROOT
from tests.local.positives_run import make, records
from tests.s3_server import s3_server

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.values import Box
from negset_jobs.adapters import work
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import write_record

WIDTH, HEIGHT = 96, 64
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def workers(s3):
    """Workers that have the variables of the S3 server from their start."""
    with work.session(2):
        yield


def rectangle(number):
    """Where the red rectangle of an image is: left, top, right, bottom in the upright image."""
    left, top = 5 + 7 * number, 4 + 3 * number
    return left, top, left + 24, top + 20


def photo(number, orientation=1):
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    image.paste((220, 20, 20), rectangle(number))
    image = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = io.BytesIO()
    image.save(data, "JPEG", quality=95, exif=exif)
    return data.getvalue()


def photos(folder, orientations):
    folder.mkdir(parents=True, exist_ok=True)
    for number, orientation in enumerate(orientations):
        (folder / f"{number}.jpg").write_bytes(photo(number, orientation))


def coco(folder, orientations, **sizes):
    """COCO positives that were drawn on the upright images."""
    photos(folder, orientations)
    boxes = [(left, top, right - left, bottom - top) for left, top, right, bottom in map(rectangle, range(len(orientations)))]
    size = {"width": WIDTH, "height": HEIGHT} | sizes
    document = {
        "images": [{"id": number, "file_name": f"{number}.jpg", **size} for number in range(len(boxes))],
        "annotations": [{"image_id": number, "category_id": 1, "bbox": box} for number, box in enumerate(boxes)],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "a.json").write_text(json.dumps(document))
    return {"coco": {"annotations": f"{folder}/a.json", "imageUrl": f"{folder}/{{file_name}}"}}


XML = """<annotation><filename>{number}.jpg</filename>{size}
<object><name>person</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object></annotation>"""


def voc(folder, orientations, size=f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"):
    photos(folder, orientations)
    for number in range(len(orientations)):
        left, top, right, bottom = rectangle(number)
        text = XML.format(number=number, size=size, xmin=left + 1, ymin=top + 1, xmax=right, ymax=bottom)
        (folder / f"{number}.xml").write_text(text)
    return {"voc": {"annotations": f"{folder}/*.xml", "imageUrl": f"{folder}/{{filename}}"}}


def yolo(folder, orientations):
    photos(folder / "train" / "images", orientations)
    (folder / "train" / "labels").mkdir()
    for number in range(len(orientations)):
        left, top, right, bottom = rectangle(number)
        row = ((left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT, (right - left) / WIDTH, (bottom - top) / HEIGHT)
        (folder / "train" / "labels" / f"{number}.txt").write_text(f"0 {' '.join(map(str, row))}\n")
    (folder / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['person']\n")
    return {"yolo": {"data": f"{folder}/data.yaml"}}


def tfrecords(folder, orientations):
    """Records of a converter that took the size from the annotations."""
    with open(folder / "a.tfrecord", "wb") as stream:
        for number, orientation in enumerate(orientations):
            left, top, right, bottom = rectangle(number)
            box = Box(ymin=top / HEIGHT, xmin=left / WIDTH, ymax=bottom / HEIGHT, xmax=right / WIDTH, class_name="person")
            payload = encode_example(
                encoded=photo(number, orientation), image_format="jpeg", file_name=f"{number}.jpg", source_id=str(number), sha256="",
                height=HEIGHT, width=WIDTH, boxes=[box], label_ids={"person": 1},
            )  # fmt: skip
            write_record(stream, payload)
    return {"tfrecords": [f"{folder}/a.tfrecord"]}


DECODE = """
import sys
import numpy, tensorflow as tf
keys = {side: tf.io.VarLenFeature(tf.float32) for side in ("image/object/bbox/ymin", "image/object/bbox/xmin", "image/object/bbox/ymax", "image/object/bbox/xmax")}
for payload in tf.data.TFRecordDataset(sys.argv[1:]):
    found = tf.io.parse_single_example(payload, {"image/encoded": tf.io.FixedLenFeature([], tf.string), "image/source_id": tf.io.FixedLenFeature([], tf.string), **keys})
    image = tf.io.decode_image(found["image/encoded"], channels=3).numpy().astype(int)
    height, width = image.shape[:2]
    ymin, xmin, ymax, xmax = (float(found[key].values[0]) for key in keys)
    inside = image[round(ymin * height):round(ymax * height), round(xmin * width):round(xmax * width)]
    print(found["image/source_id"].numpy().decode(), ((inside[..., 0] > 150) & (inside[..., 1] < 100)).mean())
"""


def on_the_object(store, positives):
    """How much of each stored box is red, as TensorFlow decodes the images."""
    files = [store.location(key) for keys in positives.files.values() for key in keys]
    said = subprocess.run([sys.executable, "-c", DECODE, *files], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {key: float(part) for key, part in map(str.split, said.splitlines())}


@pytest.mark.parametrize("source", [coco, voc, tfrecords])
def test_boxes_drawn_on_upright_images_lie_on_their_objects_where_some_sizes_prove_it(source, tmp_path):
    store, positives = make(tmp_path / "out", source(tmp_path, range(1, 9)))
    found = on_the_object(store, positives)
    assert len(found) == 8
    assert min(found.values()) > 0.97
    assert positives.turned == 7
    assert make(tmp_path / "out", source(tmp_path, range(1, 9)))[1] == positives


@pytest.mark.parametrize("source", [coco, voc, yolo, tfrecords])
def test_without_any_proof_images_that_exif_turns_are_failures_that_name_it(source, tmp_path):
    positives_spec = source(tmp_path, [3, *[1] * 7])
    with pytest.raises(InvalidInput, match=r"1 of the 8 planned images .* 1 ambiguous_orientation .*set spec\.positives\.exifOrientation"):
        make(tmp_path / "out", positives_spec)
    store, positives = make(tmp_path / "few", positives_spec, download={"maxFailedPercent": 20})
    assert positives.outcomes == {"stored": 7, "ambiguous_orientation": 1}
    assert min(on_the_object(store, positives).values()) > 0.97
    (line,) = store.read(names.FAILED_POSITIVES).splitlines()
    assert b"EXIF" in line


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("drawn", ["Upright", "Ignore"])
def test_a_tiff_is_turned_only_if_its_boxes_were_drawn_on_the_turned_image(drawn, compression, tmp_path):
    """Pillow turns a TIFF while it loads it, whatever the boxes were drawn on."""
    sources = coco(tmp_path, [1] * 8)
    document = json.loads((tmp_path / "a.json").read_text())
    for number in range(8):
        image = Image.open(io.BytesIO(photo(number)))
        stored = image.transpose(TURNS[number + 1]) if drawn == "Upright" and number else image
        stored.save(tmp_path / f"{number}.tif", "TIFF", compression=compression, exif={0x0112: number + 1})
        document["images"][number]["file_name"] = f"{number}.tif"
    (tmp_path / "a.json").write_text(json.dumps(document))
    store, positives = make(tmp_path / "out", sources)
    found = on_the_object(store, positives)
    assert len(found) == 8
    assert min(found.values()) > 0.97
    assert positives.turned == (7 if drawn == "Upright" else 0)


def test_corners_where_a_size_is_expected_are_found_although_the_source_has_no_sizes(tmp_path):
    sources = coco(tmp_path, [1] * 8, width=None, height=None)
    make(tmp_path / "right", sources)
    document = json.loads((tmp_path / "a.json").read_text())
    for number, item in enumerate(document["annotations"]):
        item["bbox"] = rectangle(number)
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=r"of 8 boxes do not fit their image .*; 8 fit it as \[xmin, ymin, xmax, ymax\] in pixels"):
        make(tmp_path / "out", sources)


@pytest.mark.parametrize("source", [coco, yolo, tfrecords])
def test_the_user_can_say_that_boxes_were_drawn_on_upright_images(source, tmp_path):
    store, positives = make(tmp_path / "out", {**source(tmp_path, [*range(1, 9)]), "exifOrientation": "Upright"})
    found = on_the_object(store, positives)
    assert len(found) == 8
    assert min(found.values()) > 0.97


def test_the_size_of_voc_images_comes_from_the_files_where_it_is_missing(tmp_path):
    sources = voc(tmp_path, [1] * 8)
    for number, size in ((2, ""), (5, "<size><width>0</width><height>0</height></size>")):
        path = tmp_path / f"{number}.xml"
        path.write_text(path.read_text().replace(f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>", size))
    store, positives = make(tmp_path / "out", sources)
    assert positives.outcomes == {"stored": 8}
    assert min(on_the_object(store, positives).values()) > 0.97
    assert {record["image/width"][0] for stored in records(store, positives).values() for record in stored} == {WIDTH}


def test_one_broken_voc_file_is_listed_and_most_broken_are_refused_with_their_number(tmp_path):
    sources = voc(tmp_path, [1] * 8)
    (tmp_path / "3.xml").write_text("<annotation>")
    store, positives = make(tmp_path / "one", sources, download={"maxFailedPercent": 20})
    assert positives.outcomes == {"stored": 7, "invalid_annotation": 1}
    assert json.loads(store.read(names.FAILED_POSITIVES))["imageId"] == "3.xml"
    for number in range(5):
        (tmp_path / f"{number}.xml").write_text("<annotation>")
    with pytest.raises(
        InvalidInput, match=r"^spec\.positives\.voc\.annotations: 5 of 8 images cannot be used.*0\.xml' is not readable XML"
    ):
        make(tmp_path / "most", sources)


def test_a_box_that_turns_out_to_lie_outside_its_image_is_rejected_and_counted(tmp_path):
    sources = voc(tmp_path, [1] * 8, size="")
    path = tmp_path / "3.xml"
    extra = "<object><name>person</name><bndbox><xmin>120</xmin><ymin>9</ymin><xmax>150</xmax><ymax>30</ymax></bndbox></object>"
    path.write_text(path.read_text().replace("</annotation>", f"{extra}</annotation>"))
    store, positives = make(tmp_path / "out", sources, download={"maxFailedPercent": 20})
    assert positives.rejected_boxes == {"outside": 1}
    assert sum(positives.boxes.values()) == 8
    assert json.loads(store.read(names.REJECTED_BOXES))["given"] == "[119, 8, 150, 30]"
    with pytest.raises(
        InvalidInput, match=r"1 of 9 boxes cannot be used, spec\.download\.maxFailedPercent allows 5%: 1 times it lies outside"
    ):
        make(tmp_path / "strict", sources)


def test_yolo_gives_the_same_boxes_as_coco(tmp_path):
    (tmp_path / "coco").mkdir()
    from_coco = make(tmp_path / "a", coco(tmp_path / "coco", [1] * 8))
    from_yolo = make(tmp_path / "b", yolo(tmp_path, [1] * 8))
    sides = [f"image/object/bbox/{side}" for side in ("ymin", "xmin", "ymax", "xmax")]
    found = [
        {
            record["image/filename"][0].decode().rpartition("/")[2]: [record[side][0] for side in sides]
            for stored in records(*made).values()
            for record in stored
        }
        for made in (from_coco, from_yolo)
    ]
    assert len(found[0]) == 8
    for name, box in found[0].items():
        assert found[1][name] == pytest.approx(box, abs=1e-6)


@pytest.mark.parametrize("place", ["S3", "a web server"])
def test_a_yolo_dataset_is_found_without_a_disk_on(place, s3, tmp_path):
    yolo(tmp_path, [1] * 8)
    (tmp_path / "train" / "labels" / "7.txt").unlink()
    with web_server(tmp_path) as web:
        if place == "S3":
            store = Store(f"s3://{s3.bucket}/yolo")
            for path in tmp_path.rglob("*.*"):
                store.write(str(path.relative_to(tmp_path)), path.read_bytes())
        url = f"s3://{s3.bucket}/yolo" if place == "S3" else web
        store, positives = make(tmp_path / "out", {"yolo": {"data": f"{url}/data.yaml"}}, networks=("127.0.0.1/32",))
    assert positives.outcomes == {"stored": 7}
    assert positives.left_out == {"images_without_objects": 1}
    assert min(on_the_object(store, positives).values()) > 0.97


@contextlib.contextmanager
def web_server(folder):
    """Python's own server, which lists folders as pages."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): ...


def test_boxes_in_fractions_are_refused_once_with_their_number_and_one_by_one_if_the_check_is_off(tmp_path):
    sources = coco(tmp_path, [1] * 8)
    document = json.loads((tmp_path / "a.json").read_text())
    for item in document["annotations"]:
        item["bbox"] = [*(np.array(item["bbox"]) / [WIDTH, HEIGHT, WIDTH, HEIGHT])]
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InvalidInput, match=r"^spec\.positives\.coco\.annotations: 8 of 8 boxes are smaller than a pixel"):
        make(tmp_path / "out", sources)
    with pytest.raises(InvalidInput, match="8 of 8 boxes cannot be used"):
        make(tmp_path / "out", {**sources, "checkBoxUnit": False})


def test_crowds_on_everything_are_taken_as_objects_if_the_user_says_so(tmp_path):
    sources = coco(tmp_path, [1] * 8)
    text = (tmp_path / "a.json").read_text().replace('"category_id": 1', '"category_id": 1, "iscrowd": 1')
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InvalidInput, match="all 8 annotations of 'person' are marked iscrowd"):
        make(tmp_path / "out", sources)
    store, positives = make(tmp_path / "out", {**sources, "crowds": "Objects"})
    assert {tuple(record["image/object/is_crowd"]) for stored in records(store, positives).values() for record in stored} == {(0,)}
    files = [store.location(key) for keys in positives.files.values() for key in keys]
    later, copied = make(tmp_path / "copied", {"tfrecords": files, "crowds": "Objects"})
    assert copied.images == positives.images
    assert {tuple(record["image/object/is_crowd"]) for stored in records(later, copied).values() for record in stored} == {(0,)}
