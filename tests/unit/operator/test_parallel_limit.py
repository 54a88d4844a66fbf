"""For any sequence of events: no more trainings run than allowed, and none waits without end.

At last, the dataset is ready.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import msgspec
from building import NOW, TRAINING, UID, DatasetState, merged
from hypothesis import given, settings
from hypothesis import strategies as st

from negset_api import names, stages
from negset_operator import reasons
from negset_operator.decision import Creation, Decision
from negset_operator.facts import Child, Failure, Fault, Work
from negset_operator.kube.objects import ObjectMeta, OwnerReference

COMPARED = merged(TRAINING, {"training": {"comparisons": ["NoNegatives", "RandomNegatives"], "hardNegativeMining": {"rounds": 3}}})
LIMITED = ("train", "mine")
MOST_TICKS = 200


class Cluster:
    """The API server and the controllers, for one dataset.

    A deleted child exists for one more tick.
    """

    def __init__(self, limit: int) -> None:
        self.given = DatasetState(COMPARED).with_raw(training={"maxParallel": limit})
        self.made = 0

    def tick(self) -> Decision:
        """Decide, check the decision, and carry it out."""
        given = self.given
        decision = given.decide()
        children = {child.name: child for child in given.children if not child.terminating}
        for each in decision.adoptions:
            generation = int(each.labels.get(names.LABEL_GENERATION, children[each.name].generation))
            children[each.name] = msgspec.structs.replace(children[each.name], generation=generation)
        for switch in decision.suspend_changes:
            work = Work.SUSPENDED if switch.suspend else Work.STARTING
            child = children[switch.name]
            children[switch.name] = msgspec.structs.replace(child, suspended=switch.suspend, suspended_by_us=switch.suspend, work=work)
        for deletion in decision.deletions:
            if deletion.name in children:
                meta = msgspec.structs.replace(children[deletion.name].metadata, deletion_timestamp=given.now)
                children[deletion.name] = msgspec.structs.replace(children[deletion.name], metadata=meta)
        new = [self.born(creation) for creation in decision.creations if creation.manifest["kind"] in {"Job", "RayJob"}]
        self.check(decision, new, [child for child in children.values() if awake(child)])
        assert not {child.name for child in new} & set(children), "no name is taken twice"
        given.children = [*children.values(), *new]
        if decision.desired_status.completed is not None:
            given.status = {"completed": decision.desired_status.completed, "revision": decision.desired_status.revision}
        return decision

    def check(self, decision: Decision, new: Sequence[Child], go_on: Sequence[Child]) -> None:
        limit = self.given.raw["training"]["maxParallel"]
        before = sum(map(awake, self.given.children))
        leaving = sum(child.terminating for child in self.given.children if awake(child))
        after = len(go_on) + leaving + sum(limited(child) for child in new)
        assert after <= max(limit, before), "no more start, or resume after a suspension, than may run"
        assert not (self.given.raw["suspend"] and new)
        idle = not any(not child.work.finished or child.terminating for child in self.given.children)
        ready = decision.desired_status.condition(reasons.READY)
        if idle and not new and not decision.deletions and not ready.status and not self.given.raw["suspend"]:
            assert decision.wake_after is not None, "if nothing runs and nothing is begun, there is a moment at which that changes"

    def born(self, creation: Creation) -> Child:
        self.made += 1
        meta, labels = creation.manifest["metadata"], creation.manifest["metadata"]["labels"]
        return Child(
            kind=creation.manifest["kind"],
            metadata=ObjectMeta(
                name=meta["name"],
                namespace="team-a",
                uid=f"uid-{self.made}",
                creation_timestamp=self.given.now,
                owner_references=(OwnerReference(uid=UID),),
            ),
            work=Work.STARTING,
            spec_hash=labels[names.LABEL_SPEC_HASH],
            revision=labels[names.LABEL_REVISION],
            role=labels[names.LABEL_ROLE],
            attempt=int(labels[names.LABEL_ATTEMPT]),
            generation=int(labels[names.LABEL_GENERATION]),
            digest=labels[names.LABEL_DIGEST],
            place=labels[names.LABEL_PLACE],
            built=labels[names.LABEL_BUILT],
        )

    def ends(self, number: int, fault: Fault | None) -> None:
        """End one of the running children, with this fault or with success."""
        at_work = [index for index, child in enumerate(self.given.children) if child.work in {Work.STARTING, Work.RUNNING}]
        if at_work:
            index = at_work[number % len(at_work)]
            work = Work.FAILED if fault else Work.SUCCEEDED
            failure = Failure(fault=fault, message="It failed.") if fault else None
            self.given.children[index] = msgspec.structs.replace(
                self.given.children[index], work=work, failure=failure, ended=self.given.now
            )

    def edited(self, **training: int) -> None:
        self.given.with_raw(training=training)
        self.given.generation += 1

    def suspended(self, *, suspend: bool) -> None:
        self.given.with_raw(suspend=suspend)
        self.given.generation += 1

    def passes(self, seconds: float) -> None:
        self.given.now += timedelta(seconds=seconds)


def limited(child: Child) -> bool:
    return stages.kind_of(child.role) in LIMITED


def awake(child: Child) -> bool:
    """Return True for a training or mining that may hold GPUs."""
    return limited(child) and not child.work.finished and child.work is not Work.SUSPENDED


Event = Callable[[Cluster], None]
EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.integers(0, 5).map(lambda number: lambda cluster: cluster.ends(number, None)),
    st.tuples(st.integers(0, 5), st.sampled_from([Fault.UNAVAILABLE, Fault.INTERRUPTION])).map(
        lambda one: lambda cluster: cluster.ends(*one)
    ),
    st.integers(1, 3).map(lambda limit: lambda cluster: cluster.edited(maxParallel=limit)),
    st.integers(100, 102).map(lambda steps: lambda cluster: cluster.edited(steps=steps)),
    st.booleans().map(lambda suspend: lambda cluster: cluster.suspended(suspend=suspend)),
    st.sampled_from([1, 30, 700]).map(lambda seconds: lambda cluster: cluster.passes(seconds)),
)


@settings(max_examples=60, derandomize=True)
@given(limit=st.integers(1, 3), events=st.lists(EVENTS, max_size=30))
def test_no_more_than_may_run_are_started_and_the_dataset_becomes_ready(limit, events):
    cluster = Cluster(limit)
    for event in events:
        cluster.tick()
        event(cluster)
    cluster.suspended(suspend=False)
    for _ in range(MOST_TICKS):
        decision = cluster.tick()
        if decision.desired_status.condition(reasons.READY).status:
            return
        cluster.ends(0, None)
        cluster.passes(decision.wake_after or 1)
    raise AssertionError(f"not ready: {decision.desired_status.condition(reasons.READY)}")


def test_the_simulation_begins_a_second_training_only_where_two_may_run():
    for limit, most in ((1, 1), (2, 2)):
        cluster, seen = Cluster(limit), 0
        for _ in range(MOST_TICKS):
            cluster.tick()
            seen = max(seen, sum(limited(child) and not child.work.finished for child in cluster.given.children))
            cluster.ends(0, None)
        assert (seen, cluster.given.now) == (most, NOW)


def test_a_training_that_the_spec_no_longer_has_keeps_its_slot_until_it_is_deleted():
    given = (
        DatasetState(TRAINING)
        .with_succeeded("check", "data")
        .with_child("train-none", Work.RUNNING, spec_hash="c0ffee00", terminating=True)
    )
    assert [creation for creation in given.decide().creations if creation.manifest["kind"] == "Job"] == []
    given.children.pop()
    assert [creation.manifest["metadata"]["name"] for creation in given.decide().creations if creation.manifest["kind"] == "Job"] == [
        given.child("train-1")
    ]


def test_after_a_suspension_with_a_lower_limit_trainings_resume_one_after_the_other():
    spec = merged(COMPARED, {"training": {"maxParallel": 1}})
    given = (
        DatasetState(spec).with_succeeded("check", "data").with_child("train-none", Work.SUSPENDED).with_child("train-1", Work.SUSPENDED)
    )
    decision = given.decide()
    assert [(switch.name, switch.suspend) for switch in decision.suspend_changes] == [(given.child("train-none"), False)]
    assert decision.creations == () or "Job" not in {creation.manifest["kind"] for creation in decision.creations}
    given = DatasetState(spec).with_succeeded("check", "data", "train-none").with_child("train-1", Work.SUSPENDED)
    assert [(switch.name, switch.suspend) for switch in given.decide().suspend_changes] == [(given.child("train-1"), False)]
