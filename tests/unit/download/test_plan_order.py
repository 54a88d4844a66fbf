"""Images that finish in any order, and wait in memory or on disk, give the same file."""

from __future__ import annotations

import io
import random

import pytest

from negset_api.values import ImageResult, Outcome
from negset_jobs.download.plan_order import PlanOrder, Record, RecordWriter, in_plan_order


def record(index: int) -> Record:
    """Return the record of an image; every seventh failed."""
    if index % 7 == 0:
        return Record(b"", ImageResult(image_id=index, outcome=Outcome.NOT_FOUND))
    return Record(f"payload {index}".encode() * (index + 1), ImageResult(image_id=index, outcome=Outcome.STORED))


def written(indexes: list[int], *, spilled: frozenset[int] = frozenset()) -> tuple[bytes, list[ImageResult], int]:
    """Return the file, the results and the most images that waited in memory."""
    stream, most = io.BytesIO(), 0
    order = PlanOrder(RecordWriter(stream), io.BytesIO())
    for index in indexes:
        order.add(index, record(index))
        if index in spilled:
            order.spill()
        most = max(most, order.in_memory)
    assert order.in_memory == 0
    return stream.getvalue(), order.results, most


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_arrival_and_the_disk_change_nothing(seed):
    draw = random.Random(seed)
    indexes = list(range(60))
    expected = written(indexes)
    draw.shuffle(indexes)
    file, results, _ = written(indexes, spilled=frozenset(draw.sample(range(60), 20)))
    assert (file, results) == expected[:2]
    assert [result.image_id for result in results] == list(range(60))


def test_images_behind_one_that_waits_for_its_host_are_not_in_memory():
    last_first = [*range(1, 60), 0]
    assert written(last_first)[2] == 59 - len(range(7, 60, 7))
    assert written(last_first, spilled=frozenset(range(60)))[2] == 0


def test_no_temporary_file_is_left(tmp_path):
    with in_plan_order(str(tmp_path / "file"), str(tmp_path)) as (writer, order):
        order.add(1, record(1))
        order.spill()
        order.add(0, record(0))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").stat().st_size == writer.size > 0
