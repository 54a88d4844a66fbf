"""A wrong value is refused before anything is installed, with a message that names it."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
import yaml
from tests.unit.chart.helm import CHART, run

from negset_operator.config import Config

REFUSED = {
    "a misspelt value": ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    "a misspelt value further down": ({"image": {"tagg": "1"}}, "at '/image': additional properties 'tagg' not allowed"),
    "a misspelt setting of the operator": ({"config": {"netwroks": {}}}, "at '/config': additional properties 'netwroks' not allowed"),
    "a number where a quantity is due": (
        {"config": {"pods": {"trainer": {"requests": {"cpu": 2}}}}},
        "at '/config/pods/trainer/requests/cpu': got number, want string",
    ),
    "a shared memory without a size": (
        {"config": {"pods": {"trainerSharedMemory": "0"}}},
        "at '/config/pods/trainerSharedMemory': '0' does not match pattern",
    ),
    "resources without limits": ({"resources": {"limits": None}}, "at '/resources': missing property 'limits'"),
    "a network that is an address": ({"config": {"networks": {"stores": ["10.0.0.1"]}}}, "at '/config/networks/stores/0'"),
    "the value that two others replaced": (
        {"config": {"networks": {"allowed": ["10.0.0.0/8"]}}},
        "expected config.networks.images (networks of images and annotations) and config.networks.stores (networks of object stores)",
    ),
    "a scheme with its colon": ({"config": {"networks": {"schemes": ["s3:"]}}}, "at '/config/networks/schemes/0'"),
    "a proxy with a password": ({"config": {"networks": {"proxy": {"url": "http://me:secret@p:1"}}}}, "at '/config/networks/proxy/url'"),
    "a proxy's port that there is not": ({"config": {"networks": {"proxy": {"url": "http://p:65536"}}}}, "at '/config/networks/proxy/url'"),
    "no scheme at all": ({"config": {"networks": {"schemes": []}}}, "at '/config/networks/schemes'"),
    "a namespace that cannot exist": ({"watchNamespaces": ["Team_A"]}, "at '/watchNamespaces/0'"),
    "a namespace given twice": ({"watchNamespaces": ["a", "a"]}, "at '/watchNamespaces'"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "at '/image/digest'"),
    "a pull policy that Kubernetes does not know": ({"image": {"pullPolicy": "Sometimes"}}, "at '/image/pullPolicy'"),
    "patience without any attempt": ({"config": {"patience": {"attempts": 0}}}, "at '/config/patience/attempts'"),
    "a monitor without a service to find the pods by": (
        {"metrics": {"service": False, "serviceMonitor": {"enabled": True}}},
        "metrics.serviceMonitor.enabled needs metrics.service",
    ),
    "an account that is neither made nor named": ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
}


@pytest.mark.parametrize(("values", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_the_chart_refuses(values, message):
    done = run("template", "negset", str(CHART), values=values)
    assert done.returncode != 0
    assert message in done.stderr


def schema():
    return json.loads((CHART / "values.schema.json").read_text())


def objects_in(node, path=""):
    """Return every object schema that lists its properties, with its path."""
    if isinstance(node, dict):
        if "properties" in node and node.get("type") == "object":
            yield path, node
        for key, child in node.items():
            yield from objects_in(child, f"{path}/{key}")


def test_no_object_of_the_schema_takes_unknown_properties():
    open_ones = [path for path, node in objects_in(schema()) if node.get("additionalProperties") is not False]
    assert open_ones == []


def test_every_value_is_in_the_schema_and_every_property_of_the_schema_has_a_value():
    """Free-form maps (labels, quantities, selectors) are left out. `global` is Helm's own."""
    found = schema()

    def compare(values, node, path):
        node = found["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if "properties" not in node:
            return
        assert set(values) == set(node["properties"]) - {"global"}, path
        for key, value in values.items():
            compare(value, node["properties"][key], f"{path}.{key}")

    compare(yaml.safe_load((CHART / "values.yaml").read_text()), found, "")


def test_every_setting_of_the_operator_can_be_made_in_the_chart():
    """Images and namespaces have their own values."""
    settings = {field.encode_name for field in msgspec.structs.fields(Config)} - {"images", "namespaces"}
    assert set(schema()["properties"]["config"]["properties"]) == settings


def test_every_value_has_a_comment():
    """One comment may explain several values. An empty line ends the group."""
    blocks = (CHART / "values.yaml").read_text().split("\n\n")
    assert [block.partition(":")[0] for block in blocks if not block.startswith("#")] == []


def test_comments_are_at_most_100_columns_wide():
    files = [CHART / "values.yaml", *(CHART / "templates").iterdir()]
    comment = re.compile(r"^ *#.*|{{-? ?/\*[\s\S]*?\*/ ?-?}}", re.MULTILINE)
    wide = [line for path in files for match in comment.finditer(path.read_text()) for line in match[0].splitlines() if len(line) > 100]
    assert wide == []
