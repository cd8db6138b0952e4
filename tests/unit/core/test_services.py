from __future__ import annotations

import msgspec

from paddock.core import commands
from paddock.model.changes import Put
from paddock.model.check import problems
from paddock.model.objects import Service, Stack, Unit, UnitDesired, UnitState, Volume
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Placement, VolumeMount, VolumeSpec
from pretend_cluster import ENVIRONMENT, Cluster, make_host, make_service, make_stack


def test_a_fresh_service_gets_named_units_spread_over_hosts_that_run_at_once() -> None:
    cluster = Cluster.of(3)
    cluster.up(make_stack(make_service(replicas=3)))
    units = cluster.units()
    assert [unit.name for unit in units] == ["shop-web-1", "shop-web-2", "shop-web-3"]
    assert [(unit.slot, unit.generation) for unit in units] == [(1, 1), (2, 1), (3, 1)]
    assert cluster.where() == ["h1", "h2", "h3"]
    assert all(unit.state == UnitState.PLACED and unit.desired == UnitDesired.RUN for unit in units)
    cluster.settle()
    assert len(cluster.running()) == 3
    assert cluster.service("web").rollout is None


def test_applying_the_same_stack_again_changes_nothing() -> None:
    cluster = Cluster.of(3)
    stack = make_stack(make_service(replicas=3))
    cluster.up(stack)
    cluster.settle()
    version = cluster.snapshot.version
    cluster.up(stack)
    cluster.settle()
    assert cluster.snapshot.version == version


def test_scaling_down_takes_the_highest_slots_and_scaling_up_never_reuses_an_id() -> None:
    cluster = Cluster.of(3)
    cluster.up(make_stack(make_service(replicas=4)))
    cluster.settle()
    seen = {unit.id for unit in cluster.units()}
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("web"), 2))
    cluster.settle()
    assert [unit.slot for unit in cluster.units()] == [1, 2]
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("web"), 4))
    cluster.settle()
    fresh = [unit for unit in cluster.units() if unit.slot > 2]
    assert [unit.name for unit in fresh] == ["shop-web-3", "shop-web-4"]
    assert not seen & {unit.id for unit in fresh}


def test_a_global_service_has_one_unit_on_every_host_that_its_constraints_allow() -> None:
    cluster = Cluster.of(
        [make_host("h1", labels={"disk": "ssd"}), make_host("h2"), make_host("h3", labels={"disk": "ssd"})]
    )
    placement = Placement(constraints=("node.labels.disk==ssd",))
    cluster.up(make_stack(make_service(mode="global", placement=placement)))
    cluster.settle()
    assert cluster.where() == ["h1", "h3"]
    cluster.set_host("h2", labels={"disk": "ssd"})
    cluster.settle()
    assert cluster.where() == ["h1", "h2", "h3"]
    cluster.commit(commands.drain(cluster.host("h1")))
    cluster.settle()
    assert cluster.where() == ["h2", "h3"]


def test_a_stopped_service_keeps_its_containers_and_starts_them_again() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(make_service(replicas=2)))
    cluster.settle()
    before = cluster.units()
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.settle()
    assert [unit.state for unit in cluster.units()] == [UnitState.SHUTDOWN, UnitState.SHUTDOWN]
    cluster.commit(commands.start(cluster.service("web")))
    cluster.settle()
    after = cluster.running()
    assert [unit.reuses for unit in after] == [unit.id for unit in before]
    assert [unit.host for unit in after] == [unit.host for unit in before]
    assert [unit.name for unit in after] == [unit.name for unit in before]


def test_a_unit_that_was_refused_while_it_was_stopped_gets_a_successor_when_it_is_started() -> None:
    """Nothing followed upon it (the simulator, hosts 3994509390)."""
    cluster = Cluster.of(2)
    cluster.up(make_stack(make_service()))
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.decide()
    cluster.report(cluster.units()[0], UnitState.REJECTED, "no such image")
    cluster.settle()
    assert [unit.state for unit in cluster.units()] == [UnitState.REJECTED]
    cluster.commit(commands.start(cluster.service("web")))
    cluster.settle()
    assert [unit.generation for unit in cluster.running()] == [2]


def test_removing_a_stack_leaves_nothing() -> None:
    cluster = Cluster.of(2)
    cluster.up(make_stack(make_service(replicas=2), make_service("db")))
    cluster.settle()
    cluster.commit(commands.remove_stack(cluster.snapshot, ENVIRONMENT, "shop"))
    cluster.settle()
    for kind in (Stack, Service, Unit):
        assert not cluster.snapshot.table(kind)
    assert not cluster.assignment("h1")


def test_a_volume_that_an_unfinished_rollout_may_go_back_to_outlives_it() -> None:
    """The decision to delete it broke the model, and the server with it, until the next look."""
    cluster = Cluster.of(2)
    with_data = make_service(volumes=(VolumeMount(volume="data", target="/data"),))
    cluster.up(make_stack(with_data, volumes={"data": VolumeSpec(name="shop_data")}))
    cluster.settle()
    cluster.up(make_stack(make_service()))
    for _ in range(10):
        cluster.step()
    assert [(unit.generation, unit.state) for unit in cluster.units()] == [(2, UnitState.RUNNING)]
    cluster.commit(commands.remove_stack(cluster.snapshot, ENVIRONMENT, "shop", volumes=True))
    cluster.commit(
        [
            Put(object=msgspec.structs.replace(volume, host=None), reason="its host has removed it")
            for volume in cluster.snapshot.table(Volume).values()
        ]
    )
    cluster.check = _whole
    cluster.settle()
    for kind in (Stack, Service, Unit, Volume):
        assert not cluster.snapshot.table(kind)


def _whole(snapshot: Snapshot) -> None:
    assert problems(snapshot) == []


def test_a_job_runs_each_slot_once_to_its_end() -> None:
    cluster = Cluster.of(2)
    cluster.behave = lambda unit: "exit 0"
    cluster.up(make_stack(make_service(mode="replicated-job", replicas=3)))
    cluster.settle()
    assert [(unit.slot, unit.generation, unit.state) for unit in cluster.units()] == [
        (slot, 1, UnitState.COMPLETE) for slot in (1, 2, 3)
    ]
