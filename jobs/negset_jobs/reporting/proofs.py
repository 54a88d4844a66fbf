"""How the report says where the images came from, and why they are negatives. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from negset_api import names
from negset_api.spec import Source
from negset_api.values import Plan
from negset_jobs.reporting import wording
from negset_jobs.reporting.blocks import Block, Note, Paragraph, Table
from negset_jobs.reporting.facts import Facts
from negset_jobs.selection.proof import TEXTS

_MOST_URLS: Final = 5


def origin(source: Source) -> str:
    """Return where the images of a source come from, without secrets. It follows "…, from "."""
    if source.coco is not None:
        return f"the annotations at {wording.without_secrets(source.coco.annotations)}"
    if source.open_images is not None:
        return f"Open Images with the human-verified labels at {_places(source.open_images.labels)}"
    return f"your own images at {_places(source.images.urls if source.images is not None else ())}"


def _places(urls: Sequence[str]) -> str:
    shown = [wording.without_secrets(url) for url in urls[:_MOST_URLS]]
    more = [f"{len(urls) - len(shown)} more places"] if len(urls) > len(shown) else []
    return wording.listing([*shown, *more])


def definition(plan: Plan) -> str:
    """Return what makes an image of this plan a negative, as a sentence."""
    excluded = wording.listing(plan.excluded_classes, "or")
    if set(plan.proofs) == {names.USER_WORD}:
        return f"The images have no annotations. You state that none of them shows {excluded}."
    if set(plan.proofs) == {names.VERIFIED_ABSENT}:
        return f"An image is negative if a person looked for {excluded} in it and found none, and it has no annotation of {excluded}."
    return f"An image is negative if it has no annotation of {excluded}, crowd regions included."


def table(facts: Facts) -> list[Block]:
    """Return how many planned images have which proof, and what to do about the weakest one."""
    plan = facts.plan
    if not plan.proofs:
        return []
    rows = tuple(
        (name, f"{count:,}", wording.share(count, plan.planned), wording.capital(TEXTS.get(name, "")))
        for name, count in plan.proofs.items()
    )
    blocks: list[Block] = [
        Table("Proof that the planned images are negative", ("Proof", "Images", "Share", "Meaning"), rows, frozenset({1, 2})),
        Paragraph("The column “proof” of manifest.parquet has the proof of each image."),
    ]
    if by_word := plan.proofs.get(names.USER_WORD, 0):
        blocks.append(Note(_unchecked(facts, by_word)))
    return blocks


def _unchecked(facts: Facts, number: int) -> str:
    text = f"The only proof of {wording.count(number, 'image')} is your word. "
    if not facts.mined:
        return (
            text
            + "Nothing has checked it: a dataset with training and hardNegativeMining lists the images that may show an excluded class."
        )
    last = facts.mined[-1]
    review = len(last.review)
    if not review and last.review_declined:
        return text + "The mining could not check it, since the model is undertrained: see “For review”."
    if not review:
        return text + "The mining found no image among those it trained on that contradicts it."
    return (
        text
        + f"The mining contradicts it for {wording.count(review, 'image')}: review {'it' if review == 1 else 'them'} under “For review”."
    )
