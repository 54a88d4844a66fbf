"""Random negatives, to compare the mined ones with."""

from negset_jobs.mining.draw import draw

IDS = [str(number) for number in range(1000)]


def test_as_many_are_drawn_as_were_mined_and_a_larger_draw_contains_the_smaller():
    small, large = draw(IDS, 50, seed=3), draw(IDS, 80, seed=3)
    assert (len(small), len(large)) == (50, 80)
    assert small < large


def test_the_seed_decides_and_the_order_of_the_ids_does_not():
    assert draw(IDS, 50, seed=3) == draw(reversed(IDS), 50, seed=3)
    assert draw(IDS, 50, seed=3) != draw(IDS, 50, seed=4)


def test_every_id_has_the_same_chance():
    low = sum(int(image_id) < 500 for image_id in draw(IDS, 400, seed=0))
    assert 160 < low < 240  # 200 expected, standard deviation 8


def test_a_pool_that_is_too_small_is_drawn_whole():
    assert draw(IDS[:3], 50, seed=0) == frozenset(IDS[:3])
