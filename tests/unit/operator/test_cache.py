"""The cache of a reflector, and the order of the changes that it gets."""

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
    assert cache.replace([same, new], 3) == ([new], [gone])
    assert cache.all() == (same, new)


def test_the_list_of_one_namespace_takes_nothing_away_from_another(cache):
    elsewhere = Pod(metadata=ObjectMeta(name="a", namespace="other", uid="u", resource_version="1", labels={"group": "g"}))
    gone = pod("gone", 2)
    cache.put(elsewhere)
    cache.put(gone)
    assert cache.replace([], 3, "n") == ([], [gone])
    assert cache.all() == (elsewhere,)
    assert cache.replace([], 3) == ([], [elsewhere])


def test_a_list_keeps_what_a_write_of_ours_has_answered_since(cache):
    made = pod("made", 8)
    cache.put(made, ours=True)
    assert cache.replace([], 7) == ([], [])
    assert cache.all() == (made,)


def test_the_answer_to_a_write_does_not_bring_back_what_has_ended_meanwhile(cache):
    cache.put(pod("a", 5))
    cache.remove(pod("a", 7))
    assert not cache.put(pod("a", 6), ours=True)
    assert not cache.put(pod("a", 7), ours=True)
    assert cache.all() == ()


def test_what_left_the_selector_may_come_back(cache):
    cache.put(pod("a", 5))
    cache.remove(pod("a", 7))
    assert cache.put(pod("a", 9))


def test_what_our_write_answered_takes_the_place_of_the_same_version_that_the_watch_brought(cache):
    watched, answered = pod("a", 5), pod("a", 5, group="other")
    cache.put(watched)
    assert not cache.put(answered)
    assert cache.put(answered, ours=True)
    assert cache.get("n", "a") is answered
    assert cache.group(("n", "g")) == ()
    assert cache.group(("n", "other")) == (answered,)
    assert not cache.put(pod("a", 4), ours=True)


def test_a_new_version_is_kept_as_it_is_seen_and_our_own_as_it_is():
    cache = Cache(
        lambda _: ("n", "g"),
        keep=lambda before, now: pod("a", int(now.metadata.resource_version), uid=f"after {before.metadata.uid}") if before else now,
    )
    cache.put(pod("a", 1, uid="first"))
    cache.put(pod("a", 2))
    assert cache.get("n", "a").metadata.uid == "after first"
    cache.put(pod("a", 3, uid="ours"), ours=True)
    assert cache.get("n", "a").metadata.uid == "ours"
