"""The plan as text: the output of `negset plan`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from negset_api import names
from negset_api.values import Plan
from negset_jobs.adapters.quoting import quoted
from negset_jobs.selection.filters import REJECTIONS
from negset_jobs.selection.proof import TEXTS

_MOST_CLASSES: Final = 10


def describe(plan: Plan) -> str:
    """Return a few paragraphs without a trailing line break."""
    uses = {names.TRAIN: "for round 1", names.POOL: "in the pool for mining", names.HELD_OUT: "held out for evaluation"}
    counts = {split: sum(len(shard.images) for shard in plan.shards if shard.split == split) for split in uses}
    splits = f" ({', '.join(f'{counts[split]:,} {use}' for split, use in uses.items() if counts[split])})" if counts[names.HELD_OUT] else ""
    shown = list(plan.remaining_classes.items())
    others = len(shown) - _MOST_CLASSES
    lines = [
        f"{_many(plan.planned, 'image')} planned of {_many(plan.candidates, 'candidate')}{splits}, in {_many(len(plan.shards), 'shard')}, about {_size(plan.bytes_estimate)}.",
        *_table(
            f"Excluded classes: {', '.join(map(_name, plan.excluded_classes))}. Rejected images",
            ((f"{count:,}", REJECTIONS[reason]) for reason, count in plan.rejected.items()),
        ),
        *(["", unplaced(plan)] if plan.unplaced else []),
        *_table("Proof of the planned images", ((f"{count:,}", f"{name}: {TEXTS[name]}") for name, count in plan.proofs.items())),
        *_table("Classes that the planned images show", ((f"{count:,}", name) for name, count in shown[:_MOST_CLASSES])),
        *([f"  and {_many(others, 'more class', 'more classes')}"] if others > 0 else []),
        *_table(
            "Licences of the planned images",
            ((f"{item.images:,}", f"{item.name} {item.url if item.url != item.name else ''}".strip()) for item in plan.licenses),
        ),
    ]
    return "\n".join(lines)


def unplaced(plan: Plan) -> str:
    """Return a sentence about the objects that no annotation places in an image."""
    objects = f"{_many(plan.unplaced, 'object')} of the excluded classes"
    return f"{objects} cannot be placed, because the annotation names no image. So any planned image may show such an object."


def _table(title: str, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return a title with its rows below it, numbers aligned to the right."""
    listed = list(rows)
    width = max((len(number) for number, _ in listed), default=0)
    return ["", f"{title}:" if listed else f"{title}: none.", *(f"  {number:>{width}}  {text}" for number, text in listed)]


def _name(name: str) -> str:
    """Return a class name, in quotes if it has spaces or characters that would not be seen."""
    return name if name.isprintable() and " ".join(name.split()) == name else quoted(name)


def _many(count: int, noun: str, plural: str = "") -> str:
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def _size(count: float) -> str:
    """Return bytes in decimal units, which disks and stores use."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
