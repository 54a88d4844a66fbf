"""Which positives are held out."""

import pytest

from negset_api.errors import InvalidInput
from negset_jobs.positives.split import held_out

KEYS = [f"{number:012d}" for number in range(100)]


def alone(keys):
    """Every image is a family of its own."""
    return {key: key for key in keys}


SIZES = {
    "a fifth of a hundred": (100, 20, 20),
    "rounded to the nearest": (7, 20, 1),
    "never none": (10, 1, 1),
    "never all": (2, 90, 1),
    "one of two": (2, 1, 1),
}


@pytest.mark.parametrize(("count", "percent", "expected"), SIZES.values(), ids=SIZES)
def test_how_many_are_held_out(count, percent, expected):
    assert len(held_out(alone(KEYS[:count]), percent=percent, seed=0)) == expected


def test_the_order_of_the_keys_decides_nothing():
    assert held_out(alone(KEYS), percent=20, seed=7) == held_out(alone(reversed(KEYS)), percent=20, seed=7)


def test_another_seed_holds_out_others():
    assert held_out(alone(KEYS), percent=20, seed=7) != held_out(alone(KEYS), percent=20, seed=8)


def test_the_same_images_are_held_out_on_every_machine_and_in_every_version():
    assert sorted(held_out(alone(KEYS[:10]), percent=30, seed=17)) == ["000000000000", "000000000007", "000000000008"]


def test_an_image_that_occurs_twice_is_one_image():
    assert held_out(alone(["a", "a", "b"]), percent=50, seed=0) in ({"a"}, {"b"})


@pytest.mark.parametrize("keys", [[], ["a"], ["a", "a"]], ids=["no image", "one image", "one image twice"])
def test_too_few_to_split_are_refused(keys):
    with pytest.raises(InvalidInput, match=r"^spec\.positives: expected at least two images with usable objects, .* found [01]$"):
        held_out(alone(keys), percent=20, seed=0)


@pytest.mark.parametrize("seed", range(20))
def test_copies_of_one_original_are_on_one_side(seed):
    families = {f"{original}-{copy}": original for original in range(10) for copy in range(3)}
    kept = held_out(families, percent=20, seed=seed)
    assert len(kept) == 6
    assert len({families[key] for key in kept}) == 2


@pytest.mark.parametrize("seed", range(20))
def test_a_family_with_most_of_the_images_is_trained_on(seed):
    families = {str(number): "one" if number < 90 else str(number) for number in range(100)}
    kept = held_out(families, percent=5, seed=seed)
    assert len(kept) == 5
    assert "one" not in {families[key] for key in kept}


def test_one_original_in_copies_is_too_few_to_split():
    with pytest.raises(InvalidInput, match=r"found 1 in 3 copies$"):
        held_out({"a": "x", "b": "x", "c": "x"}, percent=20, seed=0)


def test_two_families_larger_than_what_is_wanted_are_still_split():
    assert held_out({"a": "x", "b": "x", "c": "y", "d": "y", "e": "y"}, percent=1, seed=0) == {"a", "b"}
