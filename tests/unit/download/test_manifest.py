"""manifest.parquet holds what annotations may say."""

from __future__ import annotations

import io

import pyarrow.parquet

from negset_api.values import ImageResult, Outcome, PlannedImage, ShardPlan, ShardResult
from negset_jobs.download.manifest import encode_manifest


def test_ids_of_images_and_licences_may_be_large():
    image = PlannedImage(image_id=2**53, url="s3://b/cam1::1.jpg", file_name="cam1::1.jpg", license=2**33)
    shard = ShardPlan(name="train-00000-of-00001", split="train", images=(image,))
    ended = ImageResult(image_id=image.image_id, outcome=Outcome.NOT_FOUND)
    result = ShardResult(name=shard.name, split="train", input_digest="", file="", sha256="", bytes=0, results=(ended,))
    (row,) = pyarrow.parquet.read_table(io.BytesIO(encode_manifest([shard], [result]))).to_pylist()
    assert (row["image_id"], row["license"], row["url"]) == (2**53, 2**33, "s3://b/cam1::1.jpg")
