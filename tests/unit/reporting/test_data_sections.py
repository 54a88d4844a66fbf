"""The sections about the dataset."""

from negset_jobs.reporting.data_sections import readable


def test_the_manifest_shows_what_was_given_and_not_what_is_default(facts):
    manifest = readable(facts.dataset)
    assert manifest["kind"] == "NegativeDataset"
    assert manifest["metadata"] == {"name": "demo"}
    assert manifest["spec"]["training"]["steps"] == facts.dataset.spec.training.steps
    assert "download" not in manifest["spec"]
    assert "workers" not in manifest["spec"]["training"]
