"""Facts made by hand: a dataset of drawn shapes, with everything a report can show."""

import io
import math

import msgspec
import numpy as np
import pytest
from tests.unit.reporting.models import drawn, model

from negset_api import validation, values
from negset_jobs.demo import dataset, drawing, manifest
from negset_jobs.reporting.coco_results import HeldOutImage
from negset_jobs.reporting.evaluation import evaluate
from negset_jobs.reporting.facts import Example, Facts, Failure, Image
from negset_jobs.reporting.numbers import summarise

STRATA = ("square", "triangle", "blue disc", "")
LICENSES = (
    values.License(id=1, name="CC0 1.0 Universal", url="https://creativecommons.org/publicdomain/zero/1.0/", images=230),
    values.License(id=2, name="Attribution 4.0 International", url="https://creativecommons.org/licenses/by/4.0/", images=120),
    values.License(id=3, name="Attribution-ShareAlike 4.0 International", url="https://creativecommons.org/licenses/by-sa/4.0/", images=50),
)


def encoded_image(number, names, width=144, height=128):
    random = np.random.default_rng(number)
    shapes = dataset._scatter(names, width, height, random, smallest=0.1, largest=0.2)
    stream = io.BytesIO()
    drawing.draw(width, height, shapes, random).save(stream, "JPEG")
    return Image(stream.getvalue(), width, height), shapes


def box(shape, width=144, height=128):
    return {
        "ymin": (shape.y - shape.radius) / height,
        "xmin": (shape.x - shape.radius) / width,
        "ymax": (shape.y + shape.radius) / height,
        "xmax": (shape.x + shape.radius) / width,
    }


def planned(number):
    stratum = STRATA[number % 4]
    return values.PlannedImage(
        image_id=number,
        url=f"http://127.0.0.1:1/images/{number:012d}.jpg",
        file_name=f"{number:012d}.jpg",
        width=144,
        height=128,
        license=LICENSES[number % 3].id,
        stratum=stratum or "no annotation",
        page=f"https://example.org/photo/{number}",
    )


def scored(number, shapes, *scores):
    return values.ScoredImage(
        image_id=str(number),
        detections=tuple(
            values.Detection(**box(shape), score=score, class_name="disc") for shape, score in zip(shapes, scores, strict=False)
        ),
    )


def logged(arm, start, steps, whole):
    """Losses that fall, and the learning rate of one schedule over all steps."""
    floor = 0.2 if arm == "NoNegatives" else 0.35
    random = np.random.default_rng(start + steps)
    return tuple(
        values.LossPoint(
            step=step,
            total=0.3 + floor + 4 * math.exp(-(start + step) / 90) + float(random.normal(0, 0.08)) ** 2,
            classification=floor + 3 * math.exp(-(start + step) / 80) + abs(float(random.normal(0, 0.1))),
            localization=0.1 + math.exp(-(start + step) / 120) + abs(float(random.normal(0, 0.03))),
            learning_rate=0.04 * (1 + math.cos(math.pi * (start + step) / whole)),
        )
        for step in range(0, steps, 5)
    )


def a_model(number, seed, rate, *, arm="Mined", steps=500, negatives=120, worst=(), strength=2.0):
    held_out = drawn(seed, false_positives=rate, misplaced=0.02, strength=strength)
    losses = logged(arm, 500 * number - steps, steps, 1000)
    return model(held_out, arm=arm, number=number, steps=steps, negatives=negatives, losses=losses, worst=tuple(worst))


IMAGES = tuple(planned(number) for number in range(1, 401))
FAILED = (
    (values.Outcome.NOT_FOUND, "404 Not Found"),
    (values.Outcome.NOT_FOUND, "404 Not Found"),
    (values.Outcome.NOT_AN_IMAGE, "the bytes begin with '<!doctype html>'"),
)
PLAN = values.Plan(
    input_digest="plan",
    excluded_classes=("disc",),
    categories={1: "disc", 2: "square", 3: "triangle", 4: "blue disc"},
    candidates=500,
    planned=400,
    rejected={"shows an excluded class": 350},
    bytes_estimate=3_100_000,
    licenses=LICENSES,
    remaining_classes={"square": 188, "triangle": 171, "blue disc": 164},
    image_ids=tuple(range(1, 401)),
    shards=(values.ShardPlan(name="train-00000-of-00001", split="train", images=IMAGES),),
)
RECORDS = values.Records(
    input_digest="records",
    planned=400,
    stored=395,
    bytes=3_012_345,
    outcomes={"stored": 395, "not_found": 3, "not_an_image": 2},
    files={},
    images={"train": 237, "heldout": 158},
    manifest="manifest.parquet",
)
POSITIVES = values.Positives(
    input_digest="positives",
    classes=("disc",),
    label_map="positives/label_map.pbtxt",
    files={},
    images={"train": 210, "heldout": 140},
    boxes={"train": 402, "heldout": 270},
    outcomes={"stored": 350, "invalid_annotation": 3},
    rejected_boxes={"outside the image": 2},
    left_out={"images_without_objects": 41, "crowds": 7},
    turned=12,
    failures="positives/failed.jsonl",
)


def drawn_negatives():
    """Images 1 to 60 as they are stored, and the shapes on them; the last four show the class."""
    encoded_images, shapes = {}, {}
    for number in range(1, 61):
        wanted = {0: ["square", "square"], 1: ["triangle"], 2: ["blue disc", "square"], 3: ["square"]}[number % 4]
        wanted = ["disc", "square"] if number > 56 else wanted
        encoded_images[str(number)], shapes[number] = encoded_image(number, wanted)
    return encoded_images, shapes


def measured_models(shapes):
    """Two rounds, and the two arms to compare with."""
    worst_before = [scored(number, shapes[number], 0.99 - number / 100, 0.91 - number / 90) for number in range(1, 13)]
    worst_after = [scored(number, shapes[number], 0.7 - number / 100) for number in range(1, 4)]
    return (
        a_model(1, 11, 0.3, worst=worst_after),
        a_model(2, 12, 0.02, negatives=147, worst=worst_after),
        a_model(2, 13, 0.28, arm="RandomNegatives", negatives=147),
        a_model(2, 14, 1.4, arm="NoNegatives", steps=1000, negatives=0, worst=worst_before),
    )


def a_mining(shapes, threshold):
    return values.Mining(
        number=1,
        input_digest="mining",
        threshold=threshold,
        floor=0.05,
        pool=117,
        trained_on=120,
        fooled=31,
        hard=("training/round-1/hard/hard-00000-of-00001.tfrecord",),
        hard_images=27,
        added=27,
        random=("training/round-1/random/random-00000-of-00001.tfrecord",),
        negatives=(),
        negative_images=116,
        review=tuple(scored(number, shapes[number], 0.97 - (number - 56) / 100) for number in range(57, 61)),
        scores="training/round-1/scores.parquet",
        hardest=tuple(scored(number, shapes[number], 0.88 - (number - 20) / 100, 0.65) for number in range(20, 32)),
    )


def drawn_positives():
    """Six positives with one to three discs."""
    example = [encoded_image(1000 + index, ["disc"] * (index % 3 + 1)) for index in range(6)]
    return tuple(
        Example(str(1000 + index), shown, tuple(values.Box(**box(shape), class_name="disc") for shape in drawn))
        for index, (shown, drawn) in enumerate(example)
    )


def annotated_objects():
    """The same square and triangle on each of the held-out negatives."""
    return {
        str(number): (
            values.Box(ymin=0.0, xmin=0.0, ymax=0.5, xmax=0.55, class_name="square"),
            values.Box(ymin=0.55, xmin=0.1, ymax=0.95, xmax=0.5, class_name="triangle"),
        )
        for number in range(1, 161)
    }


@pytest.fixture(scope="session")
def facts():
    """A finished demo: two rounds, a mining, two arms to compare with, failures and images."""
    encoded_images, shapes = drawn_negatives()
    measured = measured_models(shapes)
    return Facts(
        dataset=validation.parse(manifest.manifest("http://127.0.0.1:1", "out")),
        revision="a1b2c3d4e5f6",
        location="/home/someone/out/default/demo/a1b2c3d4e5f6",
        plan=PLAN,
        records=RECORDS,
        positives=POSITIVES,
        labels=values.Labels(input_digest="labels", folders={"YOLO": "labels/yolo", "COCO": "labels/coco"}, images=395),
        trained=tuple(each.round for each in measured[:2]),
        others=tuple(each.round for each in measured[2:]),
        evidence=measured,
        held_out={str(number): HeldOutImage(number, f"{number:012d}.jpg", 144, 128) for number in range(1, 161)},
        annotated=annotated_objects(),
        mined=(a_mining(shapes, measured[0].threshold),),
        failures=tuple(
            Failure(IMAGES[200 + index], values.ImageResult(image_id=201 + index, outcome=outcome, detail=detail))
            for index, (outcome, detail) in enumerate(FAILED)
        ),
        shown=tuple(str(number) for number in range(1, 25)),
        planned={str(image.image_id): image for image in IMAGES[:60]},
        encoded_images=encoded_images,
        objects=drawn_positives(),
        versions={"negset": "0.1.0", "tensorflow-cpu": "2.15.1", "ray": "2.60.0"},
    )


@pytest.fixture(scope="session")
def without_training(facts):
    """The same dataset where no training was asked for."""
    spec = msgspec.structs.replace(facts.dataset.spec, training=None, positives=None)
    return msgspec.structs.replace(
        facts,
        dataset=msgspec.structs.replace(facts.dataset, spec=spec),
        positives=None,
        trained=(),
        others=(),
        evidence=(),
        mined=(),
        objects=(),
    )


@pytest.fixture(scope="session")
def evaluation(facts):
    return evaluate(facts)


@pytest.fixture(scope="session")
def report(facts, evaluation):
    return summarise(facts, evaluation, "0.1.0")
