"""The pairs of copies that a report shows."""

from negset_jobs.copies.find import Image, Pair
from negset_jobs.reporting.copied import shown_pairs


def pair(one, other, *, exact=False, distance=0, held_out=True):
    return Pair(
        image=Image(image_id=one, positive=one.startswith("p"), records=""),
        other=Image(image_id=other, positive=other.startswith("p"), records=""),
        exact=exact,
        distance=distance,
        held_out=held_out,
    )


def test_the_negatives_that_resemble_a_positive_most_are_shown_once_each():
    pairs = [
        pair("1", "2"),
        pair("3", "p1", held_out=False, distance=20),
        pair("4", "p1", held_out=False, distance=2),
        pair("4", "p2", held_out=False, distance=4),
        pair("p3", "5", distance=8),
    ]
    assert [(each.image.image_id, each.other.image_id) for each in shown_pairs(pairs)] == [
        ("1", "2"),
        ("p3", "5"),
        ("4", "p1"),
        ("3", "p1"),
    ]


def test_one_pair_of_each_held_out_image_is_shown_near_ones_first():
    pairs = [pair("a", "1", exact=True), pair("b", "2", exact=False), pair("b", "3", exact=False), pair("c", "4", exact=True)]
    assert [(each.image.image_id, each.other.image_id) for each in shown_pairs(pairs)] == [("b", "2"), ("a", "1"), ("c", "4")]
