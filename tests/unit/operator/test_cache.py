"""What a reflector knows, and in which order it may learn it."""

from __future__ import annotations

import pytest

from negset_operator.kube.cache import Cache
from negset_operator.kube.objects import ObjectMeta, Pod


def pod(name: str, version: int, *, uid: str = "", group: str = "g") -> Pod:
    meta = ObjectMeta(name=name, namespace="n", uid=uid or f"uid-of-{name}", resource_version=str(version), labels={"group": group})
    return Pod(metadata=meta)


@pytest.fixture
def cache() -> Cache[Pod]:
    return Cache(lambda item: (item.metadata.namespace, item.metadata.labels["group"]))


def test_objects_are_found_by_key_and_by_group(cache):
    one, two = pod("b", 1), pod("a", 2)
    cache.put(one)
    cache.put(two)
    cache.put(pod("c", 3, group="other"))
    assert cache.get("n", "b") == one
    assert cache.group(("n", "g")) == (two, one)
    assert cache.group(("n", "nobody")) == ()


def test_an_older_version_never_replaces_a_newer_one(cache):
    assert cache.put(pod("a", 10))
    assert not cache.put(pod("a", 9))
    assert cache.get("n", "a").metadata.resource_version == "10"


def test_versions_are_compared_as_numbers(cache):
    cache.put(pod("a", 9))
    assert cache.put(pod("a", 10))


def test_the_end_of_an_object_does_not_hide_its_successor(cache):
    cache.put(pod("a", 5, uid="second"))
    cache.remove(pod("a", 4, uid="first"))
    assert cache.get("n", "a") is not None
    cache.remove(pod("a", 6, uid="second"))
    assert cache.get("n", "a") is None
    assert cache.group(("n", "g")) == ()


def test_a_list_makes_the_cache_exactly_what_is_there_and_tells_what_changed(cache):
    same, gone = pod("same", 1), pod("gone", 2)
    cache.put(same)
    cache.put(gone)
    new = pod("new", 3)
    assert cache.replace([same, new]) == ([new], [gone])
    assert cache.all() == (same, new)
