"""Make the plan from spec and annotations: which images, in which order and shards. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from negset_api import names
from negset_api.errors import InvalidInput
from negset_api.spec import NegativeDatasetSpec
from negset_api.values import License, Plan, PlannedImage, digest
from negset_jobs.adapters.quoting import quoted_id
from negset_jobs.formats import image_url
from negset_jobs.formats.coco import Annotations, Ids, Image
from negset_jobs.formats.same_pictures import identity_of
from negset_jobs.selection import ordering, proof
from negset_jobs.selection.classes import alike, resolve
from negset_jobs.selection.filters import NO_URL, REJECTIONS, Located, locate, positions_of, rejections
from negset_jobs.selection.guard import Guarded, Mask
from negset_jobs.selection.splitting import FEWEST_TO_SPLIT, divide, drawn_by
from negset_jobs.selection.unplaced import find_unplaced

BYTES_PER_IMAGE: Final = 18 * 2**30 // 118_287
"""163 kB. COCO train2017 is "118K/18GB" (https://cocodataset.org/#download), 118,287 images."""

BYTES_PER_10_PIXELS: Final = 6
"""0.6 bytes a pixel: `BYTES_PER_IMAGE` at COCO's 0.275 megapixels an image."""

_MOST_NAMES: Final = 3
_UNANNOTATED_NAME: Final = "unannotated"


def make_plan(spec: NegativeDatasetSpec, annotations: Annotations, guarded: Guarded) -> Plan:
    """Return the plan.

    Raises `InvalidInput` for an unknown class or licence, for too few candidates, and for images
    without the fields that their URL is made of.
    """
    template = _template(spec)
    # The other sources list each URL once, and their images may have one name in several folders.
    identity = identity_of(template) if spec.source.coco else ()
    image_url.check_base_names(template, (image.file_name for image in annotations.images))
    excluded = resolve(
        spec.exclude_classes,
        annotations.categories,
        allowed=spec.selection.allow_classes,
        annotated=_annotated(annotations),
    )
    located = locate(annotations)
    proofs = proof.proofs(annotations, located)
    proof.check(spec, proofs)
    unproven = proof.unproven(spec, annotations, excluded, proofs)
    unplaced = find_unplaced(spec, annotations, excluded)
    listed = guarded.match(annotations.images)
    rejected = rejections(
        annotations,
        located,
        excluded=excluded | _doubtful(spec, annotations, excluded),
        selection=spec.selection,
        guarded=listed,
        identity=identity,
        unproven={**unproven, "unplaced_object": unplaced.near},
    )
    rejected[NO_URL] = _lacking(annotations.images, identity, ~np.any([*rejected.values()], axis=0))
    candidates = _candidates(spec, annotations, located, ~np.any([*rejected.values()], axis=0))
    counts = {reason: int(mask.sum()) for reason, mask in rejected.items() if mask.any()}
    _check_enough(spec, len(candidates.positions), counts, proof.explain(spec, annotations, excluded))
    _check_fields(template, identity, [annotations.images[position] for position in candidates.positions])

    chosen = candidates.drawn.order[: spec.selection.count]
    entries = [annotations.images[position] for position in candidates.positions[chosen].tolist()]
    chosen_proofs = proofs[candidates.positions[chosen]]
    images = _planned(spec, entries, candidates, chosen, chosen_proofs)
    return Plan(
        input_digest=_input_digest(spec, annotations, listed),
        excluded_classes=tuple(dict.fromkeys(category.name for category in annotations.categories if category.id in excluded)),
        categories={category.id: category.name for category in annotations.categories},
        candidates=len(candidates.positions),
        planned=len(images),
        rejected=counts,
        bytes_estimate=sum(map(_estimate, images)),
        licenses=_licenses(entries, annotations),
        remaining_classes=_remaining(annotations, located, candidates.positions[chosen]),
        image_ids=tuple(image.image_id for image in images),
        shards=divide(spec, images, drawn_by(spec, annotations, candidates.positions[chosen])),
        proofs=proof.counted(chosen_proofs),
        unplaced=unplaced.objects,
    )


def _annotated(annotations: Annotations) -> frozenset[int]:
    """Return the ids of the categories whose annotations may be of an excluded class.

    There are none if the excluded classes themselves are verified to be absent.
    """
    if annotations.verified is not None:
        return frozenset()
    ids = np.array([category.id for category in annotations.categories], np.int64)
    return frozenset(ids[np.isin(ids, annotations.category_ids)].tolist())


def _doubtful(spec: NegativeDatasetSpec, annotations: Annotations, excluded: frozenset[int]) -> frozenset[int]:
    """Return the ids of classes that contradict a verification where an image shows them."""
    if annotations.verified is None:
        return frozenset()
    return alike(excluded, annotations.categories, allowed=spec.selection.allow_classes)


def _template(spec: NegativeDatasetSpec) -> str:
    """Return the template of the images' URLs. A source without one knows the URL of each image."""
    return spec.source.coco.image_url if spec.source.coco else "{coco_url}"


class _Candidates(NamedTuple):
    """The images that may be drawn.

    All arrays have one entry per candidate, in the order of the file. `sizes` has the name of each
    stratum and the number of its candidates.
    """

    positions: npt.NDArray[np.intp]
    ids: Ids
    strata: Ids
    sizes: dict[int, tuple[str, int]]
    drawn: ordering.Drawn


def _candidates(spec: NegativeDatasetSpec, annotations: Annotations, located: Located, free: Mask) -> _Candidates:
    positions = np.flatnonzero(free)
    ids = annotations.image_keys[positions]
    places = np.cumsum(free) - 1
    shown = located.only(free[located.positions])
    strata = ordering.rarest_classes(positions.size, places[shown.positions], shown.category_ids)
    names_by_id = {category.id: category.name for category in annotations.categories}
    sizes = {
        stratum: (names_by_id.get(stratum, _UNANNOTATED_NAME), count)
        for stratum, count in zip(*(values.tolist() for values in np.unique(strata, return_counts=True)), strict=True)
    }
    hashes = ordering.keys(ids, seed=spec.selection.seed, purpose="draw")
    drawn = ordering.stratified(hashes, strata) if spec.selection.strategy == "Stratified" else ordering.at_random(hashes)
    return _Candidates(positions, ids, strata, sizes, drawn)


def _check_enough(spec: NegativeDatasetSpec, candidates: int, rejected: dict[str, int], verified: str) -> None:
    wanted = spec.selection.count
    short = candidates < wanted and not spec.selection.allow_fewer
    if short or not candidates:
        total = candidates + sum(rejected.values())
        others = ", ".join(f"{count} {REJECTIONS[reason]}" for reason, count in rejected.items())
        advice = "; set spec.selection.allowFewer to select all candidates" if candidates else ""
        where = "in the annotations" if spec.source.coco else "of the source"
        counted = f"of the {total} images {where} {candidates} are candidates" + (f", {others}" if others else "")
        found = f"{counted}; {verified}" if verified else counted
        expected = (
            f"at most {candidates} (the number of candidates), got {wanted}" if candidates else f"candidates ({wanted} wanted), found none"
        )
        raise InvalidInput(f"spec.selection.count: expected {expected}: {found}{advice}")
    if spec.training is not None and min(wanted, candidates) < FEWEST_TO_SPLIT:
        raise InvalidInput(
            f"spec.selection.count: expected at least {FEWEST_TO_SPLIT} images for training, one to train on and one held out; got {min(wanted, candidates)}"
        )


def _lacking(images: Sequence[Image], identity: tuple[str, ...], candidates: Mask) -> Mask:
    """Return which candidates lack a field of the template; none if most do.

    An entry that a person forgot to fill is left out and counted. Most entries without the field
    show that the template is wrong.
    """
    lacking = np.zeros_like(candidates)
    for name in identity:
        lacking |= candidates & ~np.fromiter(map(bool, map(attrgetter(name), images)), bool, len(images))
    return lacking if 2 * lacking.sum() <= candidates.sum() else np.zeros_like(lacking)


def _check_fields(template: str, identity: tuple[str, ...], candidates: Sequence[Image]) -> None:
    """Raise `InvalidInput` if any candidate lacks a field of the template.

    All candidates are checked. Otherwise a file could work for one count and fail for a larger one.
    """
    for name in identity:
        lacking = [image.id for image in candidates if not getattr(image, name)]
        if lacking:
            raise InvalidInput(
                f"{image_url.FIELD}: {template!r} needs {name}, which {len(lacking)} of the {len(candidates)} candidates do not have (the first is image {quoted_id(lacking[0])}); "
                "set imageUrl to the location of the images, such as s3://bucket/folder/{file_name}"
            )


def _planned(
    spec: NegativeDatasetSpec, entries: Sequence[Image], candidates: _Candidates, chosen: npt.NDArray[np.intp], proofs: proof.Proofs
) -> list[PlannedImage]:
    """Return the planned images. `entries` and `chosen` are in plan order.

    `chosen` has positions among the candidates.
    """
    template, reasons = _template(spec), _Reasons(spec, len(candidates.positions))
    columns = (candidates.strata[chosen].tolist(), candidates.drawn.ranks[chosen].tolist(), proofs.tolist())
    planned = []
    for image, stratum, rank, proof_number in zip(entries, *columns, strict=True):
        name, size = candidates.sizes[stratum]
        proved_by = names.PROOFS[proof_number]
        fields = image_url.entry_fields(image.file_name, image.coco_url, image.flickr_url)
        planned.append(
            PlannedImage(
                image_id=image.id,
                url=image_url.image_url(template, fields),
                file_name=image.file_name,
                width=int(image.width or 0),
                height=int(image.height or 0),
                license=image.license or 0,
                stratum=name,
                reason=reasons.sentence(proved_by, stratum, name, rank + 1, size),
                proof=proved_by,
                page=image_url.photo_page(fields["flickr_url"]),
            )
        )
    return planned


_HOW: Final = {names.VERIFIED_ABSENT: ", as a person verified", names.USER_WORD: ", as the user states"}


class _Reasons:
    """The reasons for which images are chosen, each as one sentence without a full stop."""

    def __init__(self, spec: NegativeDatasetSpec, candidates: int) -> None:
        classes = spec.exclude_classes
        if len(classes) > _MOST_NAMES:
            self._free = f"shows none of the {len(classes)} excluded classes"
        else:
            self._free = f"shows no {' or '.join(filter(None, (', '.join(classes[:-1]), classes[-1])))}"
        self._random = spec.selection.strategy == "Random"
        self._candidates = candidates

    def sentence(self, proved_by: str, stratum: int, name: str, rank: int, size: int) -> str:
        free = f"{self._free}{_HOW.get(proved_by, '')}"
        if self._random:
            return f"{free}; drawn at random (rank {rank} of {self._candidates})"
        if stratum == ordering.UNANNOTATED:
            other = "" if proved_by == names.USER_WORD else " and no other annotated object"
            return f"{free}{other}; drawn from the images without annotations (rank {rank} of {size})"
        return f"{free}; drawn for the class {name!r} (rank {rank} of {size})"


def _estimate(image: PlannedImage) -> int:
    """Estimate the bytes of an image as a JPEG from its pixels."""
    return image.width * image.height * BYTES_PER_10_PIXELS // 10 or BYTES_PER_IMAGE


def _licenses(entries: Iterable[Image], annotations: Annotations) -> tuple[License, ...]:
    """Return the licences of the chosen images, by id. The id 0 means that none is stated."""
    carried: dict[int, int] = {}
    for image in entries:
        carried[image.license or 0] = carried.get(image.license or 0, 0) + 1
    listed = {license_.id: license_ for license_ in annotations.licenses}
    return tuple(
        License(
            id=number,
            name=(listed[number].name if number in listed else None) or ("not described by the annotations" if number else "not stated"),
            url=(listed[number].url if number in listed else None) or "",
            images=count,
        )
        for number, count in sorted(carried.items())
    )


def _remaining(annotations: Annotations, located: Located, chosen: npt.NDArray[np.intp]) -> dict[str, int]:
    """Count the chosen images that show each class, the most frequent class first."""
    mask = np.zeros(len(annotations.images), bool)
    mask[chosen] = True
    shown = located.only(mask[located.positions])
    # Categories with the same name count as one, and an image counts once per class.
    class_names = sorted({category.name for category in annotations.categories})
    numbers = {name: number for number, name in enumerate(class_names)}
    by_category = np.array([numbers[category.name] for category in annotations.categories], np.intp)
    ids = np.array([category.id for category in annotations.categories], np.int64)
    pairs = np.unique(shown.positions * len(class_names) + by_category[positions_of(shown.category_ids, ids)])
    counts = np.bincount(pairs % len(class_names), minlength=len(class_names)).tolist()
    shown_classes = [(name, count) for name, count in zip(class_names, counts, strict=True) if count]
    return dict(sorted(shown_classes, key=lambda item: -item[1]))


def _input_digest(spec: NegativeDatasetSpec, annotations: Annotations, guarded: Mask) -> str:
    guarded_ids = sorted(annotations.image_keys[guarded].tolist())
    training = spec.training
    mining = training.hard_negative_mining if training else None
    split = (training.held_out_percent, mining.first_round_percent if mining.rounds > 1 else 100) if training and mining else None
    # A later field that is not set counts as absent, as in a plan of an earlier version.
    selection = msgspec.to_builtins(spec.selection)
    selection = {name: value for name, value in selection.items() if value or name not in ("minimumProof", "allowClasses")}
    return digest(_template(spec), spec.exclude_classes, selection, split, annotations.digest, guarded_ids)
