"""Sentences of the report that the page and the terminal share. Pure."""

from __future__ import annotations

from typing import Final

from negset_api.values import Comparison, CopyCounts
from negset_jobs.reporting import wording

NOTHING: Final = ""
"""Stands for a detection that lies on no annotation."""

_NAMED: Final = 2


def lies_on_sentence(each: Comparison) -> str:
    """Return one sentence about one arm; empty if it is unknown.

    For example `With mined negatives, 42 % of 31 false positives lie on square, 20 % on triangle
    and 30 % on nothing annotated`.
    """
    counts = each.false_positives_on
    if not counts:
        return ""
    classes = [name for name in counts if name != NOTHING][:_NAMED]
    parts = [f"{wording.share(counts[name], each.false_positives)} on {name}" for name in classes]
    if counts.get(NOTHING):
        parts.append(f"{wording.share(counts[NOTHING], each.false_positives)} on nothing annotated")
    first, *rest = parts
    share, _, where = first.partition(" on ")
    verb = "lies" if each.false_positives == 1 else "lie"
    return f"With {wording.ARMS[each.name]}, {share} of {wording.count(each.false_positives, 'false positive')} {verb} on {wording.listing([where, *rest])}"


def copies_sentence(counts: CopyCounts) -> str:
    """Return the excluded images, and those that only look like training images, in words."""
    measured = (
        f"{wording.count(counts.measured_near, 'held-out image')} {'looks' if counts.measured_near == 1 else 'look'} like training images, as frames of "
        "a camera that does not move do. No others would be left, so they are measured: the numbers hold for such images only."
        if counts.measured_near
        else ""
    )
    if not counts.total:
        return measured
    kinds = [
        wording.count(number, f"held-out {kind}")
        for number, kind in ((counts.negatives, "negative"), (counts.positives, "positive"))
        if number
    ]
    exact, near = counts.exact_negatives + counts.exact_positives, counts.near_negatives + counts.near_positives
    how = [f"{number:,} {word}" for number, word in ((exact, "exact"), (near, "near (resized or mirrored, for example)")) if number]
    verb, noun, them = (
        ("is", "a copy of a training image", "It is") if counts.total == 1 else ("are", "copies of training images", "They are")
    )
    excluded = f"{wording.listing(kinds)} {verb} {noun}: {wording.listing(how)}. {them} excluded from every number here."
    return f"{excluded} {measured}".strip()
