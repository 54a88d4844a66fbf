"""Facts made by hand: a data set of drawn shapes, with everything a report can show."""

import io
import math

import msgspec
import numpy as np
import pytest

from negset_api import validation, values
from negset_jobs.demo import dataset, drawing, manifest
from negset_jobs.reporting.facts import Example, Facts, Failure, Picture
from negset_jobs.reporting.numbers import summarise

SCENES = ("square", "triangle", "blue disc", "")
LICENSES = (
    values.License(id=1, name="CC0 1.0 Universal", url="https://creativecommons.org/publicdomain/zero/1.0/", images=230),
    values.License(id=2, name="Attribution 4.0 International", url="https://creativecommons.org/licenses/by/4.0/", images=120),
    values.License(id=3, name="Attribution-ShareAlike 4.0 International", url="https://creativecommons.org/licenses/by-sa/4.0/", images=50),
)


def picture(number, names, width=144, height=128):
    random = np.random.default_rng(number)
    shapes = dataset._scatter(names, width, height, random, smallest=0.1, largest=0.2)
    stream = io.BytesIO()
    drawing.draw(width, height, shapes, random).save(stream, "JPEG")
    return Picture(stream.getvalue(), width, height), shapes


def box(shape, width=144, height=128):
    return {
        "ymin": (shape.y - shape.radius) / height,
        "xmin": (shape.x - shape.radius) / width,
        "ymax": (shape.y + shape.radius) / height,
        "xmax": (shape.x + shape.radius) / width,
    }


def planned(number):
    scene = SCENES[number % 4]
    return values.PlannedImage(
        image_id=number,
        url=f"http://127.0.0.1:1/pictures/{number:012d}.jpg",
        file_name=f"{number:012d}.jpg",
        width=144,
        height=128,
        license=LICENSES[number % 3].id,
        scene=scene or "no annotation",
        page=f"https://example.org/photo/{number}",
    )


def scored(number, shapes, *scores):
    return values.ScoredImage(
        image_id=str(number),
        detections=tuple(
            values.Detection(**box(shape), score=score, class_name="disc") for shape, score in zip(shapes, scores, strict=False)
        ),
    )


def measurement(false_positives, precision, **changes):
    return values.Measurement(
        **{
            "threshold": 0.62,
            "recall": 0.803,
            "wanted_recall": 0.8,
            "false_positives_per_image": false_positives,
            "average_precision": precision,
            "average_precision_50": min(1.0, precision + 0.28),
            "negatives": 160,
            "positives": 140,
            "objects": 270,
            **changes,
        }
    )


def trained(number, measured, worst=(), steps=500):
    floor = 0.2 if number == 0 else 0.35
    random = np.random.default_rng(number)
    points = tuple(
        values.LossPoint(
            step=step,
            total=0.3 + floor + 4 * math.exp(-step / 90) + float(random.normal(0, 0.08)) ** 2,
            classification=floor + 3 * math.exp(-step / 80) + abs(float(random.normal(0, 0.1))),
            localization=0.1 + math.exp(-step / 120) + abs(float(random.normal(0, 0.03))),
        )
        for step in range(0, steps, 5)
    )
    return values.Round(
        number=number,
        inputs=f"round-{number}",
        steps=steps,
        seed=0,
        negative_percent=30 if number else 0,
        measured_negative_percent=29.6 if number else 0.0,
        miner="miner: 3 negatives per positive, at least 3 per image" if number else "",
        config=f"training/round-{number}/pipeline.config",
        checkpoint=f"training/round-{number}/checkpoints/ckpt-500",
        saved_model=f"training/round-{number}/saved_model",
        losses=points,
        steps_per_second=21.4,
        measurement=measured,
        worst=tuple(worst),
    )


@pytest.fixture(scope="session")
def facts():
    """A finished demo: a baseline, two rounds, a mining between them, a few failures and a few pictures to look at."""
    pictures, shapes = {}, {}
    for number in range(1, 61):
        wanted = {0: ["square", "square"], 1: ["triangle"], 2: ["blue disc", "square"], 3: ["square"]}[number % 4]
        wanted = ["disc", "square"] if number > 56 else wanted
        pictures[str(number)], shapes[number] = picture(number, wanted)
    worst_before = [scored(number, shapes[number], 0.99 - number / 100, 0.91 - number / 90) for number in range(1, 13)]
    worst_after = [scored(number, shapes[number], 0.7 - number / 100) for number in range(1, 4)]
    hardest = tuple(scored(number, shapes[number], 0.88 - (number - 20) / 100, 0.65) for number in range(20, 32))
    review = tuple(scored(number, shapes[number], 0.97 - (number - 56) / 100) for number in range(57, 61))
    images = tuple(planned(number) for number in range(1, 401))
    failures = tuple(
        Failure(images[200 + index], values.ImageResult(image_id=201 + index, outcome=outcome, detail=detail))
        for index, (outcome, detail) in enumerate(
            [
                (values.Outcome.NOT_FOUND, "404 Not Found"),
                (values.Outcome.NOT_FOUND, "404 Not Found"),
                (values.Outcome.NOT_AN_IMAGE, "the bytes begin with '<!doctype html>'"),
            ]
        )
    )
    example = [picture(1000 + index, ["disc"] * (index % 3 + 1)) for index in range(6)]
    return Facts(
        dataset=validation.parse(manifest.manifest("http://127.0.0.1:1", "out")),
        revision="a1b2c3d4e5f6",
        location="/home/someone/out/default/demo/a1b2c3d4e5f6",
        plan=values.Plan(
            inputs="plan",
            excluded_classes=("disc",),
            categories={1: "disc", 2: "square", 3: "triangle", 4: "blue disc"},
            candidates=500,
            planned=400,
            rejected={"shows an excluded class": 350},
            bytes_estimate=3_100_000,
            licenses=LICENSES,
            remaining_classes={"square": 188, "triangle": 171, "blue disc": 164},
            image_ids=tuple(range(1, 401)),
            shards=(values.ShardPlan(name="train-00000-of-00001", subset="train", images=images),),
        ),
        records=values.Records(
            inputs="records",
            planned=400,
            stored=395,
            bytes=3_012_345,
            outcomes={"stored": 395, "not_found": 3, "not_an_image": 2},
            files={},
            images={"train": 237, "heldout": 158},
            manifest="manifest.parquet",
        ),
        positives=values.Positives(
            inputs="positives",
            classes=("disc",),
            label_map="positives/label_map.pbtxt",
            files={},
            images={"train": 210, "heldout": 140},
            boxes={"train": 402, "heldout": 270},
            outcomes={"stored": 350},
            rejected_boxes={"outside the picture": 2},
        ),
        labels=values.Labels(inputs="labels", folders={"YOLO": "labels/yolo", "COCO": "labels/coco"}, images=395),
        trained=(
            trained(0, measurement(1.104, 0.741), worst_before),
            trained(1, measurement(0.081, 0.702), worst_after),
            trained(2, measurement(0.019, 0.718), worst_after),
        ),
        mined=(
            values.Mining(
                number=1,
                inputs="mining",
                threshold=0.5,
                scored=237,
                fooled=31,
                hard=("training/round-1/hard/hard-00000-of-00001.tfrecord",),
                hard_images=27,
                negatives=(),
                review=review,
                scores="training/round-1/scores.parquet",
                hardest=hardest,
            ),
        ),
        failures=failures,
        shown=tuple(str(number) for number in range(1, 25)),
        planned={str(image.image_id): image for image in images[:60]},
        pictures=pictures,
        objects=tuple(
            Example(str(1000 + index), shown, tuple(values.Box(**box(shape), class_name="disc") for shape in drawn))
            for index, (shown, drawn) in enumerate(example)
        ),
        versions={"negset": "0.1.0", "tensorflow-cpu": "2.15.1", "ray": "2.60.0"},
    )


@pytest.fixture(scope="session")
def without_training(facts):
    """The same data set where no training was asked for."""
    spec = msgspec.structs.replace(facts.dataset.spec, training=None, positives=None)
    return msgspec.structs.replace(
        facts, dataset=msgspec.structs.replace(facts.dataset, spec=spec), positives=None, trained=(), mined=(), objects=()
    )


@pytest.fixture(scope="session")
def report(facts):
    return summarise(facts, "0.1.0")
