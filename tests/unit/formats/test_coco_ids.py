"""Ids as 64-bit keys."""

import numpy as np
import pytest

from negset_jobs.formats.coco_ids import by_digits, key_of, keys_of, matched


def test_the_key_of_a_number_is_the_number_and_of_text_the_same_everywhere():
    assert [key_of(number) for number in (7, -7, 2**62)] == [7, -7, 2**62]
    assert key_of("seq0001_d") == 7348950882838521050


def test_keys_of_text_are_spread_over_63_bits():
    keys = keys_of(f"frame {number}" for number in range(1000))
    assert keys.min() >= 0
    assert np.unique(keys).size == 1000
    assert 400 < int((keys >= 2**62).sum()) < 600


def test_one_long_id_does_not_make_all_the_others_long():
    assert keys_of(["x" * 10_000_000, *range(1000)]).nbytes == 8 * 1001


def test_digits_name_an_id_unless_two_ids_share_them():
    assert by_digits([7, "0008", "x", "9", "009"]) == {7: 7, 8: key_of("0008")}


def test_only_unknown_keys_are_matched():
    keys = np.array([1, key_of("0002"), key_of("dog"), 5], np.int64)
    texts = {key_of("0002"): "0002", key_of("dog"): "dog"}
    assert matched(keys, texts, [1, 2, 3], {"dog": 3}).tolist() == [1, 2, 3, 5]


SPELT = {
    "an id in another case": ("6FA459EA", 2),
    "a name in another case": ("Cam/Front 7.JPG", 3),
    "a name without its ending": ("cam/front 7", 3),
    "a name with the separators of Windows": ("cam\\front 7.jpg", 3),
    "what two names have in common": ("b", None),
}


@pytest.mark.parametrize(("written", "meant"), SPELT.values(), ids=SPELT)
def test_an_id_in_another_spelling_is_meant_if_only_one_has_it(written, meant):
    known, names = ["x", "6fa459ea", 3, 4, 5], {"cam/front 7.jpg": 3, "b.jpg": 4, "B.png": 5}
    expected = {2: key_of("6fa459ea"), None: key_of(written)}.get(meant, meant)
    assert matched(np.array([key_of(written)], np.int64), {key_of(written): written}, known, names).tolist() == [expected]
