"""TensorFlow and the Object Detection API read TFRecords that were written without them."""

from __future__ import annotations

import hashlib

import pytest
from tests.image_server import drawn_image, encoded, jpeg

from negset_api.spec import Download
from negset_api.values import Box, Outcome, PlannedImage, ShardPlan
from negset_jobs.adapters.access import Access
from negset_jobs.download.shard import ShardTask, run_shard
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import read_records

pytestmark = pytest.mark.tensorflow

LABELS = {"person": 1, "zebra": 90}
BOXES = (
    Box(ymin=0.125, xmin=0.25, ymax=0.5, xmax=1.0, class_name="zebra"),
    Box(ymin=0.0, xmin=0.0, ymax=0.75, xmax=0.5, class_name="person", crowd=True, difficult=True),
)
IMAGES = {
    "rgb.jpg": jpeg(1),
    "progressive.jpg": jpeg(2, progressive=True),
    "grey.jpg": jpeg(3, mode="L"),
    "cmyk.jpg": jpeg(4, mode="CMYK"),
    "padded.jpg": jpeg(5) + bytes(64),
    "rgb.png": encoded(drawn_image(6), "PNG"),
    "grey.png": encoded(drawn_image(7, mode="L"), "PNG"),
    "palette.png": encoded(drawn_image(8).quantize(), "PNG"),
    "bits.png": encoded(drawn_image(9, mode="1"), "PNG"),
    "alpha.png": encoded(drawn_image(10, mode="RGBA"), "PNG"),
    "lossy.webp": encoded(drawn_image(11), "WEBP"),
    "one.gif": encoded(drawn_image(12), "GIF"),
    "one.bmp": encoded(drawn_image(13), "BMP"),
}


@pytest.fixture(scope="module")
def decoder_class():
    from negset_jobs.training import compat  # noqa: F401  isort: skip
    from object_detection.data_decoders.tf_example_decoder import TfExampleDecoder

    return TfExampleDecoder


def shard(tmp_path, originals: dict[str, bytes], boxes=(), labels=None):
    images = []
    for number, (name, data) in enumerate(originals.items()):
        (tmp_path / name).write_bytes(data)
        images.append(PlannedImage(image_id=number, url=f"{tmp_path}/{name}", file_name=name, objects=boxes, width=64, height=48))
    plan = ShardPlan(name="train-00000-of-00001", split="train", images=tuple(images))
    task = ShardTask(
        store_url=f"{tmp_path}/out", folder="records", shard=plan, download=Download(), access=Access(), label_ids=labels or {}
    )
    result = run_shard(task)
    assert [image.outcome for image in result.results] == [Outcome.STORED] * len(originals)
    return f"{tmp_path}/out/{result.file}", result


@pytest.mark.parametrize(("boxes", "labels"), [((), None), (BOXES, LABELS)], ids=["negatives", "positives"])
def test_the_object_detection_api_decodes_every_kind_of_image(tmp_path, decoder_class, boxes, labels):
    import numpy as np
    import tensorflow as tf

    path, result = shard(tmp_path, IMAGES, boxes, labels)
    label_map = tmp_path / "label_map.pbtxt"
    label_map.write_text("".join(f'item {{ id: {number} name: "{name}" }}\n' for name, number in LABELS.items()))
    decoders = [decoder_class(), decoder_class(label_map_proto_file=str(label_map), use_display_name=False)]

    records = list(tf.data.TFRecordDataset(path))
    assert len(records) == len(IMAGES)
    for record, name, ended in zip(records, IMAGES, result.results, strict=True):
        for decoder in decoders:
            tensors = decoder.decode(record)
            assert tensors["image"].shape == (48, 64, 3), name
            assert tensors["image"].dtype == tf.uint8
            assert tensors["filename"].numpy() == name.encode()
            assert tensors["source_id"].numpy() == str(ended.image_id).encode()
            assert tensors["key"].numpy() == ended.sha256.encode()
            assert tensors["groundtruth_boxes"].shape == (len(boxes), 4)
            np.testing.assert_allclose(
                tensors["groundtruth_boxes"].numpy().reshape(-1, 4), [[b.ymin, b.xmin, b.ymax, b.xmax] for b in boxes] or np.empty((0, 4))
            )
            assert list(tensors["groundtruth_classes"].numpy()) == [LABELS[b.class_name] for b in boxes]
            assert list(tensors["groundtruth_is_crowd"].numpy()) == [b.crowd for b in boxes]
            assert list(tensors["groundtruth_difficult"].numpy()) == [b.difficult for b in boxes]


def test_pixels_are_the_images(tmp_path, decoder_class):
    import numpy as np
    import tensorflow as tf

    path, _ = shard(tmp_path, {name: IMAGES[name] for name in ("rgb.png", "one.bmp", "palette.png")})
    decoded = [decoder_class().decode(record)["image"].numpy() for record in tf.data.TFRecordDataset(path)]
    for pixels, original in zip(decoded, (drawn_image(6), drawn_image(13), drawn_image(8).quantize().convert("RGB")), strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(original))


def test_real_images_are_stored_as_they_are(tmp_path, decoder_class, coco_mini):
    import tensorflow as tf

    originals = {path.name: path.read_bytes() for path in sorted((coco_mini / "train2017").iterdir())}
    images = tuple(
        PlannedImage(image_id=int(name[:-4]), url=f"{coco_mini}/train2017/{name}", file_name=name, width=0, height=0) for name in originals
    )
    plan = ShardPlan(name="train-00000-of-00001", split="train", images=images)
    task = ShardTask(
        store_url=f"{tmp_path}/out", folder="records", shard=plan, download=Download(verify="Decode"), access=Access(), label_ids={}
    )
    result = run_shard(task)
    decoder = decoder_class()
    records = list(tf.data.TFRecordDataset(f"{tmp_path}/out/{result.file}"))
    assert len(records) == len(originals)
    for record, data, ended in zip(records, originals.values(), result.results, strict=True):
        tensors = decoder.decode(record)
        assert tensors["key"].numpy().decode() == hashlib.sha256(data).hexdigest()
        assert tensors["image"].shape == (ended.height, ended.width, 3)


def test_what_tensorflow_writes_is_read_without_it(tmp_path):
    import tensorflow as tf

    feature = tf.train.Feature
    example = tf.train.Example(
        features=tf.train.Features(
            feature={
                "bytes": feature(bytes_list=tf.train.BytesList(value=[b"a", b"", b"c" * 300])),
                "floats": feature(float_list=tf.train.FloatList(value=[0.5, -1.5])),
                "integers": feature(int64_list=tf.train.Int64List(value=[-1, 0, 2**40])),
                "empty": feature(int64_list=tf.train.Int64List()),
                "unset": tf.train.Feature(),
            }
        )
    )
    with tf.io.TFRecordWriter(f"{tmp_path}/a.tfrecord") as writer:
        for _ in range(3):
            writer.write(example.SerializeToString())
    with open(f"{tmp_path}/a.tfrecord", "rb") as stream:
        payloads = [payload for _, payload in read_records(stream)]
    assert [decode_example(payload) for payload in payloads] == [
        {"bytes": [b"a", b"", b"c" * 300], "floats": [0.5, -1.5], "integers": [-1, 0, 2**40], "empty": [], "unset": []}
    ] * 3
