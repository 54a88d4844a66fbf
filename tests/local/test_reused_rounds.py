"""A round of an earlier revision is reused if this revision needs the same round."""

from __future__ import annotations

import re

import pytest
from tests.local.training_data import make_revision, manifest, step

from negset_api import names
from negset_api.values import Measurement, Mining, Round, encode
from negset_jobs import pipeline
from negset_jobs.adapters.access import Access
from negset_jobs.adapters.store import Store
from negset_jobs.mining.stage import mining_input_digest
from negset_jobs.training import config
from negset_jobs.training.task import round_input_digest

EXPORTED = f"{names.round_saved_model(1)}/saved_model.pb"


def made(**fields):
    measured = Measurement(
        threshold=0.5,
        recall=0.8,
        wanted_recall=0.8,
        false_positives_per_image=0,
        average_precision=0,
        average_precision_50=0,
        negatives=1,
        positives=1,
        objects=1,
    )
    return Round(
        number=1,
        arm=names.MINED,
        steps=10,
        total_steps=10,
        seed=0,
        negatives=1,
        negative_percent=30,
        measured_negative_percent=30,
        miner="",
        config=names.round_config(1),
        checkpoint="",
        detections="",
        losses=(),
        steps_per_second=1,
        measurement=measured,
        worst=(),
        **fields,
    )


@pytest.mark.parametrize(
    ("rounds", "exported", "reused"),
    [
        pytest.param((2, 1), False, False, id="not for the last round, where its model was not exported"),
        pytest.param((1, 2), True, True, id="for a round in between, exported or not"),
        pytest.param((2, 3), False, True, id="for the same round in between"),
    ],
)
def test_more_or_fewer_rounds_at_a_constant_learning_rate_leave_round_1_as_it_was(tmp_path, rounds, exported, reused):
    own = tmp_path / "pipeline.config"
    cosine = re.compile(r"cosine_decay_learning_rate \{[^}]*\}")
    own.write_text(cosine.sub("constant_learning_rate { learning_rate: 0.001 }", config.preset("ssd-mobilenet-v2-tiny-96").decode()))
    before, after = (manifest(steps=10, pipelineConfig={"url": str(own)}, hardNegativeMining={"rounds": number}) for number in rounds)
    earlier, store = Store(str(tmp_path / "earlier")), Store(str(tmp_path / "store"))
    make_revision(earlier)
    make_revision(store)
    inputs = round_input_digest(earlier, before, step(before, 1), Access())
    value = made(input_digest=inputs, saved_model=names.round_saved_model(1) if exported else "")
    earlier.write(names.round_marker(1), encode(value))
    files = {
        names.round_config(1): b"configuration",
        names.round_detections(1): b"table",
        f"{names.round_checkpoints(1)}/ckpt-1.index": b"",
    }
    for key, data in files.items():
        earlier.write(key, data)
    if exported:
        earlier.write(EXPORTED, b"graph")

    revision = pipeline.Revision(dataset=after, access=Access(), root=Store(str(tmp_path)), store=store, siblings=(earlier,))
    assert pipeline.trained(revision, step(after, 1)) == (value if reused else None)
    assert store.exists(names.round_marker(1)) is reused
    assert store.exists(EXPORTED) is exported
    assert {key: store.read(key) for key in files if store.exists(key)} == (files if reused else {})


def test_a_mining_that_is_reused_has_its_scores_and_its_records(tmp_path):
    dataset = manifest(steps=10, hardNegativeMining={"rounds": 2})
    earlier, store = Store(str(tmp_path / "earlier")), Store(str(tmp_path / "store"))
    for each in (earlier, store):
        make_revision(each)
        each.write(names.round_marker(1), encode(made(input_digest="round", saved_model="")))
    value = Mining(
        number=1,
        input_digest=mining_input_digest(earlier, dataset, 1),
        threshold=0.5,
        floor=0.05,
        pool=1,
        trained_on=1,
        fooled=1,
        hard=(),
        hard_images=1,
        added=1,
        random=(),
        negatives=(),
        negative_images=1,
        review=(),
        scores=names.mining_scores(1),
    )
    files = {names.mining_scores(1): b"table", f"{names.mining_hard(1)}/a.tfrecord": b"records"}
    for key, data in files.items():
        earlier.write(key, data)
    earlier.write(names.mining_marker(1), encode(value))
    revision = pipeline.Revision(dataset=dataset, access=Access(), root=Store(str(tmp_path)), store=store, siblings=(earlier,))
    assert pipeline.mined(revision, 1) == value
    assert {key: store.read(key) for key in files if store.exists(key)} == files
