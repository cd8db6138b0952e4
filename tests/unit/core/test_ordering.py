from __future__ import annotations

from paddock.core import commands
from paddock.model.objects import Service, UnitDesired, UnitState
from paddock.model.specs import Condition, Dependency, RestartPolicy, ServiceSpec, Sharing
from pretend_cluster import ENVIRONMENT, Cluster, make_service, make_stack

NONE = RestartPolicy(condition="none")


def web(condition: Condition, **fields: object) -> ServiceSpec:
    dependency = Dependency(service="db", condition=condition, **fields)  # type: ignore[arg-type]
    return make_service("web", depends_on=(dependency,))


def reason(cluster: Cluster, name: str = "web") -> str:
    waiting = cluster.live(name)[0].waiting
    return waiting.reason if waiting is not None else ""


def test_units_are_placed_at_once_but_run_only_when_what_they_depend_on_has_started() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(web("service_started"), make_service("db")))
    assert (cluster.live()[0].state, cluster.live()[0].desired) == (UnitState.PLACED, UnitDesired.READY)
    assert reason(cluster) == "waits: shop-db-1 has not started"
    cluster.settle()
    assert len(cluster.running()) == 1


def test_healthy_means_healthy() -> None:
    cluster = Cluster.of(2)
    cluster.behave = lambda unit: "sick" if unit.service_name == "db" and unit.generation < 2 else "run"
    cluster.up(make_stack(web("service_healthy"), make_service("db")))
    for _ in range(2):
        cluster.step()
    assert reason(cluster) == "waits: shop-db-1 is not healthy"
    cluster.settle()
    assert len(cluster.running()) == 1


def test_completed_means_completed_and_a_failure_for_good_is_named() -> None:
    cluster = Cluster.of(2)
    outcome = {"db": "exit 1"}
    cluster.behave = lambda unit: outcome.get(unit.service_name, "run")
    cluster.up(make_stack(web("service_completed_successfully"), make_service("db", restart=NONE)))
    cluster.settle()
    assert reason(cluster) == "waits: shop-db-1 failed (exit 1) and is not started again"
    outcome["db"] = "exit 0"
    cluster.commit(commands.restart(cluster.service("db")))
    cluster.settle()
    assert len(cluster.running()) == 1


def test_a_dependency_that_is_not_required_may_fail_or_be_missing() -> None:
    cluster = Cluster.of(2)
    cluster.behave = lambda unit: "exit 1" if unit.service_name == "db" else "run"
    cluster.up(make_stack(web("service_healthy", required=False), make_service("db", restart=NONE)))
    cluster.settle()
    assert len(cluster.running()) == 1
    other = Cluster.of(2)
    other.up(make_stack(web("service_healthy", required=False)))
    other.settle()
    assert len(other.running()) == 1


def test_a_crash_does_not_ask_for_dependencies_again() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(web("service_started"), make_service("db", restart=NONE)))
    cluster.settle()
    cluster.report(cluster.running("db")[0], UnitState.FAILED)
    cluster.report(cluster.running("web")[0], UnitState.FAILED)
    cluster.settle()
    assert len(cluster.running()) == 1


def test_removal_goes_the_other_way_round() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(web("service_started"), make_service("db")))
    cluster.settle()
    cluster.commit(commands.remove_stack(cluster.snapshot, ENVIRONMENT, "shop"))
    cluster.decide()
    assert cluster.live("web")[0].desired == UnitDesired.REMOVED
    assert cluster.live("db")[0].desired == UnitDesired.RUN
    cluster.step()
    assert cluster.live("db")[0].desired == UnitDesired.REMOVED


def test_a_service_may_be_gone_while_others_of_its_stack_still_go() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(web("service_started"), make_service("db"), make_service("cache"), make_service("job")))
    cluster.settle()
    cluster.commit(commands.remove_stack(cluster.snapshot, ENVIRONMENT, "shop"))
    cluster.decide()
    for name in ("web", "job", "cache", "db"):
        for unit in cluster.units(name):
            cluster.report(unit, UnitState.REMOVED)
        cluster.decide()
        cluster.decide()
    assert not cluster.snapshot.table(Service)


def test_dependents_that_ask_for_it_are_restarted_after_a_change() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(web("service_started", restart=True), make_service("db")))
    cluster.settle()
    before = cluster.running()[0].id
    cluster.up(make_stack(web("service_started", restart=True), make_service("db", image="busybox:2")))
    cluster.settle()
    assert cluster.running()[0].reuses == before


def test_containers_that_share_are_on_the_same_host_and_follow_their_partner() -> None:
    cluster = Cluster.of(3)
    sharer = make_service("probe", replicas=3, sharing=(Sharing(what="network", service="web"),))
    cluster.up(make_stack(make_service(replicas=3), sharer))
    assert [unit.host for unit in cluster.live("probe")] == [unit.host for unit in cluster.live()]
    assert cluster.live("probe")[0].desired == UnitDesired.READY
    cluster.settle()
    assert len(cluster.running("probe")) == 3
    cluster.lose("h2")
    cluster.settle()
    assert [unit.host for unit in cluster.running("probe")] == [unit.host for unit in cluster.running()]
    cluster.pass_time(5.0)
    cluster.report(cluster.running()[0], UnitState.REMOVED)
    cluster.settle()
    assert cluster.running("probe")[0].created_at_s >= cluster.running()[0].created_at_s
    assert len(cluster.running("probe")) == 3
