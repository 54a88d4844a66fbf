"""The demo's manifest is one that the API server would take."""

from negset_api import names, validation
from negset_jobs.demo.manifest import manifest


def test_the_manifest_is_valid_and_compares_mined_negatives_with_random_ones_and_with_none():
    dataset = validation.parse(manifest("http://127.0.0.1:1", "/tmp/out", count=7, steps=3))
    assert set(dataset.spec.training.comparisons) == {names.NO_NEGATIVES, names.RANDOM_NEGATIVES}
    assert dataset.spec.training.steps == 3
    assert dataset.spec.selection.count == 7
    assert dataset.spec.positives.coco.image_url == "http://127.0.0.1:1/pictures/{file_name}"


def test_another_port_is_another_source():
    first, second = (manifest(f"http://127.0.0.1:{port}", "/tmp/out") for port in (1, 2))
    assert first["spec"]["source"] != second["spec"]["source"]
