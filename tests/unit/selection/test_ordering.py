from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from negset_jobs.selection import ordering


def test_the_hash_is_splitmix64():
    """The first outputs of the generator for the seed 1234567, as published.

    Source: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64.
    """
    states = [(1234567 + step * 0x9E3779B97F4A7C15) % 2**64 for step in (1, 2, 3, 4, 5)]
    assert ordering.mix(np.array(states, np.uint64)).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_distinct_ids_have_distinct_keys_and_purposes_and_seeds_are_independent():
    ids = np.arange(-5000, 5000, dtype=np.int64)
    found = [ordering.keys(ids, seed=seed, purpose=purpose) for seed, purpose in ((0, "draw"), (1, "draw"), (0, "held-out"))]
    assert all(len(set(keys.tolist())) == ids.size for keys in found)
    # Half of the keys of one purpose are below the median; of those, half are below it for another
    # purpose, too.
    below = [keys < np.uint64(2**63) for keys in found]
    assert all(0.45 < (below[0] & other).sum() / below[0].sum() < 0.55 for other in below[1:])


annotations = st.lists(st.tuples(st.integers(0, 9), st.integers(-3, 6)), max_size=40)


@given(shown=annotations)
def test_the_stratum_is_the_class_that_the_fewest_candidates_show(shown):
    positions, categories = (np.array([pair[index] for pair in shown], np.int64) for index in range(2))
    strata = ordering.rarest_classes(10, positions, categories)
    frequency = {category: len({position for position, other in shown if other == category}) for _, category in shown}
    for candidate in range(10):
        classes = {category for position, category in shown if position == candidate}
        expected = min(classes, key=lambda category: (frequency[category], category)) if classes else ordering.UNANNOTATED
        assert strata[candidate] == expected


@given(strata=st.lists(st.integers(-1, 4), max_size=60), seed=st.integers(0, 99))
def test_turns_go_round_the_strata(strata, seed):
    hashes = ordering.keys(np.arange(len(strata), dtype=np.int64), seed=seed, purpose="draw")
    drawn = ordering.stratified(hashes, np.array(strata, np.int64))
    assert sorted(drawn.order.tolist()) == list(range(len(strata)))
    expected = {}
    for stratum in set(strata):
        members = sorted((place for place, other in enumerate(strata) if other == stratum), key=lambda place: int(hashes[place]))
        expected.update({place: rank for rank, place in enumerate(members)})
    assert drawn.ranks.tolist() == [expected[place] for place in range(len(strata))]
    assert drawn.order.tolist() == sorted(range(len(strata)), key=lambda place: (expected[place], int(hashes[place])))
