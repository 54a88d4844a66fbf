"""Which files go into a round, and in which order images are fed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.values import Mining, Positives, Records
from negset_jobs.adapters.store import Store
from negset_jobs.training.mix import HARD, POSITIVE, Mix, choose, hard_percent, materialise, pattern, weighted


def records(*files):
    return Records(
        input_digest="",
        planned=0,
        stored=0,
        bytes=0,
        outcomes={},
        files={"train": files, "heldout": ("h",)},
        images={"train": 7},
        manifest="",
    )


def positives(*files):
    counts = {"images": {}, "boxes": {}, "outcomes": {}, "rejected_boxes": {}}
    return Positives(input_digest="", classes=("disc",), label_map="", files={"train": files, "heldout": ("h",)}, **counts)


def mining(negatives=(), hard=(), drawn=(), *, pool=100):
    fields = {"threshold": 0.5, "floor": 0.05, "pool": pool, "trained_on": 40, "fooled": 0, "added": 0, "review": (), "scores": ""}
    counts = {"hard_images": 10 * len(hard), "negative_images": 20 * len(negatives)}
    return Mining(number=1, input_digest="", negatives=negatives, hard=hard, random=drawn, **fields, **counts)


@pytest.mark.parametrize(
    ("arm", "mined", "expected"),
    [
        pytest.param(names.NO_NEGATIVES, None, Mix(positives=("p",)), id="the arm without negatives sees none"),
        pytest.param(names.MINED, None, Mix(positives=("p",), negatives=("n",), images=7), id="round 1 sees its part of the negatives"),
        pytest.param(
            names.MINED,
            mining(("kept",), ("hard",), ("drawn",)),
            Mix(positives=("p",), negatives=("kept",), hard=("hard",), hard_percent=50, images=30),
            id="a later round sees what the mining left, and the hard ones",
        ),
        pytest.param(
            names.RANDOM_NEGATIVES,
            mining(("kept",), ("hard",), ("drawn",)),
            Mix(positives=("p",), negatives=("kept",), hard=("drawn",), hard_percent=50, images=30),
            id="the arm that compares sees random ones in place of the hard ones",
        ),
        pytest.param(
            names.MINED,
            mining(("kept",), ("hard",), pool=0),
            Mix(positives=("p",), negatives=("kept",), hard=("hard",), hard_percent=50, images=20),
            id="without a pool the hard ones are among the others and count once",
        ),
        pytest.param(
            names.MINED,
            mining(("kept",)),
            Mix(positives=("p",), negatives=("kept",), images=20),
            id="a mining that found nothing hard leaves the negatives",
        ),
        pytest.param(
            names.MINED,
            mining((), ("hard",)),
            Mix(positives=("p",), negatives=("hard",), images=10),
            id="only hard negatives are left",
        ),
    ],
)
def test_what_a_round_trains_on(arm, mined, expected):
    assert choose(arm, positives("p"), records("n"), mined) == expected


def test_an_empty_set_is_refused_because_training_would_wait_for_ever():
    with pytest.raises(InvalidInput, match=r"spec\.positives: expected images"):
        choose(names.MINED, positives(), records("n"), None)
    with pytest.raises(InvalidInput, match=r"spec\.selection: expected negatives"):
        choose(names.MINED, positives("p"), records(), None)
    with pytest.raises(InvalidInput, match=r"up for review"):
        choose(names.MINED, positives("p"), records("n"), mining())


@given(percent=st.integers(1, 90), batch=st.integers(1, 64), skipped=st.integers(0, 500), hard=st.integers(0, 50))
def test_every_batch_holds_its_share_of_negatives_rounded_down_or_up(percent, batch, skipped, hard):
    kinds = pattern(percent, hard_percent=hard)
    window = [kinds[(skipped + index) % len(kinds)] for index in range(batch)]
    negatives = sum(kind != POSITIVE for kind in window)
    assert negatives in {batch * percent // 100, -(-batch * percent // 100)}


@given(percent=st.integers(1, 90), hard=st.integers(0, 50))
def test_the_shares_are_exact_over_the_pattern(percent, hard):
    kinds = pattern(percent, hard_percent=hard)
    negatives = sum(kind != POSITIVE for kind in kinds)
    assert negatives * 100 == percent * len(kinds)
    assert kinds.count(HARD) * 100 == hard * negatives


@pytest.mark.parametrize(
    ("others", "added", "percent"),
    [
        pytest.param(300, 100, 50, id="many hard negatives have half of the places"),
        pytest.param(3000, 100, 21, id="few are fed eight times as often as the others"),
        pytest.param(10_000, 1, 1, id="a single one among thousands does not fill the places"),
        pytest.param(0, 5, 50, id="nothing else to feed"),
    ],
)
def test_the_places_of_what_was_added(others, added, percent):
    assert hard_percent(others, added) == percent


def test_without_negatives_every_image_is_a_positive():
    assert set(pattern(0, hard_percent=0)) == {POSITIVE}


def test_the_weights_say_the_same_to_the_apis_own_reader(tmp_path):
    store = Store(str(tmp_path))
    files = weighted(Mix(positives=("p1", "p2"), negatives=("n",), hard=("h",), hard_percent=50), 30, store)
    assert [(file.path.removeprefix(f"{tmp_path}/"), file.weight) for file in files] == [("p1", 35), ("p2", 35), ("n", 15), ("h", 15)]
    assert [file.weight for file in weighted(Mix(positives=("p",)), 30, store)] == [100]


def test_files_of_a_local_store_are_used_in_place_and_others_are_fetched(tmp_path):
    chosen = Mix(positives=("positives/a.tfrecord",), negatives=("records/a.tfrecord",))
    local = Store(str(tmp_path / "store"))
    assert materialise(local, chosen, str(tmp_path)).positives == (f"{tmp_path}/store/positives/a.tfrecord",)
    remote = Store("memory://training-inputs")
    for key in (*chosen.positives, *chosen.negatives):
        remote.write(key, key.encode())
    fetched = materialise(remote, chosen, str(tmp_path / "scratch"))
    for key, path in zip((*chosen.positives, *chosen.negatives), (*fetched.positives, *fetched.negatives), strict=True):
        with open(path, "rb") as stream:
            assert stream.read() == key.encode(), "files of the same name in two folders stay two files"
