"""What a job writes last must arrive; and a status is written onto the object that the job works for, and no other."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import ApiException

from negset_api.spec import Metadata
from negset_jobs import on_kubernetes
from negset_jobs.on_kubernetes import StatusWriter


class Api:
    """Plays the API server: gives the answers one after the other, and keeps what was asked."""

    def __init__(self, *answers: Exception | None) -> None:
        self.answers, self.bodies = list(answers), []

    def patch_namespaced_custom_object_status(self, *arguments: Any, **_: Any) -> None:
        self.bodies.append(arguments[-1])
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


@pytest.fixture
def writer(monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr(on_kubernetes.time, "sleep", waited.append)

    def make(*answers: Exception | None) -> tuple[StatusWriter, Api, list[float]]:
        one = StatusWriter.__new__(StatusWriter)
        one._metadata, one._api = Metadata(name="a", namespace="n", uid="1"), Api(*answers)
        return one, one._api, waited

    return make


def test_the_last_word_is_said_again_until_it_is_heard(writer):
    one, api, waited = writer(ApiException(status=503), OSError("refused"), None)
    one.write_last({"images": {"stored": 3}})
    assert [body["status"] for body in api.bodies] == [{"images": {"stored": 3}}] * 3
    assert waited == [1, 2]


def test_but_not_for_ever_since_the_work_is_done(writer):
    one, api, waited = writer(*[ApiException(status=503)] * 50)
    one.write_last({})
    assert (len(api.bodies), sum(waited)) == (7, 61)


@pytest.mark.parametrize("code", [404, 409])
def test_an_object_that_is_gone_is_told_nothing_more(writer, code):
    one, api, _ = writer(ApiException(status=code))
    one.write_last({})
    assert len(api.bodies) == 1


def test_what_is_said_on_the_way_is_said_once(writer):
    one, api, _ = writer(ApiException(status=503))
    one.write({})
    assert len(api.bodies) == 1


def test_another_object_of_the_same_name_keeps_its_own_status(writer):
    one, api, _ = writer()
    one.write({})
    assert api.bodies[0]["metadata"] == {"uid": "1"}
