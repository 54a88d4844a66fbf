"""The administrator's configuration file."""

from __future__ import annotations

import pytest
import yaml

from negset_api.errors import InvalidInput
from negset_operator.config import Config, read


def test_what_the_file_leaves_out_keeps_its_default(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"images": {"jobs": "registry/jobs:1"}, "networks": {"stores": ["10.0.0.0/8"]}}))
    config = read(str(path))
    assert config.images.jobs == "registry/jobs:1"
    assert config.images.trainer == Config().images.trainer
    assert config.networks.stores == ("10.0.0.0/8",)
    assert config.networks.images == ()


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
    "a store's network that is an address of it": ("networks: {stores: [10.0.0.1/8]}", "networks.stores: expected a network such as"),
    "a network of images that is no CIDR": ("networks: {images: [intranet]}", "networks.images: expected a network such as"),
    "an API server's network with host bits": ("networks: {apiServer: [10.0.0.1/8]}", "10.0.0.1/8 has host bits set"),
    "the setting that two others replaced": (
        "networks: {allowed: [10.0.0.0/8]}",
        "networks.allowed: expected networks.images (networks of images and annotations) and networks.stores (networks of object stores)",
    ),
    "a scheme with its colon": ("networks: {schemes: ['s3:']}", "Expected `str` matching regex"),
    "a proxy with a password": ("networks: {proxy: {url: 'http://me:secret@proxy:3128'}}", "Expected `str` matching regex"),
    "a proxy's port that there is not": (
        "networks: {proxy: {url: 'http://p:99999'}}",
        "networks.proxy.url: expected a port of at most 65535",
    ),
    "a proxy's port 0": ("networks: {proxy: {url: 'http://p:0'}}", "Expected `str` matching regex"),
    "a proxy's network that is none": (
        "networks: {proxy: {url: 'http://p', networks: [p]}}",
        "networks.proxy.networks: expected a network such as",
    ),
    "no scheme at all": ("networks: {schemes: []}", "Expected `array` of length >= 1"),
    "a port that there is not": ("networks: {dnsPorts: [70000]}", "Expected `int` <= 65535"),
    "a Ray without token authentication": ("rayVersion: 2.51.0", "expected 2.53 or later"),
    "a Ray version that is none": ("rayVersion: latest", "Expected `str` matching regex"),
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


TAKEN = {
    "a public address": "url: 'http://8.8.8.8:3128'",
    "a Service's address, with the network of its pods": "url: 'http://10.96.1.2:3128', networks: [10.244.0.0/16]",
    "an address that a policy of the administrator allows": "url: 'http://10.1.2.3:3128'",
    "a private address in its networks": "url: 'http://10.1.2.3:3128', networks: [10.1.0.0/16]",
    "a name, which the operator resolves at its start": "url: 'http://proxy.example:3128'",
    "the last port": "url: 'http://proxy.example:65535'",
    "no proxy": "networks: [10.1.0.0/16]",
}


@pytest.mark.parametrize("proxy", TAKEN.values(), ids=TAKEN.keys())
def test_a_proxy_that_jobs_may_be_able_to_reach_is_taken(tmp_path, proxy):
    path = tmp_path / "config.yaml"
    path.write_text(f"networks: {{proxy: {{{proxy}}}}}")
    read(str(path))


@pytest.mark.parametrize("setting", ["images: [10.1.0.0/16]", "stores: [10.1.2.3/32]", "policies: false"])
def test_a_private_proxy_may_be_reached_without_networks_of_its_own_by(tmp_path, setting):
    path = tmp_path / "config.yaml"
    path.write_text(f"networks: {{{setting}, proxy: {{url: 'http://10.1.2.3:3128'}}}}")
    assert not read(str(path)).networks.unreachable_proxy(["10.1.2.3"])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match=r"--config: cannot read '.*nothing.yaml': No such file or directory"):
        read(str(tmp_path / "nothing.yaml"))
