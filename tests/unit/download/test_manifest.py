"""manifest.parquet."""

import io

import pyarrow.parquet as pq
import pytest

from negset_api.values import ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.download.manifest import encode_manifest

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
