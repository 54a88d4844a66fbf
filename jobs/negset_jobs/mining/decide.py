"""Scores → which negatives are hard, and which are for a person to look at. Pure.

Mining looks at negatives that the model was not trained on, the *pool*: what it has been trained on
it has mostly learned, so little is left to find there. On a negative every detection is false, so
the negatives with the highest scores are those that the model is most wrong about. A negative
*fools* the model where a detection reaches the threshold at which the round was measured, which is
what the report counts as a false positive.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import msgspec

from negset_api.errors import WorkFailed
from negset_api.values import ScoredImage

FLOOR: Final = 0.05
"""A negative with a lower score is not hard, however high it ranks: the model is right about it.

A fitted model has few negatives at the threshold of its recall and more below it.
"""

REVIEW_LIMIT_PERCENT: Final = 10
"""A model that is sure of an object in more than this share of the negatives it was trained on has
not learned them; see `decide`.
"""

_SWITCHED_OFF: Final = 100


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the spec and the round say about a mining.

    `threshold` is the round's; `confirmed` are ids that a person has found to be true negatives.
    """

    threshold: float
    hard_percent: int
    review_above_percent: int
    confirmed: frozenset[str] = frozenset()

    @property
    def floor(self) -> float:
        """The score from which a negative can be hard; never above the threshold, which a weak
        model sets low.
        """
        return min(FLOOR, self.threshold)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`hard` and `review` share no image.

    Both are ordered by score, best first, and by id where scores are equal. `fooled` counts the
    images of the pool with a detection at or above the threshold. `review_declined` counts the
    images that scored high enough for the review but were too many to mean anything.
    """

    hard: tuple[ScoredImage, ...]
    review: tuple[ScoredImage, ...]
    fooled: int
    review_declined: int = 0


def decide(
    pool: Sequence[ScoredImage], trained_on: Sequence[ScoredImage], rules: Rules, *, carried: Sequence[ScoredImage] = ()
) -> Decision:
    """Divides the scored negatives.

    Where there is no pool, the hard ones are among those trained on. `carried` are the images that
    an earlier mining put under review.

    Raises `WorkFailed` where a score is not a number: the training has diverged.
    """
    if any(math.isnan(image.score) for image in (*pool, *trained_on)):
        raise WorkFailed("the model's scores are not numbers: its training has diverged; try a lower learning rate")
    review, declined = _review(trained_on, rules, carried)
    searched = pool or trained_on
    return Decision(
        hard=_hard(searched, rules, {image.image_id for image in review}),
        review=review,
        fooled=sum(_reaches(image, rules.threshold) for image in searched),
        review_declined=declined,
    )


def _hard(searched: Sequence[ScoredImage], rules: Rules, reviewed: Collection[str]) -> tuple[ScoredImage, ...]:
    """Of the images from the floor up, those with the highest scores: at most `hard_percent` of all
    that were searched, and one at least.
    """
    limit = max(1, len(searched) * rules.hard_percent // 100)
    candidates = (image for image in searched if _reaches(image, rules.floor) and image.image_id not in reviewed)
    return tuple(sorted(candidates, key=_best_first)[:limit])


def _review(trained_on: Sequence[ScoredImage], rules: Rules, carried: Iterable[ScoredImage]) -> tuple[tuple[ScoredImage, ...], int]:
    """The images for a person, and how many were too many to be believed.

    An image that was trained on as a negative and still scores at least `review_above_percent`, and
    at least the threshold, may well show the object. So may one that was put under review before:
    it stays there until a person has looked, even though the model, no longer trained on it, may
    score it lower now. One that a person has confirmed is never listed again.

    Annotators miss few objects. Where more than `REVIEW_LIMIT_PERCENT` of the images qualify, the
    scores say that the model is undertrained, not that the labels are wrong; taking its hardest
    negatives away would then keep it so. No new image is put under review in that case.
    """
    bound = max(rules.review_above_percent / 100, rules.threshold)
    on = rules.review_above_percent != _SWITCHED_OFF
    suspects = [image for image in trained_on if on and _reaches(image, bound) and image.image_id not in rules.confirmed]
    believable = len(suspects) <= max(1, len(trained_on) * REVIEW_LIMIT_PERCENT // 100)
    review = {image.image_id: image for image in suspects} if believable else {}
    before = {image.image_id: image for image in carried if image.image_id not in rules.confirmed}
    review |= {name: min(image, review.get(name, image), key=_best_first) for name, image in before.items()}
    return tuple(sorted(review.values(), key=_best_first)), 0 if believable else len(suspects)


def _reaches(image: ScoredImage, score: float) -> bool:
    return bool(image.detections) and image.score >= score


def _best_first(image: ScoredImage) -> tuple[float, str]:
    return -image.score, image.image_id
