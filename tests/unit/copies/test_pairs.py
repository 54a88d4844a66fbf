"""What the pairs of copies say, in their table and in the manifest."""

import io

import pyarrow as pa
import pytest
from pyarrow import parquet

from negset_jobs.copies.find import Image, Pair, copied, counts, like_positives, near_copies
from negset_jobs.copies.tables import decode_pairs, encode_pairs


def image(name):
    """`n1` is a negative, `p1` a positive."""
    return Image(image_id=name, positive=name.startswith("p"), records=f"{name}.tfrecord")


def pair(one, other, *, held_out=True, exact=False, distance=2):
    return Pair(image=image(one), other=image(other), exact=exact, distance=0 if exact else distance, held_out=held_out)


NAMED = {
    "a held-out negative names the negative that trains, which names nothing": ([pair("n1", "n2")], {"n1": "n2"}),
    "a negative that trains names a positive that trains": ([pair("n1", "p1", held_out=False)], {"n1": "p1"}),
    "a negative that trains names a held-out positive": ([pair("p1", "n1")], {"n1": "p1"}),
    "a held-out negative names a positive that trains": ([pair("n1", "p1")], {"n1": "p1"}),
    "a positive goes before a negative": ([pair("n1", "n2"), pair("n1", "p1", held_out=False)], {"n1": "p1"}),
    "a positive goes before a negative that is found later": ([pair("n1", "p1"), pair("n1", "n2")], {"n1": "p1"}),
    "the first of two goes before the second": (
        [pair("n1", "p1"), pair("n1", "p2"), pair("n2", "n3"), pair("n2", "n4")],
        {"n1": "p1", "n2": "n3"},
    ),
    "the same bytes are no near copy of a negative": ([pair("n1", "n2", exact=True)], {}),
    "the same bytes as those of a positive are named": ([pair("n1", "p1", held_out=False, exact=True)], {"n1": "p1"}),
}


@pytest.mark.parametrize(("pairs", "expected"), NAMED.values(), ids=NAMED)
def test_a_near_copy_names(pairs, expected):
    assert {negative: other.image_id for negative, other in near_copies(pairs).items()} == expected
    assert all(other.kind == ("positive" if other.image_id.startswith("p") else "negative") for other in near_copies(pairs).values())


def test_a_negative_that_is_not_held_out_excludes_nothing_and_is_counted_once():
    pairs = [pair("n1", "p1", held_out=False), pair("n1", "p2", held_out=False), pair("n2", "p1"), pair("p3", "n3"), pair("p4", "n3")]
    assert like_positives(pairs) == 3
    assert (copied(pairs, positive=False), copied(pairs, positive=True)) == (("n2",), ("p3", "p4"))
    assert (counts(pairs).near_negatives, counts(pairs).near_positives) == (1, 2)


def test_the_table_has_every_pair_and_names_no_other_image_held_out():
    pairs = [pair("n1", "n2", exact=True), pair("n1", "p1"), pair("p2", "n3", distance=14), pair("n4", "p2", held_out=False, distance=30)]
    data = encode_pairs(pairs)
    assert decode_pairs(data) == pairs
    rows = parquet.read_table(io.BytesIO(data)).to_pylist()
    assert [(row["held_out_id"], row["other_id"], row["negative_id"]) for row in rows] == [
        ("n1", "n2", None),
        ("n1", "p1", "n1"),
        ("p2", "n3", "n3"),
        (None, "p2", "n4"),
    ]
    assert [row["negative_records"] for row in rows] == [None, "n1.tfrecord", "n3.tfrecord", "n4.tfrecord"]


def test_a_table_of_an_earlier_version_is_read():
    pairs = [pair("n1", "n2"), pair("p2", "n3")]
    earlier = parquet.read_table(io.BytesIO(encode_pairs(pairs))).drop_columns(["negative_id", "negative_records"])
    stream = pa.BufferOutputStream()
    parquet.write_table(earlier, stream)
    assert decode_pairs(stream.getvalue().to_pybytes()) == pairs
