"""The last write of a job must arrive, only in its own object and while its run may report."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kubernetes.client import ApiException

from negset_api.spec import Metadata
from negset_jobs.adapters import kubernetes_status
from negset_jobs.adapters.kubernetes_status import StatusWriter


class Api:
    """A fake API server: one object with versions.

    It gives the `answers` first, one after another, and counts the requests.
    """

    def __init__(self, *answers: Exception | None, uid: str = "1", runs: list[str] | None = None) -> None:
        self.answers, self.uid, self.runs, self.version = list(answers), uid, runs, 7
        self.asked: list[str] = []
        self.stored: list[Any] = []

    def get_namespaced_custom_object_status(self, *_: Any, **__: Any) -> dict[str, Any]:
        return self.answer("GET")

    def patch_namespaced_custom_object_status(self, *arguments: Any, **_: Any) -> dict[str, Any]:
        body = arguments[-1]
        if body["metadata"] != {"resourceVersion": str(self.version)}:
            self.asked.append("conflict")
            raise ApiException(status=409)
        answer = self.answer("PATCH", after=1)
        self.stored.append(body["status"])
        return answer

    def answer(self, verb: str, after: int = 0) -> dict[str, Any]:
        self.asked.append(verb)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        self.version += after
        status = {} if self.runs is None else {"runs": self.runs}
        return {"metadata": {"uid": self.uid, "resourceVersion": str(self.version)}, "status": status}


@pytest.fixture
def waited(monkeypatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(kubernetes_status.time, "sleep", waited.append)
    return waited


def writer(api: Api, run: str = "abc") -> StatusWriter:
    return StatusWriter(Metadata(name="a", namespace="n", uid="1"), run, api)


def test_the_last_word_is_said_again_until_it_is_heard(waited):
    api = Api(ApiException(status=503), None, OSError("refused"), None)
    writer(api).write_last({"images": {"stored": 3}})
    assert api.stored == [{"images": {"stored": 3}}]
    assert api.asked == ["GET", "GET", "PATCH", "GET", "PATCH"]
    assert waited == [1, 2]


def test_but_not_for_ever_since_the_work_is_done(waited):
    api = Api(*[ApiException(status=503)] * 50)
    writer(api).write_last({})
    assert (len(api.asked), sum(waited)) == (7, 61)


@pytest.mark.parametrize("away", ["the operator", "the API server"])
def test_what_no_later_step_says_again_arrives_after_an_absence_of_minutes(monkeypatch, away):
    api = Api(runs=["abc"])
    one = writer(api)
    one.write({"n": 1})
    if away == "the operator":  # it has created this run's job, but not yet listed it
        api.runs, api.version = ["def"], api.version + 1
    else:
        api.answers = [ApiException(status=503)] * 15
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if sum(slept) > 300:
            api.runs = ["abc"]

    monkeypatch.setattr(kubernetes_status.time, "sleep", sleep)
    one.write_last({"n": 2}, final=True)
    assert api.stored == [{"n": 1}, {"n": 2}]
    assert 300 < sum(slept) < 360


def test_nor_is_an_api_server_waited_for_that_this_pod_has_never_reached(waited):
    api = Api(*[OSError("no route")] * 50)
    writer(api).write_last({}, final=True)
    assert sum(waited) == 61


def test_the_longest_wait_is_a_quarter_of_an_hour(waited, caplog):
    api = Api(None, *[ApiException(status=503)] * 50)
    writer(api).write_last({}, final=True)
    assert sum(waited) == 901
    assert caplog.messages[-1] == "failed to write the last results to the status; they are in the output"


@pytest.mark.parametrize("api", [Api(ApiException(status=404)), Api(uid="2")], ids=["none of its name", "another of its name"])
def test_a_deleted_object_is_not_written(waited, api):
    writer(api).write_last({}, final=True)
    assert (api.asked, api.stored, waited) == (["GET"], [], [])


def test_a_status_that_the_api_server_calls_invalid_is_not_written_again(waited):
    api = Api(None, ApiException(status=422))
    writer(api).write_last({}, final=True)
    assert (api.asked, waited) == (["GET", "PATCH"], [])


def test_what_is_said_on_the_way_is_said_once(waited):
    api = Api(None, ApiException(status=503))
    writer(api).write({})
    assert (api.asked, waited) == (["GET", "PATCH"], [])


def test_a_write_is_one_request_while_nobody_else_writes():
    api = Api(runs=["abc"])
    one = writer(api)
    for _ in range(10):
        one.write({})
    assert api.asked == ["GET", *["PATCH"] * 10]


def test_what_somebody_else_wrote_in_between_is_looked_at_and_nothing_is_said_about_it(caplog):
    caplog.set_level(logging.INFO)
    api = Api(runs=["abc"])
    one = writer(api)
    one.write({"n": 1})
    api.version += 1
    one.write({"n": 2})
    assert api.stored == [{"n": 1}, {"n": 2}]
    assert api.asked == ["GET", "PATCH", "conflict", "GET", "PATCH"]
    assert caplog.records == []


def test_a_run_that_another_has_replaced_says_nothing_more(waited, caplog):
    caplog.set_level(logging.INFO)
    api = Api(runs=["abc"])
    one = writer(api)
    one.write({"n": 1})
    api.runs, api.version = ["def"], api.version + 1
    one.write({"n": 2})
    one.write_last({"n": 3})
    assert api.stored == [{"n": 1}]
    assert caplog.records == []


def test_the_last_word_waits_until_the_operator_has_listed_the_run(monkeypatch):
    api = Api(runs=["def"])
    monkeypatch.setattr(kubernetes_status.time, "sleep", lambda _: setattr(api, "runs", ["abc", "def"]))
    writer(api).write_last({"n": 1})
    assert api.stored == [{"n": 1}]


@pytest.mark.parametrize(("run", "runs"), [("abc", None), ("abc", []), ("", ["def"])], ids=["an older operator", "nothing told", "no run"])
def test_where_nobody_says_which_runs_may_report_every_run_does(run, runs):
    api = Api(runs=runs)
    writer(api, run).write({"n": 1})
    assert api.stored == [{"n": 1}]


def test_an_object_that_others_write_to_all_the_time_does_not_hold_up_the_work():
    class Busy(Api):
        def get_namespaced_custom_object_status(self, *_: Any, **__: Any) -> dict[str, Any]:
            found = super().get_namespaced_custom_object_status()
            self.version += 1
            return found

    api = Busy()
    writer(api).write({})
    assert api.asked == ["GET", "conflict"] * 5
