"""Ids as 64-bit keys."""

import numpy as np

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
