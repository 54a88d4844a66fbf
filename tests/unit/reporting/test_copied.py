"""The pairs of copies that a report shows."""

from negset_jobs.copies.find import Image, Pair
from negset_jobs.reporting.copied import shown_pairs


def test_one_pair_of_each_held_out_image_is_shown_near_ones_first():
    def pair(held_out, other, *, exact):
        return Pair(
            held_out=Image(image_id=held_out, positive=False, records=""),
            other=Image(image_id=other, positive=False, records=""),
            exact=exact,
            distance=0,
        )

    pairs = [pair("a", "1", exact=True), pair("b", "2", exact=False), pair("b", "3", exact=False), pair("c", "4", exact=True)]
    assert [(each.held_out.image_id, each.other.image_id) for each in shown_pairs(pairs)] == [("b", "2"), ("a", "1"), ("c", "4")]
