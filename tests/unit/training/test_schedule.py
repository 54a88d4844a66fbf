"""What becomes of the learning rate with another batch size or other steps."""

import logging

import pytest
from google.protobuf import text_format
from object_detection.protos import train_pb2

from negset_api.spec import PipelineConfig, Training
from negset_jobs.training import config as configs
from negset_jobs.training.schedule import scale_for_batch, scale_for_steps

CONSTANT = "constant_learning_rate { learning_rate: 0.01 }"
EXPONENTIAL = (
    "exponential_decay_learning_rate { initial_learning_rate: 0.01 burnin_learning_rate: 0.001 burnin_steps: 50 "
    "min_learning_rate: 0.0001 decay_steps: 200 }"
)
MANUAL = (
    "manual_step_learning_rate { initial_learning_rate: 0.01 schedule { step: 10 learning_rate: 0.001 } "
    "schedule { step: 80 learning_rate: 0.0001 } }"
)
COSINE = (
    "cosine_decay_learning_rate { learning_rate_base: 0.01 warmup_learning_rate: 0.001 total_steps: 100 "
    "warmup_steps: 20 hold_base_rate_steps: 10 }"
)


def train_config(rate, optimizer="momentum_optimizer"):
    text = f"batch_size: 8 num_steps: 100 optimizer {{ {optimizer} {{ learning_rate {{ {rate} }} }} }}"
    return text_format.Parse(text, train_pb2.TrainConfig())


def schedule_of(train):
    rate = getattr(train.optimizer, train.optimizer.WhichOneof("optimizer")).learning_rate
    return getattr(rate, rate.WhichOneof("learning_rate"))


def rates(train):
    """Every learning rate of the schedule, by field, those of manual steps in their order."""
    schedule = schedule_of(train)
    found = {field.name: value for field, value in schedule.ListFields() if field.name.endswith(("rate", "rate_base"))}
    if hasattr(schedule, "schedule"):
        found["steps"] = [entry.learning_rate for entry in schedule.schedule]
    return found


def approximately(expected):
    return {name: pytest.approx(value, rel=1e-5) for name, value in expected.items()}


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(CONSTANT, {"learning_rate": 0.08}, id="a constant rate is eight times as large"),
        pytest.param(
            EXPONENTIAL,
            {"initial_learning_rate": 0.08, "burnin_learning_rate": 0.008, "min_learning_rate": 0.0008},
            id="an exponential decay is eight times as large from its burn-in to its floor",
        ),
        pytest.param(
            MANUAL, {"initial_learning_rate": 0.08, "steps": [0.008, 0.0008]}, id="every step of a manual schedule is eight times as large"
        ),
        pytest.param(
            COSINE,
            {"learning_rate_base": 0.08, "warmup_learning_rate": 0.008},
            id="a cosine decay and its warm-up are eight times as large",
        ),
    ],
)
def test_a_batch_eight_times_as_large_with_momentum(rate, expected):
    train = train_config(rate)
    scale_for_batch(train, 8, 64)
    assert rates(train) == approximately(expected)
    scale_for_batch(train, 64, 8)
    assert rates(train) == approximately(rates(train_config(rate))), "the way back gives the rates as they were"


@pytest.mark.parametrize("optimizer", ["adam_optimizer", "rms_prop_optimizer"])
@pytest.mark.parametrize("rate", [CONSTANT, EXPONENTIAL, MANUAL, COSINE])
def test_an_adaptive_optimizer_gets_the_square_root(optimizer, rate):
    train = train_config(rate, optimizer)
    peak = next(iter(rates(train)))
    scale_for_batch(train, 4, 64)
    assert rates(train)[peak] == pytest.approx(0.04, rel=1e-5)


@pytest.mark.parametrize(("before", "after"), [(8, 8), (0, 8)], ids=["the same batch", "a configuration without a batch"])
def test_without_a_change_of_the_batch_nothing_is_scaled_and_nothing_is_logged(before, after, caplog):
    train = train_config(COSINE)
    scale_for_batch(train, before, after)
    assert train == train_config(COSINE)
    assert not caplog.messages


def test_a_rate_that_the_configuration_leaves_to_its_default_is_scaled_too():
    train = train_config("constant_learning_rate { }")
    scale_for_batch(train, 8, 16)
    assert schedule_of(train).learning_rate == pytest.approx(0.004)


def test_the_old_and_the_new_rate_are_told(caplog):
    with caplog.at_level(logging.WARNING):
        scale_for_batch(train_config(COSINE), 8, 64)
    (message,) = caplog.messages
    assert "from 8 to 64 images" in message
    assert "from 0.01 to 0.08" in message


def test_the_batch_size_of_the_spec_scales_the_presets_rate():
    spec = Training(pipeline_config=PipelineConfig(preset="ssd-resnet50-fpn-640"), steps=50_000, batch_size=64)
    before = configs.parse(configs.preset("ssd-resnet50-fpn-640"), "preset")
    after = configs.patch_training(before, spec)
    peaks = [schedule_of(config.train_config).learning_rate_base for config in (before, after)]
    assert peaks[1] / peaks[0] == pytest.approx(64 / before.train_config.batch_size)


def stretched(rate, steps):
    train = train_config(rate)
    scale_for_steps(train, steps)
    return schedule_of(train)


def test_every_schedule_ends_with_the_training():
    cosine = stretched(COSINE, 500)
    assert (cosine.total_steps, cosine.warmup_steps, cosine.hold_base_rate_steps) == (500, 100, 50)
    exponential = stretched(EXPONENTIAL, 500)
    assert (exponential.decay_steps, exponential.burnin_steps) == (1000, 250)
    assert [entry.step for entry in stretched(MANUAL, 500).schedule] == [50, 400]
    assert stretched(CONSTANT, 500).learning_rate == pytest.approx(0.01)


def test_a_warm_up_is_shorter_than_the_whole():
    assert stretched(COSINE.replace("warmup_steps: 20", "warmup_steps: 100"), 3).warmup_steps == 2
