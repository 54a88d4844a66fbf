"""Reads all of the report's input."""

from __future__ import annotations

import importlib.metadata
import itertools
import platform
from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from negset_api import names, stages
from negset_api.errors import WorkFailed
from negset_api.spec import NegativeDataset
from negset_api.values import (
    Box,
    Copies,
    ImageResult,
    Labels,
    Mining,
    Outcome,
    Plan,
    PlannedImage,
    Positives,
    Records,
    Round,
    ShardResult,
    Value,
)
from negset_jobs.adapters.store import Store
from negset_jobs.adapters.store_errors import MissingObject
from negset_jobs.adapters.threads import parallel
from negset_jobs.download.shard_cache import read_committed
from negset_jobs.formats import od_keys
from negset_jobs.formats.stored import find, load
from negset_jobs.formats.stored_images import Features, read_images
from negset_jobs.formats.tf_example import decode_example
from negset_jobs.formats.tfrecord import unframe
from negset_jobs.reporting.copied import read_shown
from negset_jobs.reporting.evidence import Evidence, evidence
from negset_jobs.reporting.facts import (
    EXAMPLES,
    FAILURES_EACH,
    Example,
    Facts,
    Image,
    first_failures,
    held_out_images,
    pairs,
    scored_to_show,
    spread,
    worst_rounds,
)
from negset_jobs.selection import annotated
from negset_jobs.selection.annotated import Objects
from negset_jobs.training import detections

_OBJECTS: Final = 6
_COMPONENTS: Final = ("negset", "ray", "tensorflow", "tensorflow-cpu", "tf-models-research-object-detection", "pyarrow", "fsspec")

V = TypeVar("V", bound=Value)


class _Located(msgspec.Struct, frozen=True):
    """The location of a stored image's record."""

    file: str
    result: ImageResult


def gather(store: Store, dataset: NegativeDataset) -> Facts:
    """Read the facts of a revision whose other stages are done.

    Raises `MissingObject` if a value is missing that every report needs.
    """
    plan = load(store, names.PLAN, Plan)
    rounds = tuple(_present(store, [step.marker for step in stages.training_steps(dataset.spec)], Round))
    trained, others = (tuple(each for each in rounds if (each.arm == names.MINED) == mined) for mined in (True, False))
    mined = tuple(_present(store, [step.marker for step in stages.steps(dataset.spec) if step.kind == "mine"], Mining))
    committed = read_committed(store, names.RECORDS_FOLDER)
    results = [committed[shard.name][1] for shard in plan.shards]
    positives = find(store, names.POSITIVES, Positives)
    copies = find(store, names.COPIES, Copies) or Copies(input_digest="")

    # Twice as many as are shown, because some may have failed.
    candidates = spread((image for shard in plan.shards for image in shard.images), 2 * EXAMPLES)
    scored = [image.image_id for image in scored_to_show(worst_rounds(trained, others), mined)]
    wanted = {str(image.image_id) for image in candidates} | set(scored)
    planned, located = _locate(plan, results, wanted)
    shown = [str(image.image_id) for image in candidates if str(image.image_id) in located][:EXAMPLES]
    needed = [*dict.fromkeys([*shown, *(name for name in scored if name in located)])]
    encoded_images = parallel(lambda name: _image(store, located[name]), needed)
    location = store.location("").rstrip("/")
    return Facts(
        dataset=dataset,
        revision=location.rpartition("/")[2],
        location=location,
        plan=plan,
        records=load(store, names.RECORDS, Records),
        positives=positives,
        labels=find(store, names.LABELS, Labels),
        trained=trained,
        others=others,
        evidence=_evidence(store, rounds, positives),
        held_out=held_out_images(plan, results),
        annotated=_annotated(store),
        copies=copies,
        copied=read_shown(store, copies),
        mined=mined,
        failures=first_failures(pairs(plan, results), FAILURES_EACH),
        shown=tuple(shown),
        planned={name: planned[name] for name in needed},
        encoded_images=dict(zip(needed, encoded_images, strict=True)),
        objects=_objects(store, positives),
        versions=versions(),
    )


def _evidence(store: Store, rounds: Sequence[Round], positives: Positives | None) -> tuple[Evidence, ...]:
    """Return the detections of the arm `Mined`'s rounds, and of each other arm's last round.

    Tables are read one after the other: as objects, each needs a hundred times the memory of its
    evidence.
    """
    ends = {each.arm: each for each in rounds}
    compared = (ends[arm] for arm in (names.RANDOM_NEGATIVES, names.NO_NEGATIVES) if arm in ends)
    measured = (*(each for each in rounds if each.arm == names.MINED), *compared)
    classes = positives.classes if positives is not None else ()
    found = tuple(evidence(each, detections.decode(store.read(each.detections)), classes=classes) for each in measured)
    for each in found[1:]:
        if (each.negative_ids, each.truths) != (found[0].negative_ids, found[0].truths):
            raise WorkFailed(
                f"{each.round.detections}: expected the held-out images of {found[0].round.detections}, found others; train again"
            )
    return found


def _annotated(store: Store) -> Objects:
    """Return the annotations of the held-out negatives; empty if the plan does not have them."""
    try:
        return annotated.decode(store.read(names.HELD_OUT_OBJECTS))
    except MissingObject:
        return {}


def versions() -> dict[str, str]:
    """Return the installed versions of the components that decide the result."""
    found = {"Python": platform.python_version()}
    for component in _COMPONENTS:
        try:
            found[component] = importlib.metadata.version(component)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _present(store: Store, markers: list[str], kind: type[V]) -> Iterator[V]:
    """Return the values of the stages that are done."""
    return (value for marker in markers if (value := find(store, marker, kind)) is not None)


def _locate(plan: Plan, results: list[ShardResult], wanted: Collection[str]) -> tuple[dict[str, PlannedImage], dict[str, _Located]]:
    """Return the plan and the location of each wanted image that was stored, by id."""
    planned: dict[str, PlannedImage] = {}
    located: dict[str, _Located] = {}
    for shard, result in zip(plan.shards, results, strict=True):
        for image, ended in zip(shard.images, result.results, strict=True):
            name = str(image.image_id)
            if name in wanted and ended.outcome is Outcome.STORED:
                planned[name] = image
                located[name] = _Located(result.file, ended)
    return planned, located


def _image(store: Store, located: _Located) -> Image:
    result = located.result
    record = unframe(store.read_range(located.file, result.offset, result.length))
    return Image(decode_example(record)[od_keys.ENCODED][0], result.width, result.height)


def _objects(store: Store, positives: Positives | None) -> tuple[Example, ...]:
    """Return the first positives whose objects are annotated one by one."""
    for key in positives.files.get(names.TRAIN, ()) if positives is not None else ():
        with store.reading(key) as stream:
            examples = (_example(features) for _, features, _ in read_images(stream, key))
            found = tuple(itertools.islice((example for example in examples if example.boxes), _OBJECTS))
        if found:
            return found
    return ()


def _example(features: Features) -> Example:
    sides = (features.get(f"image/object/bbox/{side}", []) for side in ("ymin", "xmin", "ymax", "xmax"))
    classes = [name.decode(errors="replace") for name in features.get(od_keys.CLASS_TEXT, [])]
    crowd = features.get(od_keys.IS_CROWD) or [0] * len(classes)
    boxes = [
        Box(ymin=ymin, xmin=xmin, ymax=ymax, xmax=xmax, class_name=name)
        for ymin, xmin, ymax, xmax, name, region in zip(*sides, classes, crowd, strict=False)
        if not region
    ]
    encoded_image = Image(features[od_keys.ENCODED][0], _first(features, od_keys.WIDTH), _first(features, od_keys.HEIGHT))
    return Example((features.get(od_keys.SOURCE_ID) or [b""])[0].decode(errors="replace"), encoded_image, tuple(boxes))


def _first(features: dict[str, list[int]], key: str) -> int:
    return (features.get(key) or [0])[0]
