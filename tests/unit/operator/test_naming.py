"""The names are valid for KubeRay and Kubernetes for every name of a dataset."""

from __future__ import annotations

import re

import pytest
from building import DATA_ONLY, DatasetState, merged
from hypothesis import given
from hypothesis import strategies as st

from negset_operator import naming

DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
RUN = "3fa9c1d2"

NAMES = {
    "a short name is kept": ("street", "data", 1, "street-3fa9c1d2-data"),
    "a second attempt has a suffix": ("street", "data", 2, "street-3fa9c1d2-data-a2"),
    "a round is named": ("street", "train-10", 1, "street-3fa9c1d2-train-10"),
    "a name that begins with a digit gets a letter and its digest": ("2026-street", "data", 1, "n2026-street-8bc17e-3fa9c1d2-data"),
}


@pytest.mark.parametrize(("dataset", "role", "attempt", "expected"), NAMES.values(), ids=NAMES.keys())
def test_child_names(dataset, role, attempt, expected):
    assert naming.child(dataset, RUN, role, attempt) == expected


AT_THE_EDGE = ["a", "7", "a" * 63, "7" * 63, f"7{'-' * 61}7", "x--y", "n7"]


@pytest.mark.parametrize("name", AT_THE_EDGE)
def test_every_dns_label_makes_a_name_that_kuberay_accepts(name):
    for role in ("train-random-10", "data", "delete"):
        made = naming.child(name, RUN, role, 99)
        assert DNS_1035.fullmatch(made)
        assert len(made) <= 47


def test_a_dot_is_the_one_thing_in_an_objects_name_that_a_rayjobs_name_cannot_have():
    """So the CRD refuses it (`NAME_RULE` in negset_api/spec)."""
    assert not DNS_1035.fullmatch(naming.child("street.v2", RUN, "data"))


dataset_names = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,80}[a-z0-9])?\Z")
roles = st.sampled_from(["check", "data", "train-none", "train-10", "train-random-10", "mine-9", "delete"])


@given(dataset_names, roles, st.integers(1, 99))
def test_every_name_is_one_that_kuberay_accepts(dataset, role, attempt):
    for name in (naming.child(dataset, RUN, role, attempt), naming.account(dataset), naming.config_map(dataset, RUN)):
        assert len(name) <= 47
        assert DNS_1035.fullmatch(name)


@given(st.sets(dataset_names, min_size=2, max_size=2))
def test_two_datasets_never_share_a_name(pair):
    one, other = pair
    assert naming.child(one, RUN, "data") != naming.child(other, RUN, "data")
    assert naming.account(one) != naming.account(other)


@given(dataset_names)
def test_the_label_is_a_valid_value(dataset):
    assert len(naming.label(dataset)) <= 63
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", naming.label(dataset))


RUNS = {
    "suspending continues the same run": ({"suspend": True}, True),
    "another deletion policy, too": ({"deletionPolicy": "Delete"}, True),
    "more Ray workers are another run": ({"ray": {"workers": 9}}, False),
    "more patience is another run": ({"download": {"maxFailedPercent": 50}}, False),
    "another queue is another run": ({"queueName": "team-b"}, False),
    "a default that is spelt out is the same run": ({"ray": {"workers": 2}}, True),
    "other classes are another run": ({"excludeClasses": ["dog"]}, False),
}


@pytest.mark.parametrize(("changes", "same"), RUNS.values(), ids=RUNS.keys())
def test_runs(changes, same):
    assert (DatasetState(merged(DATA_ONLY, changes)).spec_hash == DatasetState(DATA_ONLY).spec_hash) is same
