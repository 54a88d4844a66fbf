"""The administrator's configuration file."""

from __future__ import annotations

import pytest
import yaml

from negset_api.errors import InvalidInput
from negset_operator.config import Config, read


def test_what_the_file_leaves_out_keeps_its_default(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"images": {"jobs": "registry/jobs:1"}, "networks": {"allowed": ["10.0.0.0/8"]}}))
    config = read(str(path))
    assert config.images.jobs == "registry/jobs:1"
    assert config.images.trainer == Config().images.trainer
    assert config.networks.allowed == ("10.0.0.0/8",)


def test_an_empty_file_is_the_default(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("")
    assert read(str(path)) == Config()


WRONG = {
    "an unknown field": ("imagez: {}", "Object contains unknown field `imagez`"),
    "a wrong type": ("workers: many", "Expected `int`, got `str` - at `$.workers`"),
    "a number out of range": ("patience: {attempts: 0}", "Expected `int` >= 1 - at `$.patience.attempts`"),
    "a size that is no quantity": (
        "pods: {trainerSharedMemory: none}",
        "Expected `str` matching regex",
    ),
    "an address that is no network": ("networks: {allowed: [10.0.0.1/8]}", "10.0.0.1/8 has host bits set"),
    "text that is no YAML": ("a: [", "expected YAML in"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_named(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read(str(path))
    assert str(caught.value).startswith("--config: ")
    assert message in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"--config: cannot read '.*nothing.yaml': No such file or directory"):
        read(str(tmp_path / "nothing.yaml"))
