"""Detections made by hand: models whose worth is known, because it was drawn."""

from __future__ import annotations

import numpy as np

from negset_api import values
from negset_jobs.reporting.evidence import Evidence, evidence
from negset_jobs.training.detections import HeldOut
from negset_jobs.training.measuring import Truth, measure

SIDE = 100


def box(x, y, size=0.2, *, name="disc", **marks):
    return values.Box(ymin=y, xmin=x, ymax=y + size, xmax=x + size, class_name=name, **marks)


def found(x, y, score, size=0.2, *, name="disc"):
    # As a model gives it: in float32, which is what the table of detections keeps.
    return values.Detection(ymin=y, xmin=x, ymax=y + size, xmax=x + size, score=float(np.float32(score)), class_name=name)


def scored(name, *detections):
    return values.ScoredImage(image_id=str(name), detections=tuple(sorted(detections, key=lambda each: -each.score)))


def truth(name, *objects):
    return Truth(image_id=str(name), width=SIDE, height=SIDE, objects=objects)


def drawn(seed, *, negatives=160, positives=140, false_positives=0.1, misplaced=0.01, strength=2.0, first=1):
    """A model with about `false_positives` strong detections per negative.

    It finds the objects, shifted by `misplaced`; a larger `strength` gives them higher scores.

    The images are the same for every seed: what differs is what is detected.
    """
    places_random, random = np.random.default_rng(7), np.random.default_rng(seed)
    truths, on_positives = [], []
    for index in range(positives):
        places = [(0.1, 0.1), (0.6, 0.6)][: 1 + int(places_random.integers(2))]
        truths.append(truth(10_000 + index, *(box(x, y) for x, y in places)))
        hits = [found(x + random.normal(0, misplaced), y + random.normal(0, misplaced), random.beta(4 * strength, 2)) for x, y in places]
        weak = [found(0.35, 0.35, random.uniform(0.01, 0.1))]
        on_positives.append(scored(10_000 + index, *hits, *weak))
    on_negatives = [
        scored(
            first + index,
            *(
                found(random.uniform(0, 0.7), random.uniform(0, 0.7), random.uniform(0.55, 1))
                for _ in range(random.poisson(false_positives))
            ),
            found(0.4, 0.4, random.beta(1, 12)),
        )
        for index in range(negatives)
    ]
    return HeldOut(truths=tuple(truths), positives=tuple(on_positives), negatives=tuple(on_negatives))


def trained(number, held_out, *, arm="Mined", steps=500, total=None, recall=0.8, **fields):
    total = total or number * 500
    folder = f"training/{'' if arm == 'Mined' else arm + '/'}round-{number}"
    given = {
        "number": number,
        "arm": arm,
        "input_digest": f"{arm}-{number}",
        "steps": steps,
        "total_steps": total,
        "seed": 0,
        "negatives": 0,
        "negative_percent": 0 if arm == "NoNegatives" else 30,
        "measured_negative_percent": 0.0 if arm == "NoNegatives" else 29.6,
        "miner": "" if arm == "NoNegatives" else "miner: 3 negatives per positive, at least 8 per image",
        "config": f"{folder}/pipeline.config",
        "checkpoint": f"{folder}/checkpoints/ckpt-500",
        "saved_model": f"{folder}/saved_model",
        "detections": f"{folder}/detections.parquet",
        "losses": (),
        "steps_per_second": 21.4,
        "measurement": measure(held_out.truths, held_out.positives, held_out.negatives, recall=recall),
        "worst": tuple(sorted(held_out.negatives, key=lambda image: -image.score)[:24]),
    }
    return values.Round(**{**given, **fields})


def model(held_out, *, classes=("disc",), number=1, **fields) -> Evidence:
    return evidence(trained(number, held_out, **fields), held_out, classes=classes)
