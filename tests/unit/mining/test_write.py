"""The files that the next round reads, on a store in a local folder."""

import io

import pytest
from tests.reading import as_image

from negset_api.values import Detection, ScoredImage
from negset_jobs.adapters.store import Store
from negset_jobs.formats.tf_example import encode_example
from negset_jobs.formats.tfrecord import read_records, write_record
from negset_jobs.mining.decide import Rules, decide
from negset_jobs.mining.shard_scoring import trim
from negset_jobs.mining.stage import by_shard
from negset_jobs.mining.tables import score_table
from negset_jobs.mining.write import MOST_FILES, ids_in, write_added, write_without


def record(name):
    return encode_example(
        encoded=f"image {name}".encode(),
        image_format="jpeg",
        file_name=f"{name}.jpg",
        source_id=name,
        sha256="0" * 64,
        height=10,
        width=10,
        boxes=(),
        label_ids={},
    )


def shard(store, key, names):
    stream = io.BytesIO()
    for name in names:
        write_record(stream, record(name))
    store.write(key, stream.getvalue())


def ids(store, key):
    with store.reading(key) as stream:
        return [as_image(payload)[0] for _, payload in read_records(stream)]


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path))
    shard(store, "records/train-00000-of-00002.aaaaaaaa.tfrecord", "abcd")
    shard(store, "records/train-00001-of-00002.bbbbbbbb.tfrecord", "efg")
    return store


FIRST, SECOND = "records/train-00000-of-00002.aaaaaaaa.tfrecord", "records/train-00001-of-00002.bbbbbbbb.tfrecord"


def test_hard_records_are_copied_byte_for_byte_into_as_many_files_as_shards(store):
    keys = write_added(store, {FIRST: {"d", "a"}, SECOND: {"f"}}, folder="training/round-1/hard", at_least=1)
    assert [ids(store, key) for key in keys] == [["a", "f"], ["d"]]
    expected = io.BytesIO()
    write_record(expected, record("d"))
    assert store.read(keys[1]) == expected.getvalue()
    assert keys[0].startswith("training/round-1/hard/hard-00000-of-00002.")


@pytest.mark.parametrize(
    ("wanted", "at_least", "files"),
    [
        pytest.param({}, 1, 0, id="nothing wanted gives no file"),
        pytest.param({FIRST: {"a", "b"}}, 1, 1, id="one shard gives one file"),
        pytest.param({FIRST: {"a", "b"}}, 2, 2, id="two workers get a file each"),
        pytest.param({FIRST: {"a"}}, 4, 1, id="never more files than images"),
    ],
)
def test_number_of_hard_files(store, wanted, at_least, files):
    assert len(write_added(store, wanted, folder="training/round-1/hard", at_least=at_least)) == files
    assert MOST_FILES > 4


def test_without_review_the_shards_are_named_where_they_are_and_nothing_is_written(store):
    before = store.keys()
    assert write_without(store, [FIRST, SECOND], {}, folder="negatives") == (FIRST, SECOND)
    assert store.keys() == before


def test_only_a_shard_with_an_image_under_review_is_written_again(store):
    first, second = write_without(store, [FIRST, SECOND], {SECOND: {"f"}}, folder="negatives")
    assert first == FIRST
    assert second.startswith("negatives/train-00001-of-00002.")
    assert ids(store, second) == ["e", "g"]
    assert ids(store, SECOND) == ["e", "f", "g"]


def test_a_shard_of_which_nothing_is_left_is_left_out(store):
    assert write_without(store, [FIRST, SECOND], {SECOND: {"e", "f", "g"}}, folder="negatives") == (FIRST,)
    assert store.keys("negatives") == []


def test_writing_twice_gives_the_same_keys(store):
    wanted = {FIRST: {"a", "c"}, SECOND: {"g"}}
    assert write_added(store, wanted, folder="training/round-1/hard", at_least=2) == write_added(
        store, wanted, folder="training/round-1/hard", at_least=2
    )


def scored(name, *scores):
    return ScoredImage(
        image_id=name, detections=tuple(Detection(ymin=0, xmin=0, ymax=1, xmax=1, score=score, class_name="disc") for score in scores)
    )


def test_images_are_grouped_by_the_shard_that_holds_them():
    held = {"one": (scored("a", 0.5), scored("b", 0.5)), "two": (scored("c", 0.5),), "three": (scored("d", 0.5),)}
    assert by_shard(held, ["c", "a"]) == {"one": {"a"}, "two": {"c"}}


def test_trimming_keeps_the_best_detection_and_those_that_reach_the_threshold():
    assert [found.score for found in trim(scored("a", 0.4, 0.3), 0.5).detections] == [0.4]
    assert [found.score for found in trim(scored("a", 0.9, 0.5, 0.3), 0.5).detections] == [0.9, 0.5]
    assert trim(scored("a"), 0.5).detections == ()


def test_the_table_has_a_row_per_image_and_the_same_bytes_each_time():
    from pyarrow import parquet

    pool, trained_on = [scored("quiet", 0.1), scored("none"), scored("hard", 0.7)], [scored("sure", 0.95, 0.6, 0.2)]
    decision = decide(pool, trained_on, Rules(threshold=0.5, hard_percent=33, review_above_percent=90))
    data = score_table(pool, trained_on, decision, 0.5)
    assert data == score_table(pool[::-1], trained_on, decision, 0.5)
    none = {"fooled": False, "trained_on": False, "hard": False, "review": False}
    assert parquet.read_table(io.BytesIO(data)).to_pylist() == [
        {"image_id": "sure", "score": 0.95, "detections": 2, **none, "fooled": True, "trained_on": True, "review": True},
        {"image_id": "hard", "score": 0.7, "detections": 1, **none, "fooled": True, "hard": True},
        {"image_id": "quiet", "score": 0.1, "detections": 0, **none},
        {"image_id": "none", "score": 0.0, "detections": 0, **none},
    ]


def test_what_was_written_is_known_by_its_ids(store):
    keys = write_added(store, {FIRST: {"a", "c"}, SECOND: {"g"}}, folder="training/round-1/random", at_least=2)
    assert ids_in(store, keys) == {"a", "c", "g"}
    assert keys[0].startswith("training/round-1/random/random-00000-of-00002.")
    assert ids_in(store, ()) == frozenset()
