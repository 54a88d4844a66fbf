"""Label datasets from stored records, on a disk and on S3."""

import io
import json
import pathlib

import pytest
from PIL import Image
from tests.negatives import STORED, dataset, stored
from tests.progress import Silent
from tests.s3_server import s3_server

from negset_api import names
from negset_api.errors import WorkFailed
from negset_api.values import Labels, decode
from negset_jobs.adapters import work
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.labels.stage import labels_stage

ALL = ("TFRecord", "YOLO", "COCO", "VOC")
IMAGE_FOLDERS = {"YOLO": "labels/yolo/images", "COCO": "labels/coco/images", "VOC": "labels/voc/JPEGImages"}


@pytest.fixture(scope="module")
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def workers(s3):
    """Workers, started after the S3 server.

    They have the environment, and so the credentials, that the process had when they started.
    """
    with work.session(2):
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The store, the records and the labels of the small dataset in every format."""
    folder = tmp_path_factory.mktemp("labels")
    wanted = dataset(folder, formats=ALL)
    store, plan, records = stored(wanted, f"{folder}/revision")
    return store, records, labels_stage(store, wanted, plan, records, Silent())


def encoded(store, records):
    """The stored images' bytes."""
    for keys in records.files.values():
        for key in keys:
            with store.reading(key) as stream:
                yield from (decode_example(payload)["image/encoded"][0] for _, payload in read_records(stream))


def test_the_value_says_where_each_dataset_is(made):
    store, records, labels = made
    assert labels.folders == {"YOLO": "labels/yolo", "COCO": "labels/coco", "VOC": "labels/voc"}
    assert labels.images == records.stored == STORED
    assert decode(store.read(names.LABELS), Labels) == labels


@pytest.mark.parametrize("name", IMAGE_FOLDERS)
def test_every_stored_image_is_there_once_as_it_was_stored(made, name):
    store, records, _ = made
    image_files = [store.read(key) for key in store.keys(IMAGE_FOLDERS[name])]
    assert sorted(image_files) == sorted(encoded(store, records))


@pytest.mark.parametrize("name", IMAGE_FOLDERS)
def test_a_name_ends_in_what_the_image_is(made, name):
    store, _, _ = made
    kinds = {".jpg": "JPEG", ".png": "PNG"}
    for key in store.keys(IMAGE_FOLDERS[name]):
        assert Image.open(io.BytesIO(store.read(key))).format == kinds[pathlib.PurePosixPath(key).suffix]


def test_images_of_one_name_in_two_folders_are_both_there(made):
    store, _, _ = made
    stems = [pathlib.PurePosixPath(key).stem for key in store.keys("labels/voc/JPEGImages")]
    assert {"street_001", "field_001", "a_b_c"} <= set(stems)
    assert "gone" not in stems


def test_another_run_writes_the_same_bytes(made, tmp_path):
    store, _, _ = made
    wanted = dataset(tmp_path, formats=ALL)
    again, plan, records = stored(wanted, f"{tmp_path}/revision")
    labels_stage(again, wanted, plan, records, Silent())
    keys = store.keys("labels")
    assert again.keys("labels") == keys
    # Only the files with an image's source differ: it was made in another folder.
    for key in (key for key in keys if not key.endswith((".json", ".xml"))):
        assert again.read(key) == store.read(key)
    repeated = labels_stage(again, wanted, plan, records, Silent())
    assert repeated == decode(again.read(names.LABELS), Labels)


def test_only_the_requested_formats_are_written(tmp_path):
    wanted = dataset(tmp_path, formats=("TFRecord", "COCO"), held_out=False)
    store, plan, records = stored(wanted, f"{tmp_path}/revision")
    labels = labels_stage(store, wanted, plan, records, Silent())
    assert labels.folders == {"COCO": "labels/coco"}
    assert {key.split("/")[1] for key in store.keys("labels")} == {"coco"}
    (listing,) = store.keys("labels/coco/annotations")
    assert len(json.loads(store.read(listing))["images"]) == STORED


def test_there_is_no_marker_where_a_file_could_not_be_written(tmp_path):
    wanted = dataset(tmp_path, formats=("YOLO",), held_out=False)
    store, plan, records = stored(wanted, f"{tmp_path}/revision")
    store.write("labels/yolo/labels", b"a file where a folder has to be")
    with pytest.raises(WorkFailed, match=r"^cannot write .*labels/yolo/labels/train/.*\.txt: "):
        labels_stage(store, wanted, plan, records, Silent())
    assert not store.exists(names.LABELS)


def test_a_damaged_record_is_named_and_nothing_is_taken_for_done(tmp_path):
    wanted = dataset(tmp_path, formats=("YOLO",), held_out=False)
    store, plan, records = stored(wanted, f"{tmp_path}/revision")
    ((key,),) = records.files.values()
    data = bytearray(store.read(key))
    data[len(data) // 2] ^= 1
    store.write(key, bytes(data))
    with pytest.raises(WorkFailed, match="does not match its checksum"):
        labels_stage(store, wanted, plan, records, Silent())
    assert not store.exists(names.LABELS)


@pytest.mark.parametrize("name", IMAGE_FOLDERS)
def test_an_image_that_cannot_be_read_ends_nothing_and_is_named_and_counted(tmp_path, name):
    wanted = dataset(tmp_path, formats=(name,), held_out=False)
    store, plan, records = stored(wanted, f"{tmp_path}/revision")
    ((key,),) = records.files.values()
    with store.reading(key) as stream:
        payloads = [payload for _, payload in read_records(stream)]
    damaged = io.BytesIO()
    for index, payload in enumerate(payloads):
        image = decode_example(payload)["image/encoded"][0]
        start = image.index(b"\xff\xda")  # the scan
        write_record(damaged, payload if index else payload.replace(image, image[:start] + b"\xff\x4e" + image[start + 2 :]))
    store.write(key, damaged.getvalue())
    labels = labels_stage(store, wanted, plan, records, Silent())
    broken = decode_example(payloads[0])["image/source_id"][0].decode()
    assert (labels.images, labels.unreadable) == (STORED - 1, 1)
    assert labels.unreadable_examples == (f"{key}: the image {broken}: a JPEG with an unknown marker",)
    assert len([path for path in store.keys(IMAGE_FOLDERS[name]) if path.endswith((".jpg", ".png"))]) == STORED - 1


def test_on_s3_the_same_objects_are_written(made, s3, tmp_path):
    local, _, _ = made
    wanted = dataset(tmp_path, formats=ALL)
    store, plan, records = stored(wanted, f"s3://{s3.bucket}/revision")
    labels = labels_stage(store, wanted, plan, records, Silent())
    assert labels.images == STORED
    assert store.keys("labels") == local.keys("labels")
    for key in (key for key in store.keys("labels") if not key.endswith((".json", ".xml"))):
        assert store.read(key) == local.read(key)
