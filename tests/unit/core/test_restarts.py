from __future__ import annotations

import msgspec

from paddock.core.generations import backoff_s
from paddock.model.changes import Put
from paddock.model.objects import ContainerStatus, UnitDesired, UnitState
from paddock.model.specs import RestartPolicy
from pretend_cluster import Cluster, make_service, make_stack


def test_backoff_begins_short_doubles_and_is_bounded() -> None:
    assert [backoff_s(count) for count in (0, 1, 2, 3, 4, 8, 9, 500)] == [0, 0.5, 1, 2, 4, 60, 60, 60]


def test_a_crash_starts_the_same_containers_again_on_the_same_host_after_a_backoff() -> None:
    cluster = Cluster.of(3)
    cluster.up(make_stack(make_service()))
    cluster.settle()
    first = cluster.running()[0]
    cluster.report(first, UnitState.FAILED, "exit code 1")
    cluster.decide()
    again = cluster.units()[-1]
    assert (again.slot, again.generation, again.host, again.name) == (1, 2, first.host, first.name)
    assert again.reuses == first.id
    assert again.desired == UnitDesired.READY
    assert again.waiting is not None
    assert again.waiting.reason == "backs off for 0.5 s after 1 failure"
    cluster.pass_time(0.5)
    assert cluster.units()[-1].desired == UnitDesired.RUN
    cluster.settle()
    cluster.report(cluster.running()[0], UnitState.FAILED, "exit code 1")
    cluster.decide()
    assert cluster.units()[-1].reuses == first.id


def test_after_three_quick_crashes_new_containers_are_made_and_the_host_is_demoted() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(make_service()))
    cluster.settle()
    bad = cluster.running()[0].host
    cluster.behave = lambda unit: "exit 1" if unit.host == bad else "run"
    cluster.report(cluster.running()[0], UnitState.FAILED, "exit code 1")
    cluster.settle()
    last = cluster.units()[-1]
    assert last.state == UnitState.RUNNING
    assert last.host != bad
    assert last.reuses is None
    assert last.generation == 5


def test_a_rejected_unit_is_tried_elsewhere() -> None:
    cluster = Cluster.of(3)
    cluster.behave = lambda unit: "reject" if unit.host != "host-h3" else "run"
    cluster.up(make_stack(make_service()))
    cluster.settle()
    assert cluster.where() == ["h3"]


def test_no_more_attempts_than_the_policy_allows_and_it_says_so() -> None:
    cluster = Cluster.of(2)
    cluster.behave = lambda unit: "exit 1"
    cluster.up(make_stack(make_service(restart=RestartPolicy(condition="on-failure", max_attempts=2))))
    cluster.settle()
    last = cluster.units()[-1]
    assert (last.generation, last.state) == (3, UnitState.FAILED)
    assert last.waiting is not None
    assert last.waiting.reason == "not started again: gave up after 2 restarts"


def test_policy_none_leaves_what_has_ended_and_any_restarts_what_ended_well() -> None:
    cluster = Cluster.of(2)
    cluster.up(
        make_stack(
            make_service("once", restart=RestartPolicy(condition="none")),
            make_service("ever", restart=RestartPolicy(condition="any", delay_s=5.0)),
            make_service("task"),
        )
    )
    cluster.settle()
    cluster.report(cluster.running("once")[0], UnitState.FAILED)
    cluster.report(cluster.running("task")[0], UnitState.COMPLETE)
    cluster.report(cluster.running("ever")[0], UnitState.COMPLETE)
    cluster.decide()
    assert [unit.state for unit in cluster.units("once")] == [UnitState.FAILED]
    assert [unit.state for unit in cluster.units("task")] == [UnitState.COMPLETE]
    assert cluster.units("ever")[-1].not_before_s == cluster.now_s + 5.0


def test_an_unhealthy_unit_gets_new_containers() -> None:
    cluster = Cluster.of(1)
    cluster.up(make_stack(make_service()))
    cluster.settle()
    first = cluster.running()[0]
    sick = msgspec.structs.replace(
        first, healthy=False, containers=(ContainerStatus(name=first.name, health="unhealthy"),)
    )
    cluster.commit([Put(object=sick, reason="reported")])
    cluster.settle()
    last = cluster.running()[0]
    assert (last.generation, last.reuses, last.name) == (2, None, first.name)
    assert cluster.units()[0].ended == UnitState.FAILED
    assert "unhealthy" in cluster.units()[0].message


def test_a_container_removed_behind_our_back_is_made_again_at_once() -> None:
    cluster = Cluster.of(1)
    cluster.up(make_stack(make_service()))
    cluster.settle()
    cluster.report(cluster.running()[0], UnitState.REMOVED)
    cluster.decide()
    assert (cluster.live()[0].generation, cluster.live()[0].desired) == (2, UnitDesired.RUN)


def test_few_finished_units_are_kept_and_a_long_run_forgives() -> None:
    cluster = Cluster.of(1)
    cluster.behave = lambda unit: "exit 1" if unit.generation < 9 else "run"
    cluster.up(make_stack(make_service()))
    cluster.settle()
    assert cluster.running()[0].generation == 9
    assert len(cluster.units()) == 4
    crashes = cluster.running()[0].crashes
    cluster.pass_time(61.0)
    cluster.report(cluster.running()[0], UnitState.FAILED)
    cluster.decide()
    assert crashes == 8
    assert cluster.live()[0].crashes == 1
