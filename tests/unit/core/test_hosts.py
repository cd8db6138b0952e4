from __future__ import annotations

from typing import Any

from paddock.core import commands
from paddock.model.objects import Environment, HostState, UnitState
from paddock.model.specs import Resources, VolumeMount, VolumeSpec
from pretend_cluster import ENVIRONMENT, Cluster, make_service, make_stack

GIB = 1 << 30


def running(hosts: int, **fields: Any) -> Cluster:
    cluster = Cluster.of(hosts)
    cluster.up(make_stack(make_service(**fields)))
    cluster.settle()
    return cluster


def breaker(cluster: Cluster) -> str:
    environment = cluster.snapshot.get(Environment, ENVIRONMENT)
    assert environment is not None
    return environment.breaker


def test_a_silent_host_is_lost_after_its_grace_and_its_units_go_elsewhere() -> None:
    cluster = running(3, replicas=3)
    cluster.dead.add("host-h1")
    cluster.set_host("h1", state=HostState.SILENT, since_s=cluster.now_s)
    plan = cluster.decide()
    assert plan.wake_at_s == cluster.now_s + 10.0
    assert cluster.where() == ["h1", "h2", "h3"]
    cluster.pass_time(10.0)
    assert cluster.host("h1").state is HostState.LOST
    assert [unit.state for unit in cluster.units() if unit.host == "host-h1"] == [UnitState.ORPHANED]
    cluster.settle()
    assert len(cluster.running()) == 3
    assert "h1" not in cluster.where()
    assert sorted(unit.name for unit in cluster.running()) == ["shop-web-1", "shop-web-2", "shop-web-3"]


def test_a_host_that_returns_sheds_what_is_no_longer_its_own() -> None:
    cluster = running(3, replicas=3)
    cluster.lose("h1")
    cluster.settle()
    cluster.pass_time(60.0)
    cluster.bring_back("h1")
    assert not [key for key in cluster.assignment("h1") if key.startswith("unit/")]
    assert not [unit for unit in cluster.units() if unit.state == UnitState.ORPHANED and unit.slot > 3]
    assert len(cluster.running()) == 3


def test_nothing_is_torn_from_the_only_host() -> None:
    cluster = running(1, replicas=2)
    cluster.lose("h1")
    assert [unit.state for unit in cluster.units()] == [UnitState.RUNNING, UnitState.RUNNING]
    waiting = cluster.units()[0].waiting
    assert waiting is not None
    assert waiting.reason.startswith("host h1 is lost, and it cannot go elsewhere: no host can take it: 1 host: lost")
    cluster.bring_back("h1")
    assert [unit.waiting for unit in cluster.units()] == [None, None]
    assert [unit.generation for unit in cluster.units()] == [1, 1]


def test_only_as_many_move_as_find_room() -> None:
    cluster = running(2, replicas=6, reservation=Resources(memory_bytes=2 * GIB))
    assert cluster.where() == ["h1"] * 3 + ["h2"] * 3
    cluster.lose("h1")
    assert cluster.where() == ["h1"] * 2 + ["h2"] * 4


def test_a_unit_whose_volume_is_on_the_lost_host_waits_for_it() -> None:
    cluster = Cluster.of(3)
    volumes = {"data": VolumeSpec(name="shop_data")}
    cluster.up(make_stack(make_service("db", volumes=(VolumeMount(volume="data", target="/d"),)), volumes=volumes))
    cluster.settle()
    home = cluster.where("db")[0]
    cluster.lose(home)
    unit = cluster.live("db")[0]
    assert unit.host == f"host-{home}"
    assert unit.waiting is not None
    assert f"volume shop_data is on {home}" in unit.waiting.reason


def test_one_of_two_moves_but_two_of_three_opens_the_breaker() -> None:
    two = running(2, replicas=2)
    two.lose("h1")
    assert breaker(two) == "closed"
    assert two.where() == ["h2", "h2"]
    three = running(3, replicas=3)
    three.lose("h1", "h2")
    assert breaker(three) == "open"
    assert three.where() == ["h1", "h2", "h3"]
    waiting = three.live()[0].waiting
    assert waiting is not None
    assert "nothing is moved" in waiting.reason


def test_the_breaker_closes_when_most_are_back_and_then_the_rest_is_moved() -> None:
    cluster = running(5, replicas=5)
    cluster.lose("h1", "h2", "h3")
    assert breaker(cluster) == "open"
    cluster.pass_time(3600.0)
    assert breaker(cluster) == "open"
    cluster.bring_back("h1")
    assert breaker(cluster) == "closed"
    cluster.settle()
    assert len(cluster.running()) == 5
    assert not {"h2", "h3"} & set(cluster.where())


def test_an_operator_may_say_that_lost_hosts_are_lost() -> None:
    cluster = running(3, replicas=3)
    cluster.lose("h1", "h2")
    environment = cluster.snapshot.get(Environment, ENVIRONMENT)
    assert environment is not None
    cluster.commit(commands.override_breaker(environment))
    cluster.settle()
    assert cluster.where() == ["h3", "h3", "h3"]
    cluster.bring_back("h1", "h2")
    assert breaker(cluster) == "closed"


def test_hosts_lost_one_after_the_other_are_each_moved_away_from() -> None:
    cluster = running(4, replicas=4)
    for name in ("h1", "h2", "h3"):
        cluster.lose(name)
        cluster.settle()
        cluster.pass_time(300.0)
    assert breaker(cluster) == "closed"
    assert cluster.where() == ["h4"] * 4


def test_draining_moves_the_new_one_first_and_names_what_stays() -> None:
    cluster = Cluster.of(2)
    volumes = {"data": VolumeSpec(name="shop_data")}
    cluster.up(
        make_stack(
            make_service("db", volumes=(VolumeMount(volume="data", target="/d"),)),
            make_service("web", replicas=2),
            volumes=volumes,
        )
    )
    cluster.settle()
    home = cluster.where("db")[0]
    cluster.commit(commands.drain(cluster.host(home)))
    cluster.decide()
    fewest = 2
    while cluster.step():
        fewest = min(fewest, len(cluster.running("web")))
    cluster.settle()
    assert fewest == 2
    assert home not in cluster.where("web")
    assert cluster.where("db") == [home]
    waiting = cluster.live("db")[0].waiting
    assert waiting is not None
    assert waiting.reason == f"host {home} is drained, and it cannot go elsewhere: volume shop_data is on {home}"
    cluster.commit(commands.activate(cluster.host(home)))
    cluster.settle()
    assert cluster.live("db")[0].waiting is None


def test_a_host_that_is_taken_out_gives_its_units_to_the_others() -> None:
    cluster = running(2, replicas=2)
    cluster.commit(commands.remove_host(cluster.snapshot, cluster.host("h1"), force=True))
    cluster.settle()
    assert cluster.where() == ["h2", "h2"]
