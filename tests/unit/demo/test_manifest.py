"""The API server would accept the demo's manifest."""

import os

import pytest

from negset_api import names, validation
from negset_jobs.demo.manifest import manifest, trainings


def test_the_manifest_is_valid_and_compares_mined_negatives_with_random_ones_and_with_none():
    dataset = validation.parse(manifest("http://127.0.0.1:1", "/tmp/out", count=7, steps=3))
    assert set(dataset.spec.training.comparisons) == {names.NO_NEGATIVES, names.RANDOM_NEGATIVES}
    assert dataset.spec.training.steps == 3
    assert dataset.spec.selection.count == 7
    assert dataset.spec.positives.coco.image_url == "http://127.0.0.1:1/images/{file_name}"


def test_another_port_is_another_source():
    first, second = (manifest(f"http://127.0.0.1:{port}", "/tmp/out") for port in (1, 2))
    assert first["spec"]["source"] != second["spec"]["source"]


@pytest.mark.parametrize(
    ("processors", "gib", "expected"),
    [
        pytest.param(2, 8, 2, id="two models at once where there is room"),
        pytest.param(16, 64, 2, id="never more, since no more are ready"),
        pytest.param(1, 64, 1, id="one on one processor"),
        pytest.param(8, 4, 1, id="one in little memory"),
        pytest.param(None, 1, 1, id="one at least"),
    ],
)
def test_how_many_models_the_demo_trains_at_once(monkeypatch, processors, gib, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": gib << 18}.__getitem__)
    assert trainings() == expected
