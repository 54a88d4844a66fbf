"""The table with the outcome of every planned image."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from negset_api.values import ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.download.manifest import encode_manifest, most_copied, with_near_copies

IDS = {
    "numbers": ((1, 2**40), [1, 2**40], "int64"),
    "text": (("a1", "b2"), ["a1", "b2"], "string"),
    "both": ((1, "b2"), ["1", "b2"], "string"),
}


@pytest.mark.parametrize(("ids", "stored", "kind"), IDS.values(), ids=IDS)
def test_ids_are_stored_as_numbers_and_as_text_where_any_is_text(ids, stored, kind):
    images = tuple(PlannedImage(image_id=number, url="u", file_name="f") for number in ids)
    results = tuple(ImageResult(image_id=number, outcome=Outcome.STORED) for number in ids)
    shard = ShardPlan(name="s", split="train", images=images)
    ended = ShardResult(name="s", split="train", input_digest="", file="f", sha256="", bytes=0, results=results)
    table = pq.read_table(io.BytesIO(encode_manifest([shard], [ended])))
    assert table["image_id"].to_pylist() == stored
    assert str(table["image_id"].type) == kind


def shard(split, ended):
    """Return a shard whose images, by id, have these digests; an image without one failed."""
    images = tuple(PlannedImage(image_id=number, url=f"http://h.test/{number}", file_name=f"{number}.jpg") for number in ended)
    results = tuple(
        ImageResult(image_id=number, outcome=Outcome.STORED if sha256 else Outcome.NOT_FOUND, sha256=sha256)
        for number, sha256 in ended.items()
    )
    result = ShardResult(name=split, split=split, input_digest="", file=f"{split}.tfrecord", sha256="", bytes=0, results=results)
    return ShardPlan(name=split, split=split, images=images), result


def test_images_with_the_same_bytes_name_the_first_of_them_in_any_split():
    plans, results = zip(shard("train", {1: "aa", 2: "bb", 3: "", 4: ""}), shard("heldout", {5: "bb", 6: "cc", 7: "bb"}), strict=True)
    rows = pq.read_table(io.BytesIO(encode_manifest(plans, results))).to_pylist()
    assert [(row["image_id"], row["copy_of"]) for row in rows] == [(1, None), (2, None), (3, None), (4, None), (5, 2), (6, None), (7, 2)]


def test_the_image_that_a_server_sends_for_all_that_it_lost_is_named_with_its_number():
    plans, results = zip(shard("train", {1: "aa", 2: "bb", 3: "", 4: ""}), shard("heldout", {5: "bb", 6: "cc", 7: "bb"}), strict=True)
    assert most_copied(plans, results) == (2, 3)


def test_an_image_that_was_published_twice_and_failed_images_are_not_suspicious():
    plans, results = zip(shard("train", {1: "aa", 2: "aa", 3: "", 4: "", 5: ""}), strict=True)
    assert most_copied(plans, results) is None


def test_ids_of_images_and_licences_may_be_large():
    image = PlannedImage(image_id=2**53, url="s3://b/cam1::1.jpg", file_name="cam1::1.jpg", license=2**33)
    planned = ShardPlan(name="train-00000-of-00001", split="train", images=(image,))
    ended = ImageResult(image_id=image.image_id, outcome=Outcome.NOT_FOUND)
    result = ShardResult(name=planned.name, split="train", input_digest="", file="", sha256="", bytes=0, results=(ended,))
    (row,) = pq.read_table(io.BytesIO(encode_manifest([planned], [result]))).to_pylist()
    assert (row["image_id"], row["license"], row["url"]) == (2**53, 2**33, "s3://b/cam1::1.jpg")


def rows(manifest):
    return [
        tuple(row[name] for name in ("image_id", "near_copy_of", "near_copy_kind"))
        for row in pq.read_table(io.BytesIO(manifest)).to_pylist()
    ]


@pytest.mark.parametrize("ids", [(1, 2**40), ("a1", "b2")], ids=["numbers", "text"])
def test_near_copies_are_the_last_columns_and_may_be_written_again(ids):
    plan, result = shard("train", dict.fromkeys(ids, "aa"))
    before = encode_manifest([plan], [result])
    assert rows(before) == [(ids[0], None, None), (ids[1], None, None)]
    near = {str(ids[1]): ("object-7", "positive")}
    after = with_near_copies(before, near)
    assert rows(after) == [(ids[0], None, None), (ids[1], "object-7", "positive")]
    one, other = (pq.read_table(io.BytesIO(data)) for data in (before, after))
    assert one.schema == other.schema
    assert one.column_names[-2:] == ["near_copy_of", "near_copy_kind"]
    assert one.drop_columns(one.column_names[-2:]) == other.drop_columns(one.column_names[-2:])
    assert with_near_copies(after, near) == after, "the same inputs give the same bytes"
    assert with_near_copies(after, {}) == before, "pairs that are no longer found are forgotten"


def test_the_manifest_of_an_earlier_version_gets_the_columns():
    plan, result = shard("train", {1: "aa", 2: "bb"})
    manifest = encode_manifest([plan], [result])
    stream = pa.BufferOutputStream()
    pq.write_table(pq.read_table(io.BytesIO(manifest)).drop_columns(["near_copy_of", "near_copy_kind"]), stream, compression="zstd")
    near = {"2": ("1", "negative")}
    assert with_near_copies(stream.getvalue().to_pybytes(), near) == with_near_copies(manifest, near)
