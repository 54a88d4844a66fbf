"""Which negatives are hard, and which are for a person."""

import random

import pytest

from negset_api.errors import WorkFailed
from negset_api.values import Detection, ScoredImage
from negset_jobs.mining.decide import Rules, decide


def image(name, *scores):
    return ScoredImage(
        image_id=name,
        detections=tuple(Detection(ymin=0.1, xmin=0.1, ymax=0.5, xmax=0.5, score=score, class_name="person") for score in scores),
    )


def ids(images):
    return [each.image_id for each in images]


def many(count, score=0.01):
    """Images below the floor, so that percentages have something to be of."""
    return [image(f"quiet-{number}", score) for number in range(count)]


def rules(**options):
    return Rules(**{"threshold": 0.5, "hard_percent": 20, "review_above_percent": 90, **options})


HARD = {
    "the highest scores of the pool are hard, best first": (
        [image("a", 0.5), image("b", 0.7, 0.2), image("c", 0.49), image("d", 0.6)],
        {"hard_percent": 50},
        ["b", "d"],
    ),
    "a score below the threshold is hard too: a fitted model has few at it": ([*many(3), image("a", 0.2)], {"hard_percent": 100}, ["a"]),
    "a score below the floor is not hard, however high it ranks": ([*many(3), image("a", 0.04)], {"hard_percent": 100}, []),
    "a weak model's threshold is its floor": ([image("a", 0.04), image("b", 0.02)], {"threshold": 0.03, "hard_percent": 100}, ["a"]),
    "at most hard_percent of the pool is hard": (
        [*many(6), image("a", 0.6), image("b", 0.7), image("c", 0.8), image("d", 0.65)],
        {},
        ["c", "b"],
    ),
    "one image is hard where the percentage of a small pool would round to none": (
        [image("a", 0.6), image("b", 0.7)],
        {"hard_percent": 10},
        ["b"],
    ),
    "an image without detections is never hard, not even at threshold 0": (
        [image("a"), image("b", 0.01)],
        {"threshold": 0.0, "hard_percent": 100},
        ["b"],
    ),
    "an image of the pool that the model is sure of is hard and not for review: it was never trained on": (
        [*many(9), image("a", 0.99)],
        {},
        ["a"],
    ),
    "equal scores are ordered by id": ([*many(7), image("c", 0.6), image("a", 0.6), image("b", 0.6)], {}, ["a", "b"]),
    "nothing is hard where the model is right about everything": (many(10), {}, []),
}


@pytest.mark.parametrize(("pool", "options", "hard"), HARD.values(), ids=HARD)
def test_what_is_hard(pool, options, hard):
    trained_on = [image("known", 0.8), *many(9)]
    decision = decide(pool, trained_on, rules(**options))
    assert ids(decision.hard) == hard
    assert decision.review == ()
    shuffled = random.Random(0).sample(pool, len(pool))
    assert decide(shuffled, trained_on, rules(**options)) == decision


REVIEW = {
    "an image that was trained on and that the model is still sure of is for review": ([*many(9), image("a", 0.95)], {}, ["a"]),
    "a score exactly at the bound is for review": ([*many(9), image("a", 0.9)], {}, ["a"]),
    "the review asks for the threshold too": ([*many(9), image("a", 0.95)], {"threshold": 0.97}, []),
    "100 percent switches the review off, even for a score of 1": ([*many(9), image("a", 1.0)], {"review_above_percent": 100}, []),
    "an image that a person has confirmed is not listed again": (
        [*many(19), image("a", 0.95), image("b", 0.96)],
        {"confirmed": frozenset({"a"})},
        ["b"],
    ),
    "where more than a tenth would be for review, the model is undertrained and none is": (
        [*many(7), image("a", 0.95), image("b", 0.96), image("c", 0.97)],
        {},
        [],
    ),
    "one image may always be for review, however small the set": ([*many(3), image("a", 0.95)], {}, ["a"]),
}


@pytest.mark.parametrize(("trained_on", "options", "review"), REVIEW.values(), ids=REVIEW)
def test_what_is_for_review(trained_on, options, review):
    assert ids(decide(many(5), trained_on, rules(**options)).review) == review


CARRIED = {
    "an image that was under review stays there although it no longer fools the model": ([*many(9), image("a", 0.2)], {}, ["a"]),
    "an image that was under review stays there where the model is undertrained": (
        [*many(6), image("a", 0.95), image("b", 0.96), image("c", 0.97), image("d", 0.98)],
        {},
        ["a"],
    ),
    "an image that was under review comes back once a person has confirmed it": (
        [*many(9), image("a", 0.2)],
        {"confirmed": frozenset({"a"})},
        [],
    ),
}


@pytest.mark.parametrize(("trained_on", "options", "review"), CARRIED.values(), ids=CARRIED)
def test_what_stays_under_review(trained_on, options, review):
    assert ids(decide(many(5), trained_on, rules(**options), carried=[image("a", 0.93)]).review) == review


def test_without_a_pool_the_hard_negatives_are_among_those_trained_on_and_not_those_under_review():
    decision = decide([], [*many(9), image("a", 0.95), image("b", 0.6), image("c", 0.7)], rules(hard_percent=10))
    assert (ids(decision.hard), ids(decision.review), decision.fooled) == (["c"], ["a"], 3)


def test_fooled_counts_what_reaches_the_threshold_in_the_pool():
    pool = [*many(6), image("a", 0.5), image("b", 0.6), image("c", 0.49)]
    decision = decide(pool, [image("known", 0.8)], rules())
    assert (decision.fooled, len(decision.hard)) == (2, 1)


def test_a_declined_review_says_how_many_it_was_about():
    decision = decide(many(5), [image(str(n), 0.99) for n in range(5)], rules())
    assert (decision.review, decision.review_declined) == ((), 5)


def test_a_reviewed_image_shows_the_detections_that_were_surest():
    (earlier,) = decide([], [*many(9), image("a", 0.2)], rules(), carried=[image("a", 0.93)]).review
    (later,) = decide([], [*many(9), image("a", 0.99)], rules(), carried=[image("a", 0.93)]).review
    assert (earlier.score, later.score) == (0.93, 0.99)


@pytest.mark.parametrize("side", ["pool", "trained on"])
def test_scores_that_are_not_numbers_are_refused(side):
    wrong = [image("a", float("nan"))]
    with pytest.raises(WorkFailed, match="has diverged"):
        decide(wrong if side == "pool" else [], wrong if side == "trained on" else [], rules())


def test_no_scored_images_give_an_empty_decision():
    decision = decide([], [], rules())
    assert (decision.hard, decision.review, decision.fooled) == ((), (), 0)
