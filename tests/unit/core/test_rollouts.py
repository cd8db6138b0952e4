from __future__ import annotations

import pytest

from paddock.core import commands
from paddock.model.errors import Conflict
from paddock.model.objects import Revision, Unit, UnitState
from paddock.model.snapshot import Snapshot
from paddock.model.specs import PortSpec, Resources, ServiceSpec, UpdatePolicy, VolumeMount, VolumeSpec
from pretend_cluster import Cluster, make_service, make_stack


def running(spec: ServiceSpec, hosts: int = 3) -> Cluster:
    cluster = Cluster.of(hosts)
    cluster.up(make_stack(spec))
    cluster.settle()
    return cluster


def images(cluster: Cluster) -> list[str]:
    """Of running units, by slot."""
    found = [cluster.snapshot.get(Revision, unit.revision) for unit in cluster.running()]
    return [revision.spec.container.image for revision in found if revision is not None]


def roll(cluster: Cluster, most: int = 200) -> tuple[int, int]:
    """Settles step by step; answers the lowest number running and the highest number live in between."""
    fewest, most_live = 10**6, 0
    for _ in range(most):
        moved = cluster.step()
        fewest = min(fewest, len(cluster.running()))
        most_live = max(most_live, len(cluster.live()))
        if not moved:
            plan = cluster.decide()
            if plan.wake_at_s is None:
                return fewest, most_live
            cluster.now_s = plan.wake_at_s
            cluster.decide()
    raise AssertionError("the rollout does not end")


def test_stop_first_replaces_one_slot_after_the_other() -> None:
    cluster = running(make_service(replicas=3))
    cluster.up(make_stack(make_service(replicas=3, image="busybox:2")))
    fewest, most = roll(cluster)
    assert (fewest, most) == (2, 3)
    assert images(cluster) == ["busybox:2"] * 3
    assert [unit.name for unit in cluster.running()] == ["shop-web-1", "shop-web-2", "shop-web-3"]
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert rollout.state == "completed"


def test_start_first_never_has_fewer_running_and_hands_over() -> None:
    spec = make_service(replicas=3, update=UpdatePolicy(order="start-first", parallelism=2))
    cluster = running(spec)
    cluster.up(make_stack(make_service(replicas=3, image="busybox:2", update=spec.update)))
    fewest, most = roll(cluster)
    assert (fewest, most) == (3, 5)
    assert images(cluster) == ["busybox:2"] * 3


def test_what_touches_no_container_replaces_nothing() -> None:
    cluster = running(make_service(replicas=2))
    before = [unit.id for unit in cluster.running()]
    cluster.up(make_stack(make_service(replicas=2, labels={"a": "b"}, update=UpdatePolicy(parallelism=5))))
    roll(cluster)
    assert [unit.id for unit in cluster.running()] == before


def test_a_failing_update_pauses_and_leaves_the_rest_running() -> None:
    cluster = running(make_service(replicas=3))
    good = {unit.revision for unit in cluster.running()}
    cluster.behave = lambda unit: "run" if unit.revision in good else "exit 1"
    cluster.up(make_stack(make_service(replicas=3, image="broken")))
    for _ in range(20):
        cluster.step()
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert (rollout.state, rollout.message) == ("paused", "1 of 3 units failed: exit 1")
    assert len(cluster.running()) >= 2
    assert images(cluster)[-2:] == ["busybox", "busybox"]


def test_a_failing_update_rolls_the_whole_service_back() -> None:
    update = UpdatePolicy(failure_action="rollback", max_failure_ratio=0.2)
    cluster = running(make_service(replicas=4, update=update))
    good = {unit.revision for unit in cluster.running()}
    cluster.behave = lambda unit: "run" if unit.revision in good or unit.slot == 1 else "exit 1"
    cluster.up(make_stack(make_service(replicas=4, image="broken", update=update)))
    roll(cluster)
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert rollout.state == "rolled-back"
    assert images(cluster) == ["busybox"] * 4


def test_a_rollback_leaves_alone_what_was_not_touched() -> None:
    update = UpdatePolicy(order="start-first", failure_action="rollback")
    spec = make_service(replicas=3, update=update, rollback=UpdatePolicy(parallelism=0))
    cluster = running(spec)
    before = [unit.id for unit in cluster.running()]
    good = {unit.revision for unit in cluster.running()}
    cluster.behave = lambda unit: "run" if unit.revision in good else "exit 1"
    cluster.up(
        make_stack(make_service(replicas=3, image="broken", update=update, rollback=UpdatePolicy(parallelism=0)))
    )
    fewest, _ = roll(cluster)
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert rollout.state == "rolled-back"
    assert fewest == 2
    assert [unit.id for unit in cluster.running()][1:] == before[1:]


def test_continue_replaces_all_in_spite_of_failures() -> None:
    update = UpdatePolicy(failure_action="continue")
    cluster = running(make_service(replicas=3, update=update))
    good = {unit.revision for unit in cluster.running()}
    cluster.behave = lambda unit: "run" if unit.revision in good or unit.slot != 2 else "exit 1"
    cluster.up(make_stack(make_service(replicas=3, image="busybox:2", update=update)))
    for _ in range(40):
        cluster.step()
        cluster.pass_time(1.0)
    assert all(unit.revision == cluster.service("web").revision for unit in cluster.live())


def test_start_first_falls_back_where_no_host_has_room_for_both() -> None:
    update = UpdatePolicy(order="start-first")
    port = (PortSpec(target=80, published="80"),)
    cluster = running(make_service(replicas=2, update=update, ports=port), hosts=2)
    cluster.up(make_stack(make_service(replicas=2, update=update, ports=port, image="busybox:2")))
    fewest, most = roll(cluster)
    assert (fewest, most) == (1, 2)
    assert images(cluster) == ["busybox:2"] * 2


def test_an_update_that_fits_nowhere_stops_nothing() -> None:
    update = UpdatePolicy(order="start-first")
    cluster = running(make_service(replicas=2, update=update), hosts=2)
    too_much = Resources(memory_bytes=1 << 50)
    cluster.up(make_stack(make_service(replicas=2, update=update, image="busybox:2", reservation=too_much)))
    roll(cluster)
    assert images(cluster) == ["busybox"] * 2
    waiting = cluster.live()[-1].waiting or cluster.live()[1].waiting
    assert waiting is not None
    assert "memory" in waiting.reason


def test_a_service_that_writes_a_local_volume_is_never_started_twice() -> None:
    update = UpdatePolicy(order="start-first")
    volumes = (VolumeMount(volume="data", target="/data"),)
    spec = make_service(update=update, volumes=volumes)
    changed = make_service(update=update, volumes=volumes, image="busybox:2")
    there = {"data": VolumeSpec(name="shop_data")}
    cluster = Cluster.of(3)
    cluster.up(make_stack(spec, volumes=there))
    cluster.settle()
    home = cluster.where()
    cluster.up(make_stack(changed, volumes=there))
    fewest, most = roll(cluster)
    assert (fewest, most) == (0, 1)
    assert cluster.where() == home


def test_a_restart_that_is_asked_for_keeps_the_containers_and_rolls() -> None:
    cluster = running(make_service(replicas=2))
    before = cluster.running()
    cluster.commit(commands.restart(cluster.service("web")))
    cluster.decide()
    fewest, most = roll(cluster)
    assert (fewest, most) == (1, 2)
    assert [unit.reuses for unit in cluster.running()] == [unit.id for unit in before]


def test_after_a_rollback_of_start_first_the_slot_is_the_old_unit_s_again() -> None:
    update = UpdatePolicy(order="start-first", failure_action="rollback")
    cluster = running(make_service(replicas=2, update=update))
    kept = [unit.id for unit in cluster.running()]
    cluster.behave = lambda unit: "run" if unit.id in kept else "sick"
    cluster.up(make_stack(make_service(replicas=2, update=update, image="busybox:broken")))
    roll(cluster)
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert rollout.state == "rolled-back"
    assert [unit.id for unit in cluster.units()] == kept
    cluster.behave = lambda unit: "run"
    cluster.up(make_stack(make_service(replicas=2, update=update, image="busybox:2")))
    roll(cluster)
    assert images(cluster) == ["busybox:2"] * 2
    # Nobody who still remembers what failed takes one of these for it.
    assert all(unit.generation > 2 for unit in cluster.running())


def test_rollback_by_hand_goes_back_and_pausing_needs_a_rollout() -> None:
    cluster = running(make_service(replicas=2))
    with pytest.raises(Conflict):
        commands.pause(cluster.service("web"))
    cluster.up(make_stack(make_service(replicas=2, image="busybox:2")))
    cluster.step()
    cluster.commit(commands.pause(cluster.service("web")))
    roll(cluster)
    assert sorted(images(cluster)) == ["busybox", "busybox:2"]
    cluster.commit(commands.rollback(cluster.snapshot, cluster.service("web"), cluster.now_s))
    cluster.decide()
    roll(cluster)
    assert images(cluster) == ["busybox"] * 2


def test_delay_is_kept_between_batches() -> None:
    update = UpdatePolicy(parallelism=1, delay_s=30.0)
    cluster = running(make_service(replicas=3, update=update))
    began = cluster.now_s
    cluster.up(make_stack(make_service(replicas=3, update=update, image="busybox:2")))
    roll(cluster)
    assert images(cluster) == ["busybox:2"] * 3
    assert 60.0 <= cluster.now_s - began <= 80.0


def test_units_that_never_ran_are_replaced_at_once() -> None:
    cluster = Cluster.of(1)
    cluster.behave = lambda unit: "reject" if unit.generation == 1 else "run"
    cluster.up(make_stack(make_service(replicas=3, image="nosuch")))
    cluster.step()
    cluster.up(make_stack(make_service(replicas=3)))
    cluster.settle()
    assert len(cluster.running()) == 3
    assert all(unit.state == UnitState.RUNNING for unit in cluster.live())


def test_a_unit_that_ended_well_after_a_failure_holds_no_rollout_up() -> None:
    update = UpdatePolicy(max_failure_ratio=1.0)
    cluster = running(make_service(update=update))
    before = cluster.units()[-1].generation
    cluster.behave = lambda unit: "run" if unit.generation == before else f"exit {int(unit.generation == before + 1)}"
    cluster.up(make_stack(make_service(update=update, image="app/job")))
    roll(cluster)
    assert cluster.units()[-1].state == UnitState.COMPLETE
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert rollout.failures == 1
    assert rollout.state == "completed"


def test_what_waits_for_a_host_is_not_placed_as_something_else_by_a_rollback() -> None:
    """Two want the port of the only host; the one that has it fails, and the other gets no host as if it had none."""
    update = UpdatePolicy(failure_action="rollback", parallelism=2)
    port = (PortSpec(target=80, published="8100"),)
    cluster = running(make_service(replicas=2, update=update), hosts=1)
    good = cluster.service("web").revision

    def only_one_has_the_port(snapshot: Snapshot) -> None:
        holders = [unit for unit in snapshot.table(Unit).values() if unit.revision != good and unit.host and unit.live]
        assert len(holders) <= 1, [unit.id for unit in holders]

    cluster.check = only_one_has_the_port
    cluster.behave = lambda unit: "run" if unit.revision == good else "exit 1"
    cluster.up(make_stack(make_service(replicas=2, update=update, ports=port)))
    roll(cluster)
    rollout = cluster.service("web").rollout
    assert rollout is not None
    assert rollout.state == "rolled-back"
    assert {unit.revision for unit in cluster.running()} == {good}
