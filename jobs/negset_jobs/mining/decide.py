"""Scores → which negatives are hard, and which are for a person to look at. Pure.

A negative *fools* the model where a detection reaches the threshold at which the round was measured: the score that finds the wanted recall of the held-out objects.
So "hard" means exactly what the report counts as a false positive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from negset_api.errors import WorkFailed
from negset_api.values import ScoredImage

REVIEW_LIMIT_PERCENT: Final = 10
"""A model that is sure of an object in more than this share of the negatives it was trained on has not learned them; see `decide`."""

_SWITCHED_OFF: Final = 100


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`hard` and `review` share no picture. Both are ordered by score, best first, and by id where scores are equal. `fooled` counts the pictures with a
    detection at or above the threshold, those under review included. `review_declined` counts the pictures that scored high enough for the review but were too many to
    mean anything.
    """

    hard: tuple[ScoredImage, ...]
    review: tuple[ScoredImage, ...]
    fooled: int
    review_declined: int = 0


def decide(
    scored: Sequence[ScoredImage],
    *,
    threshold: float,
    hard_percent: int,
    review_above_percent: int,
    carried: Sequence[ScoredImage] = (),
) -> Decision:
    """Divides the scored negatives. `carried` are the pictures that an earlier mining put under review.

    Review: a picture that was trained on as a negative and still scores at least `review_above_percent`, and at least the threshold, may well show the object. So may one
    that was put under review before: it stays there until a person has looked, even though the model, no longer trained on it, may score it lower now.
    Annotators miss few objects. Where more than `REVIEW_LIMIT_PERCENT` of the pictures qualify, the scores say that the model is undertrained, not that the labels
    are wrong; taking its hardest negatives away would then keep it so. No new picture is put under review in that case.

    Hard: of the other pictures that fool the model, those with the highest scores, at most `hard_percent` of all that were scored, and one at least. Where nothing
    fools the model there is none, and the next round trains on the negatives as they are.

    Raises `WorkFailed` where a score is not a number: the training has diverged.
    """
    if any(math.isnan(image.score) for image in scored):
        raise WorkFailed("the model's scores are not numbers: its training has diverged; try a lower learning rate")
    ranked = sorted(scored, key=_best_first)
    fooling = [image for image in ranked if image.detections and image.score >= threshold]

    before = {image.image_id: image for image in carried}
    bound = review_above_percent / 100
    suspects = [image for image in fooling if review_above_percent != _SWITCHED_OFF and image.score >= bound]
    believable = len(suspects) <= max(1, len(ranked) * REVIEW_LIMIT_PERCENT // 100)
    review = {image.image_id: image for image in suspects} if believable else {}
    review |= {name: min(image, review.get(name, image), key=_best_first) for name, image in before.items()}

    limit = max(1, len(ranked) * hard_percent // 100)
    return Decision(
        hard=tuple([image for image in fooling if image.image_id not in review][:limit]),
        review=tuple(sorted(review.values(), key=_best_first)),
        fooled=len(fooling),
        review_declined=0 if believable else len(suspects),
    )


def _best_first(image: ScoredImage) -> tuple[float, str]:
    return -image.score, image.image_id
