"""The scores of a shard, with records that cannot be read."""

import io

import pytest

from negset_api.values import ScoredImage
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import write_record
from negset_jobs.mining import shard_scoring

KEY = "records/pool.tfrecord"


class Measurement:
    threshold = 0.5


class Trained:
    measurement = Measurement()


class Model:
    """Scores every image, except those whose bytes are `broken`."""

    def score(self, batch):
        return [ScoredImage(image_id=image_id, detections=(), unreadable=encoded == b"broken") for image_id, encoded in batch]


def record(image_id, encoded=b"fine"):
    return encode_example(
        encoded=encoded, image_format="jpeg", file_name="a.jpg", source_id=image_id, sha256="", height=1, width=1, boxes=(), label_ids={}
    )


@pytest.fixture
def scored(tmp_path, monkeypatch):
    stream = io.BytesIO()
    for payload in (
        record("1"),
        record("2", b"broken"),
        b"no example",
        *(record(str(index), b"broken") for index in range(3, 15)),
        record("15"),
    ):
        write_record(stream, payload)
    store = Store(str(tmp_path))
    store.write(KEY, stream.getvalue())
    monkeypatch.setattr(shard_scoring, "load_model", lambda *_: Model())
    return shard_scoring.ShardScorer(store, Trained(), ("person",))(KEY)


def test_records_that_cannot_be_read_are_passed_over_counted_and_named(scored):
    assert [image.image_id for image in scored.images] == ["1", "15"]
    assert scored.unreadable == 14
    assert len(scored.unreadable_examples) == shard_scoring.NAMED
    named = "; ".join(scored.unreadable_examples)
    assert f"{KEY}: record 2 (at byte" in named
    assert f"{KEY}: the image 2 cannot be decoded" in named
