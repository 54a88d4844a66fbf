"""Decides by the scores which negatives are hard, and which a person should review. Pure.

Mining searches the *pool*: the negatives that the model was not trained on. The model has mostly
learned the others, so few are left to find there. On a negative every detection is a false
positive. So the negatives with the highest scores are the model's worst errors. A negative *fools*
the model if a detection reaches the threshold of the round, which is what the report counts as a
false positive.
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

A fitted model has few negatives at the threshold of its recall, and more below it.
"""

REVIEW_LIMIT_PERCENT: Final = 10
"""A limit on the negatives trained on in which the model finds an object with a high score.

With a larger share, the model has not learned them; see `decide`.
"""

_SWITCHED_OFF: Final = 100


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a mining, from the spec and the round.

    `threshold` is the round's. `confirmed` are ids that a person confirmed as true negatives.
    """

    threshold: float
    hard_percent: int
    review_above_percent: int
    confirmed: frozenset[str] = frozenset()

    @property
    def floor(self) -> float:
        """The minimum score of a hard negative.

        It is never above the threshold, which is low for a weak model.
        """
        return min(FLOOR, self.threshold)


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The hard negatives and the images for review; no image is in both.

    Both are ordered by score, best first, and by id if scores are equal. `fooled` counts the images
    of the pool with a detection at or above the threshold. `review_declined` counts the images that
    scored high enough for review, but were too many to mean anything.
    """

    hard: tuple[ScoredImage, ...]
    review: tuple[ScoredImage, ...]
    fooled: int
    review_declined: int = 0


def decide(
    pool: Sequence[ScoredImage], trained_on: Sequence[ScoredImage], rules: Rules, *, carried: Sequence[ScoredImage] = ()
) -> Decision:
    """Divide the scored negatives.

    Without a pool, hard negatives are taken from the images trained on. `carried` are the images
    that an earlier mining put under review. Raises `WorkFailed` if a score is not a number: the
    training has diverged.
    """
    if any(math.isnan(image.score) for image in (*pool, *trained_on)):
        raise WorkFailed("the scores of the model are not numbers, because its training has diverged; lower the learning rate")
    review, declined = _review(trained_on, rules, carried)
    searched = pool or trained_on
    return Decision(
        hard=_hard(searched, rules, {image.image_id for image in review}),
        review=review,
        fooled=sum(_reaches(image, rules.threshold) for image in searched),
        review_declined=declined,
    )


def _hard(searched: Sequence[ScoredImage], rules: Rules, reviewed: Collection[str]) -> tuple[ScoredImage, ...]:
    """Return the images with the highest scores of at least the floor.

    They are at most `hard_percent` of all searched images, but may always be one.
    """
    limit = max(1, len(searched) * rules.hard_percent // 100)
    candidates = (image for image in searched if _reaches(image, rules.floor) and image.image_id not in reviewed)
    return tuple(sorted(candidates, key=_best_first)[:limit])


def _review(trained_on: Sequence[ScoredImage], rules: Rules, carried: Iterable[ScoredImage]) -> tuple[tuple[ScoredImage, ...], int]:
    """Return the images for review, and how many images were too many to be plausible.

    An image that was trained on as a negative and still scores at least `review_above_percent`, and
    at least the threshold, may show the object. So may an image that was put under review before.
    It stays there until a person reviews it, although the model, no longer trained on it, may now
    score it lower. A confirmed image is never listed again.

    Annotators miss few objects. If more than `REVIEW_LIMIT_PERCENT` of the images qualify, the
    model is undertrained; the labels are not wrong. Without its hardest negatives it would stay
    undertrained. So no new image is put under review in that case.
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
