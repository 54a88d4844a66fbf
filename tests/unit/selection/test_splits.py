"""With training, each planned image is in one split and stays in it."""

from __future__ import annotations

import pytest
from tests.unit.selection.files import crowded, plan, spec, splits

from negset_api.errors import InvalidInput
from negset_api.spec import HardNegativeMining
from negset_jobs.selection.sharding import IMAGES_PER_SHARD


def test_without_training_nothing_is_held_out():
    value = plan(crowded(), spec(count=300))
    assert [(shard.name, len(shard.images)) for shard in value.shards] == [
        ("train-00000-of-00003", 128),
        ("train-00001-of-00003", 128),
        ("train-00002-of-00003", 44),
    ]
    assert splits(value)["train"] == list(value.image_ids)


def test_with_training_a_share_is_held_out_and_every_image_is_on_one_side():
    value = plan(crowded(4000), spec(count=2000, held_out=20))
    sides = splits(value)
    assert sorted(sides["train"] + sides["heldout"]) == sorted(value.image_ids)
    assert 340 < len(sides["heldout"]) < 460  # 400 expected, standard deviation 18


def test_an_image_stays_on_its_side_and_in_its_shard_when_the_set_grows():
    document = crowded(4000)
    small, large = (plan(document, spec(count=count, held_out=20)) for count in (700, 1900))
    for split in ("train", "heldout"):
        before, after = ([shard.images for shard in value.shards if shard.split == split] for value in (small, large))
        assert all(len(images) == IMAGES_PER_SHARD for images in after[:-1])
        assert before[:-1] == after[: len(before) - 1]
        assert before[-1] == after[len(before) - 1][: len(before[-1])]


def test_an_image_stays_on_its_side_when_the_filters_change():
    document = crowded(3000)
    first = splits(plan(document, spec(count=800, held_out=30)))
    second = splits(plan(document, spec(["person", "car"], count=700, held_out=30)))
    # All but the two that each plan assigns whatever their hashes.
    assert len(set(first["train"]) & set(second["heldout"])) + len(set(first["heldout"]) & set(second["train"])) <= 4


@pytest.mark.parametrize("seed", range(5))
def test_copies_of_one_original_are_in_one_split(seed):
    document = crowded(600)
    for number, image in enumerate(document["images"]):
        image["file_name"] = f"{number // 3}_jpg.rf.{number:032x}.jpg"
    originals = {image["id"]: image["file_name"].partition("_")[0] for image in document["images"]}
    mining = HardNegativeMining(first_round_percent=40)
    sides = splits(plan(document, spec(count=150, seed=seed, held_out=30, mining=mining)))
    of = {split: {originals[image] for image in images} for split, images in sides.items()}
    assert min(map(len, of.values())) > 5
    assert not of["train"] & of["heldout"] | of["train"] & of["pool"] | of["pool"] & of["heldout"]
    assert any(len(images) > len(of[split]) for split, images in sides.items()), "some originals have several copies"


def test_copies_of_one_image_alone_cannot_be_split():
    document = crowded(20)
    for number, image in enumerate(document["images"]):
        image["file_name"] = f"a_aug_{number}.jpg"
    with pytest.raises(InvalidInput, match="that are no copies of one, got 3 copies"):
        plan(document, spec(count=3, held_out=20))


@pytest.mark.parametrize("percent", [1, 50, 90])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_neither_side_is_ever_empty(percent, count, seed):
    sides = splits(plan(crowded(50), spec(count=count, seed=seed, held_out=percent)))
    assert sides["train"]
    assert sides["heldout"]


def test_round_1_trains_on_a_share_of_the_training_negatives_and_the_rest_is_the_pool():
    value = splits(plan(crowded(4000), spec(count=2000, held_out=20, mining=HardNegativeMining(first_round_percent=25))))
    assert sorted(value["train"] + value["pool"] + value["heldout"]) == sorted(plan(crowded(4000), spec(count=2000)).image_ids)
    assert 340 < len(value["train"]) < 460  # a quarter of 1600, standard deviation 17
    assert value["heldout"] == splits(plan(crowded(4000), spec(count=2000, held_out=20)))["heldout"], "what measures stays the same"


def test_an_image_stays_in_round_1_or_in_the_pool_when_the_set_grows_and_when_round_1_takes_more():
    document = crowded(4000)
    small, large = (splits(plan(document, spec(count=count, held_out=20, mining=HardNegativeMining()))) for count in (300, 1900))
    for split in ("train", "pool", "heldout"):
        assert large[split][: len(small[split])] == small[split]
    more = splits(plan(document, spec(count=300, held_out=20, mining=HardNegativeMining(first_round_percent=80))))
    assert set(small["train"]) < set(more["train"])


@pytest.mark.parametrize(
    ("count", "mining"),
    [
        pytest.param(12, HardNegativeMining(), id="too few images for both"),
        pytest.param(300, HardNegativeMining(first_round_percent=100), id="round 1 takes all"),
        pytest.param(300, HardNegativeMining(first_round_percent=1), id="too few for round 1"),
        pytest.param(300, HardNegativeMining(rounds=1), id="one round mines nothing"),
    ],
)
def test_without_a_pool_round_1_trains_on_every_negative_that_is_not_held_out(count, mining):
    value = splits(plan(crowded(1000), spec(count=count, held_out=20, mining=mining)))
    assert value.keys() == {"train", "heldout"}
    assert len(value["train"]) + len(value["heldout"]) == count
