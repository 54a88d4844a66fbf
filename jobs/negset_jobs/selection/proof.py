"""How it is known that an image shows none of the excluded classes. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec
from negset_jobs.adapters.quoting import quoted
from negset_jobs.formats.coco import Annotations
from negset_jobs.formats.lvis import Pairs
from negset_jobs.selection.filters import Located, positions_of
from negset_jobs.selection.guard import Mask

Proofs = npt.NDArray[np.int8]
"""One number per image: the position of its proof in `names.PROOFS`. A larger one is stronger."""

BY_WORD: Final = names.PROOFS.index(names.USER_WORD)
UNANNOTATED: Final = names.PROOFS.index(names.UNANNOTATED)
EXHAUSTIVE: Final = names.PROOFS.index(names.EXHAUSTIVELY_ANNOTATED)
VERIFIED: Final = names.PROOFS.index(names.VERIFIED_ABSENT)

TEXTS: Final = {
    names.VERIFIED_ABSENT: "a person looked for every excluded class and did not find it",
    names.EXHAUSTIVELY_ANNOTATED: "annotated, without an excluded class",
    names.UNANNOTATED: "without any annotation, in a file that annotates other images",
    names.USER_WORD: "the user states that they show no excluded class",
}
"""What each proof says of its images, from the strongest to the weakest."""

_MOST_CLASSES: Final = 10


def wanted(spec: NegativeDatasetSpec) -> int:
    """Return the weakest proof that a spec accepts."""
    given = spec.selection.minimum_proof
    if given is None:
        given = names.UNANNOTATED if spec.source.images is None else names.USER_WORD
    least = names.PROOFS.index(given)
    return max(least, EXHAUSTIVE) if spec.selection.unannotated == "Exclude" else least


def proofs(annotations: Annotations, located: Located) -> Proofs:
    """Return the proof of each image that passes the other checks.

    In a source without any annotation of its images, nobody may have looked at them, so their only
    proof is the user's word.
    """
    annotated = np.zeros(len(annotations.images), bool)
    annotated[located.positions] = True
    if annotations.verified is not None:
        return np.full(annotated.size, VERIFIED, np.int8)
    if not located.positions.size:
        return np.full(annotated.size, BY_WORD, np.int8)
    return np.where(annotated, EXHAUSTIVE, UNANNOTATED).astype(np.int8)


def check(spec: NegativeDatasetSpec, found: Proofs) -> None:
    """Raise `InvalidInput` if the proof can only be the user's word, and is not."""
    if not found.size or found.max() > BY_WORD or wanted(spec) == BY_WORD:
        return
    classes = ", ".join(map(quoted, spec.exclude_classes))
    raise InvalidInput(
        f"spec.source.coco.annotations: the file has no annotation of any of its {found.size} images, so nothing proves that they do not show {classes}; "
        f"if you know that they show none, set spec.selection.minimumProof to {names.USER_WORD}"
    )


def unproven(spec: NegativeDatasetSpec, annotations: Annotations, excluded: frozenset[int], found: Proofs) -> dict[str, Mask]:
    """Return the images without the wanted proof, by reason.

    An image is in the mask of each reason that applies.
    """
    weak = found < wanted(spec)
    return {
        "not_exhaustive": _doubtful(annotations, excluded),
        "not_verified": _unverified(annotations, excluded),
        "unannotated": weak & (found == UNANNOTATED),
        "weak_proof": weak,
    }


def _doubtful(annotations: Annotations, excluded: frozenset[int]) -> Mask:
    """Return the images in which objects of an excluded class may not be annotated."""
    verified = annotations.verified
    if verified is None:
        return np.zeros(len(annotations.images), bool)
    return _number_of(annotations, verified.not_exhaustive, excluded) > 0


def _unverified(annotations: Annotations, excluded: frozenset[int]) -> Mask:
    """Return the images in which not every excluded class is verified to be absent."""
    verified = annotations.verified
    if verified is None:
        return np.zeros(len(annotations.images), bool)
    return _number_of(annotations, verified.absent, excluded) < len(excluded)


def explain(spec: NegativeDatasetSpec, annotations: Annotations, excluded: frozenset[int]) -> str:
    """Return in how many images each excluded class is verified to be absent.

    It is empty if the file annotates every class in every image.
    """
    verified = annotations.verified
    if verified is None:
        return ""
    classes = [category for category in annotations.categories if category.id in excluded]
    counts = {quoted(each.name): int((_number_of(annotations, verified.absent, frozenset({each.id})) > 0).sum()) for each in classes}
    shown = sorted(counts.items(), key=lambda item: item[1])[:_MOST_CLASSES]
    listed = ", ".join(f"{name} in {count}" for name, count in shown)
    more = f" (and {len(counts) - len(shown)} more classes)" if len(counts) > len(shown) else ""
    together = len(annotations.images) - int(_unverified(annotations, excluded).sum())
    all_of_them = f", all of them in {together}" if len(counts) > 1 else ""
    where = "neg_category_ids" if spec.source.coco else "a label with Confidence 0"
    return f"an excluded class is known to be absent only where {where} says so: {listed}{more}{all_of_them}"


def counted(chosen: Proofs) -> dict[str, int]:
    """Return the number of images with each proof, the strongest first."""
    counts = np.bincount(chosen, minlength=len(names.PROOFS)).tolist()
    return {name: count for name, count in reversed(list(zip(names.PROOFS, counts, strict=True))) if count}


def _number_of(annotations: Annotations, pairs: Pairs, excluded: frozenset[int]) -> npt.NDArray[np.intp]:
    """Return how many of the excluded classes each image is paired with."""
    classes = np.array(sorted(excluded), np.int64)
    chosen = np.isin(pairs.category_ids, classes)
    places = positions_of(pairs.image_ids[chosen], annotations.image_keys)
    # A pair may be listed twice.
    numbered = places * classes.size + np.searchsorted(classes, pairs.category_ids[chosen])
    return np.bincount(np.unique(numbered[places >= 0]) // classes.size, minlength=len(annotations.images))
