"""What is started again where it was looks first: what it had may be somebody else's by now, or in the same pass."""

from __future__ import annotations

import msgspec
import pytest

from paddock.core import commands
from paddock.core.address_book import holds
from paddock.core.schedule.ports import claims
from paddock.model.changes import Put
from paddock.model.objects import HostId, HostState, Network, NetworkId, Revision, Unit, UnitDesired, UnitState
from paddock.model.snapshot import Snapshot
from paddock.model.specs import Attachment, NetworkSpec, PortSpec, Resources, ServiceSpec
from pretend_cluster import GIB, Cluster, make_host, make_service, make_stack

PORTS = (PortSpec(target=80, published="80"),)
PORT: dict[str, object] = {"ports": PORTS}
MEMORY: dict[str, object] = {"reservation": Resources(memory_bytes=5 * GIB)}
ON_A_NETWORK: dict[str, object] = {"networks": (Attachment(network="default"),)}


def nothing_twice(snapshot: Snapshot) -> None:
    for host in ("host-h1", "host-h2", "host-h3"):
        there = [unit for unit in snapshot.units_on_host(HostId(host)) if unit.live]
        held = [str(claim) for unit in there for claim in claims(spec_of(snapshot, unit))]
        assert len(held) == len(set(held)), f"{held} on {host}"
        assert sum(spec_of(snapshot, unit).reservation.memory_bytes for unit in there) <= 8 * GIB, f"too much on {host}"
    for network in snapshot.table(Network):
        units = [unit for unit in snapshot.units_on_network(NetworkId(network)) if holds(unit)]
        addresses = [unit.addresses[NetworkId(network)] for unit in units]
        assert len(addresses) == len(set(addresses)), addresses


def spec_of(snapshot: Snapshot, unit: Unit) -> ServiceSpec:
    revision = snapshot.get(Revision, unit.revision)
    assert revision is not None
    return revision.spec


def two_services(hosts: int, **claimed: object) -> Cluster:
    """`db` is the older one, on h1; `web` on h2."""
    cluster = Cluster.of(hosts)
    cluster.check = nothing_twice
    network = {"default": NetworkSpec(name="shop_default", subnets=("10.9.0.0/24",))}
    for services in ((("db", "h1"),), (("db", "h1"), ("web", "h2"))):
        cluster.up(make_stack(*(make_service(name, **claimed) for name, _ in services), networks=network))
        cluster.settle()
    assert (cluster.where("db"), cluster.where("web")) == (["h1"], ["h2"])
    return cluster


@pytest.mark.parametrize("claimed", [PORT, MEMORY], ids=["port", "memory"])
def test_a_stopped_unit_whose_place_was_taken_is_started_elsewhere(claimed: dict[str, object]) -> None:
    cluster = two_services(2, **claimed)
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.settle()
    cluster.lose("h1")
    cluster.settle()
    assert cluster.where("db") == ["h2"]
    cluster.bring_back("h1")
    cluster.commit(commands.start(cluster.service("web")))
    cluster.settle()
    assert (cluster.where("db"), cluster.where("web")) == (["h2"], ["h1"])
    assert [unit.state for unit in cluster.units("web")] == [UnitState.RUNNING]


@pytest.mark.parametrize("claimed", [PORT, MEMORY], ids=["port", "memory"])
def test_a_start_and_a_move_in_one_pass_see_each_other(claimed: dict[str, object]) -> None:
    cluster = two_services(2, **claimed)
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.settle()
    cluster.dead.add("host-h1")
    cluster.set_host("h1", state=HostState.SILENT, since_s=cluster.now_s)
    cluster.decide()
    cluster.now_s += 10.0
    cluster.commit(commands.start(cluster.service("web")))
    cluster.decide()
    assert len(cluster.live("db")) == 1
    cluster.bring_back("h1")
    cluster.settle()
    assert sorted(cluster.where("db") + cluster.where("web")) == ["h1", "h2"]


@pytest.mark.parametrize("claimed", [PORT, MEMORY], ids=["port", "memory"])
def test_a_crashed_unit_whose_place_is_taken_in_the_same_pass_goes_elsewhere(claimed: dict[str, object]) -> None:
    """Its end and what takes its place come to be known at once."""
    cluster = two_services(2, **claimed)
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("db"), 2))
    cluster.settle()
    assert [unit.state for unit in cluster.units("db")] == [UnitState.RUNNING, UnitState.NEW]
    (web,) = cluster.live("web")
    cluster.report(web, UnitState.FAILED, "exit code 1")
    cluster.settle()
    assert cluster.where("db") == ["h1", "h2"]
    waiting = cluster.units("web")[-1]
    assert waiting.state == UnitState.NEW
    assert waiting.waiting is not None
    assert ("80/tcp in use" if claimed is PORT else "memory") in waiting.waiting.reason


def test_two_slots_of_one_service_see_each_other_when_they_are_started() -> None:
    """One was stopped in a restart when the other came to its host."""
    cluster = Cluster.of([make_host("h1"), make_host("h2")])
    cluster.check = nothing_twice
    cluster.up(make_stack(make_service(replicas=2, ports=PORTS)))
    cluster.settle()
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.settle()
    both = [unit for unit in cluster.units() if unit.desired == UnitDesired.STOPPED]
    beside = msgspec.structs.replace(both[1], host=both[0].host)
    cluster.commit([Put(object=beside, reason="test")])
    cluster.commit(commands.start(cluster.service("web")))
    cluster.settle()
    assert cluster.where() == ["h1", "h2"]


def test_an_address_that_was_given_on_in_the_same_pass_is_not_taken_back() -> None:
    cluster = two_services(2, **ON_A_NETWORK)
    (web,) = cluster.live("web")
    cluster.report(web, UnitState.FAILED, "exit code 1")
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("db"), 4))
    cluster.settle()
    assert len(cluster.running("db")) == 4
    assert len(cluster.running("web")) == 1


def test_a_unit_that_ended_while_it_was_to_stop_is_started_with_another_address_if_its_own_is_taken() -> None:
    cluster = two_services(2, **ON_A_NETWORK)
    (web,) = cluster.live("web")
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.decide()
    cluster.report(web, UnitState.FAILED, "exit code 137")
    cluster.settle()
    cluster.commit(commands.scale(cluster.snapshot, cluster.service("db"), 4))
    cluster.settle()
    cluster.commit(commands.start(cluster.service("web")))
    cluster.settle()
    assert len(cluster.running("web")) == 1


def test_what_nobody_took_is_started_where_it_was() -> None:
    cluster = two_services(2, **PORT, **ON_A_NETWORK)
    (before,) = cluster.live("web")
    cluster.commit(commands.stop(cluster.service("web")))
    cluster.settle()
    cluster.commit(commands.start(cluster.service("web")))
    cluster.settle()
    (after,) = cluster.running("web")
    assert (after.host, after.addresses, after.reuses) == (before.host, before.addresses, before.id)
