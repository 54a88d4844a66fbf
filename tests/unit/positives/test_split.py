"""Which positives are held out."""

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.positives.split import held_out

KEYS = [f"{number:012d}" for number in range(100)]

SIZES = {
    "a fifth of a hundred": (100, 20, 20),
    "rounded to the nearest": (7, 20, 1),
    "never none": (10, 1, 1),
    "never all": (2, 90, 1),
    "one of two": (2, 1, 1),
}


@pytest.mark.parametrize(("count", "percent", "expected"), SIZES.values(), ids=SIZES)
def test_how_many_are_held_out(count, percent, expected):
    assert len(held_out(KEYS[:count], percent=percent, seed=0)) == expected


def test_the_order_of_the_keys_decides_nothing():
    assert held_out(KEYS, percent=20, seed=7) == held_out(reversed(KEYS), percent=20, seed=7)


def test_another_seed_holds_out_others():
    assert held_out(KEYS, percent=20, seed=7) != held_out(KEYS, percent=20, seed=8)


def test_the_same_images_are_held_out_on_every_machine_and_in_every_version():
    assert sorted(held_out(KEYS[:10], percent=30, seed=17)) == ["000000000000", "000000000007", "000000000008"]


def test_an_image_that_occurs_twice_is_one_image():
    assert held_out(["a", "a", "b"], percent=50, seed=0) in ({"a"}, {"b"})


@pytest.mark.parametrize("keys", [[], ["a"], ["a", "a"]], ids=["no image", "one image", "one image twice"])
def test_too_few_to_split_are_refused(keys):
    with pytest.raises(InvalidInput, match=r"^spec\.positives: expected at least two images with usable objects, .* found [01]$"):
        held_out(keys, percent=20, seed=0)
