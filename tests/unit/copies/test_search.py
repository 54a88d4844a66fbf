"""The search, compared with a comparison of every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from negset_jobs.copies import search
from negset_jobs.copies.search import MOST_DISTANCE, pairs

EVERY = 1000


def random_hashes(count, seed):
    return np.random.default_rng(seed).integers(0, 2**64, (count, 4), dtype=np.uint64)


def flipped(hashed, bits):
    changed = hashed.copy()
    for bit in bits:
        changed[bit // 64] ^= np.uint64(1 << (bit % 64))
    return changed


def every_pair(wanted, known, distance):
    """Compare every pair."""
    left, right = (np.unpackbits(each.view(np.uint8), axis=1).astype(bool) for each in (wanted, known))
    distances = (left[:, None] != right[None]).sum(axis=2)
    return {(int(row), int(other), int(distances[row, other])) for row, other in np.argwhere(distances <= distance)}


def found(wanted, known, *, distance=MOST_DISTANCE, most=EVERY):
    return [tuple(map(int, each)) for each in pairs(wanted, known, most=most, distance=distance).tolist()]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    changes=st.lists(st.sets(st.integers(0, 255), max_size=36), max_size=24),
    distance=st.integers(0, MOST_DISTANCE),
)
def test_every_pair_within_the_distance_is_found_and_no_other(seed, changes, distance):
    known = random_hashes(40, seed)
    wanted = np.concatenate([random_hashes(8, seed + 1), *(flipped(known[index], bits)[None] for index, bits in enumerate(changes))])
    assert set(found(wanted, known, distance=distance)) == every_pair(wanted, known, distance)


@pytest.mark.parametrize(
    ("bits", "expected"),
    [
        pytest.param([], True, id="the same hash is found"),
        pytest.param(
            [16 * band + bit for band in range(16) for bit in (0, 9)][:31], True, id="31 bits are found, two in each band but one"
        ),
        pytest.param(range(100, 131), True, id="31 bits in two bands are found"),
        pytest.param(range(100, 132), False, id="32 bits are not"),
    ],
)
def test_how_far_a_copy_may_be(bits, expected):
    known = random_hashes(3000, 1)
    assert bool(found(flipped(known[7], bits)[None], known)) == expected


def test_hashes_that_agree_in_a_band_in_a_mass_are_all_compared(monkeypatch):
    monkeypatch.setattr(search, "_AT_ONCE", 64)
    monkeypatch.setattr(search, "_HELD", 32)
    known = random_hashes(500, 2)
    known[:, 0] = known[0, 0]  # four bands are the same in all
    wanted = np.stack([flipped(known[index], [65, 130, 199]) for index in range(100)])
    assert set(found(wanted, known)) == {(index, index, 3) for index in range(100)}


def test_of_many_neighbours_the_nearest_few_are_kept():
    origin = random_hashes(1, 3)[0]
    known = np.stack([flipped(origin, range(bits)) for bits in range(20, 0, -1)])
    assert [distance for _, _, distance in found(origin[None], known, most=3)] == [1, 2, 3]


def test_nothing_is_found_in_nothing():
    none = np.empty((0, 4), np.uint64)
    assert found(none, random_hashes(5, 0)) == []
    assert found(random_hashes(5, 0), none) == []


def test_a_distance_that_the_bands_cannot_promise_is_refused():
    with pytest.raises(ValueError, match="distance: expected 0 to 31, got 32"):
        pairs(random_hashes(1, 0), random_hashes(1, 0), most=1, distance=32)
