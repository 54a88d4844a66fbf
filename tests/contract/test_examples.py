"""The API server accepts every example of the chart.

Together the examples show every feature that they are for.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from negset_api import names, stages, validation

EXAMPLES = sorted((Path(__file__).parents[2] / "charts" / "negset" / "examples").glob("*.yaml"))


def spec_of(name: str):
    (path,) = (path for path in EXAMPLES if path.stem == name)
    return validation.parse(yaml.safe_load(path.read_text())).spec


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_valid(path):
    validation.parse(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_begins_with_what_it_is_for(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert len(first) > 40


def test_every_example_has_a_name_of_its_own():
    found = [yaml.safe_load(path.read_text())["metadata"]["name"] for path in EXAMPLES]
    assert len(set(found)) == len(found)


FEATURES = {
    "street-background trains on records of its own with mining": (
        "street-background",
        lambda s: s.positives.tfrecords and s.training.hard_negative_mining.rounds == 2,
    ),
    "data-only trains nothing": ("data-only", lambda s: s.training is None and s.positives is None),
    "quick-start goes through every stage": (
        "quick-start",
        lambda s: s.training.hard_negative_mining.rounds > 1 and len(s.output.formats) > 1,
    ),
    "quick-start is small": ("quick-start", lambda s: s.selection.count <= 50 and s.training.steps <= 50),
    "quick-start needs no GPU": ("quick-start", lambda s: s.training.gpus_per_worker == 0),
    "voc-positives converts Pascal VOC": ("voc-positives", lambda s: s.positives.voc is not None),
    "yolo-positives converts YOLO": ("yolo-positives", lambda s: s.positives.yolo is not None),
    "own-pipeline brings its configuration": ("own-pipeline", lambda s: s.training.pipeline_config.config_map is not None),
    "open-images has labels that people verified": (
        "open-images",
        lambda s: s.source.open_images.labels and s.selection.minimum_proof == names.VERIFIED_ABSENT,
    ),
    "own-images has no annotations, and a word for their proof": (
        "own-images",
        lambda s: s.source.images.urls and s.source.coco is None and s.selection.minimum_proof == names.USER_WORD,
    ),
    "own-images reviews what the word is worth": ("own-images", lambda s: s.training.hard_negative_mining.rounds > 1),
    "own-pipeline wants annotated images": ("own-pipeline", lambda s: s.selection.minimum_proof == names.EXHAUSTIVELY_ANNOTATED),
    "kueue-queue names a queue": ("kueue-queue", lambda s: s.queue_name is not None),
    "suspended starts suspended": ("suspended", lambda s: s.suspend and s.deletion_policy == "Delete"),
    "gpu-workers trains on several pods with GPUs": ("gpu-workers", lambda s: s.training.workers > 1 and s.training.gpus_per_worker > 1),
    "gpu-workers scores with no more GPUs than it trains with": (
        "gpu-workers",
        lambda s: 0 < s.ray.workers * s.training.hard_negative_mining.gpus_per_worker <= s.training.workers * s.training.gpus_per_worker,
    ),
    "street-background compares with every other arm": (
        "street-background",
        lambda s: set(s.training.comparisons) == {names.NO_NEGATIVES, names.RANDOM_NEGATIVES},
    ),
    "quick-start makes every kind of step": (
        "quick-start",
        lambda s: {step.kind for step in stages.steps(s)} == {"check", "data", "train", "mine"} and s.training.comparisons,
    ),
    "voc-positives compares with no negatives": ("voc-positives", lambda s: s.training.comparisons == (names.NO_NEGATIVES,)),
    "own-pipeline reviews what keeps fooling the model": (
        "own-pipeline",
        lambda s: s.training.hard_negative_mining.review_above_percent < 90,
    ),
}


@pytest.mark.parametrize(("name", "shows"), FEATURES.values(), ids=FEATURES.keys())
def test_the_example_shows_its_feature(name, shows):
    assert shows(spec_of(name))


WRITTEN = {
    "street-background": {"training": {"maxParallel"}, "output": {"revisionHistoryLimit"}},
    "gpu-workers": {"training": {"gpuResourceName"}},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_field_with_a_default_that_people_should_know_is_written_out(name):
    (path,) = (path for path in EXAMPLES if path.stem == name)
    spec = yaml.safe_load(path.read_text())["spec"]
    assert all(wanted <= spec[group].keys() for group, wanted in WRITTEN[name].items())


def test_every_example_is_listed_here():
    assert {path.stem for path in EXAMPLES} == {name for name, _ in FEATURES.values()}


def test_every_example_is_listed_in_the_charts_readme():
    readme = (EXAMPLES[0].parents[1] / "README.md").read_text()
    assert [path.name for path in EXAMPLES if f"(examples/{path.name})" not in readme] == []
