"""Which negatives are hard, and which are for a person."""

import random

import pytest

from negset_api.errors import WorkFailed
from negset_api.values import Detection, ScoredImage
from negset_jobs.mining.decide import decide


def image(name, *scores):
    return ScoredImage(
        image_id=name,
        detections=tuple(Detection(ymin=0.1, xmin=0.1, ymax=0.5, xmax=0.5, score=score, class_name="person") for score in scores),
    )


def ids(images):
    return [each.image_id for each in images]


def many(count, score=0.1):
    """Pictures that do not fool the model, so that percentages have something to be of."""
    return [image(f"quiet-{number}", score) for number in range(count)]


CASES = {
    "the highest scores at or above the threshold are hard, best first": (
        [image("a", 0.5), image("b", 0.7, 0.2), image("c", 0.49), image("d", 0.6)],
        {"hard_percent": 100},
        ["b", "d", "a"],
        [],
    ),
    "at most hard_percent of all scored pictures are hard": (
        [*many(6), image("a", 0.6), image("b", 0.7), image("c", 0.8), image("d", 0.65)],
        {"hard_percent": 20},
        ["c", "b"],
        [],
    ),
    "one picture is hard where the percentage of a small set would round to none": (
        [image("a", 0.6), image("b", 0.7)],
        {"hard_percent": 10},
        ["b"],
        [],
    ),
    "nothing is hard where nothing fools the model": (many(10, 0.3), {}, [], []),
    "a picture without detections is never hard, not even at threshold 0": (
        [image("a"), image("b", 0.01)],
        {"threshold": 0.0, "hard_percent": 100},
        ["b"],
        [],
    ),
    "a picture the model is sure of is for review and not hard": (
        [*many(9), image("a", 0.95), image("b", 0.6)],
        {"hard_percent": 50},
        ["b"],
        ["a"],
    ),
    "a score exactly at the bound is for review": ([*many(9), image("a", 0.9)], {}, [], ["a"]),
    "the review asks for the threshold too": ([*many(9), image("a", 0.95)], {"threshold": 0.97}, [], []),
    "100 percent switches the review off, even for a score of 1": ([*many(9), image("a", 1.0)], {"review_above_percent": 100}, ["a"], []),
    "where more than a tenth would be for review, the model is undertrained and none is": (
        [*many(7), image("a", 0.95), image("b", 0.96), image("c", 0.97)],
        {"hard_percent": 50},
        ["c", "b", "a"],
        [],
    ),
    "one picture may always be for review, however small the set": ([*many(3), image("a", 0.95)], {}, [], ["a"]),
    "a picture that was under review stays there although it no longer fools the model": (
        [*many(9), image("a", 0.2)],
        {"carried": [image("a", 0.93)]},
        [],
        ["a"],
    ),
    "a picture that was under review stays there where the model is undertrained": (
        [*many(6), image("a", 0.95), image("b", 0.96), image("c", 0.97), image("d", 0.98)],
        {"carried": [image("a", 0.93)], "hard_percent": 50},
        ["d", "c", "b"],
        ["a"],
    ),
    "equal scores are ordered by id": ([*many(7), image("c", 0.6), image("a", 0.6), image("b", 0.6)], {"hard_percent": 20}, ["a", "b"], []),
}


@pytest.mark.parametrize(("scored", "options", "hard", "review"), CASES.values(), ids=CASES)
def test_decision(scored, options, hard, review):
    settings = {"threshold": 0.5, "hard_percent": 20, "review_above_percent": 90, **options}
    decision = decide(scored, **settings)
    assert ids(decision.hard) == hard
    assert ids(decision.review) == review
    shuffled = random.Random(0).sample(scored, len(scored))
    assert decide(shuffled, **settings) == decision


def test_fooled_counts_hard_and_reviewed_pictures_and_those_beyond_the_percentage():
    scored = [*many(6), image("a", 0.95), image("b", 0.6), image("c", 0.7), image("d", 0.8)]
    decision = decide(scored, threshold=0.5, hard_percent=20, review_above_percent=90)
    assert decision.fooled == 4
    assert (len(decision.hard), len(decision.review), decision.review_declined) == (2, 1, 0)


def test_a_declined_review_says_how_many_it_was_about():
    decision = decide([image(str(n), 0.99) for n in range(5)], threshold=0.5, hard_percent=20, review_above_percent=90)
    assert decision.review_declined == 5
    assert ids(decision.hard) == ["0"]


def test_a_reviewed_picture_shows_the_detections_that_were_surest():
    (earlier,) = decide(
        [*many(9), image("a", 0.2)], threshold=0.5, hard_percent=20, review_above_percent=90, carried=[image("a", 0.93)]
    ).review
    (later,) = decide(
        [*many(9), image("a", 0.99)], threshold=0.5, hard_percent=20, review_above_percent=90, carried=[image("a", 0.93)]
    ).review
    assert (earlier.score, later.score) == (0.93, 0.99)


def test_scores_that_are_not_numbers_are_refused():
    with pytest.raises(WorkFailed, match="has diverged"):
        decide([image("a", float("nan"))], threshold=0.5, hard_percent=20, review_above_percent=90)


def test_no_scored_pictures_give_an_empty_decision():
    decision = decide([], threshold=0.5, hard_percent=20, review_above_percent=90)
    assert (decision.hard, decision.review, decision.fooled) == ((), (), 0)
