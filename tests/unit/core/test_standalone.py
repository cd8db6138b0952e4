"""Containers that somebody else makes: wished for, prepared, connected, renamed, gone; and never made by us."""

from __future__ import annotations

import msgspec
import pytest

from named import meaning
from paddock.core.assignment import answers, assignment
from paddock.core.concerned import hosts_concerned
from paddock.core.dry_run import dry_run
from paddock.core.standalone import (
    HOME_NETWORK,
    NameInUse,
    connect,
    disconnect,
    forget,
    new_network,
    rename,
    unlink,
    volume_named,
    wish,
)
from paddock.model.assignment import NetworkAssignment, UnitAssignment
from paddock.model.changes import Put
from paddock.model.check import problems_between
from paddock.model.errors import Conflict, NotFound
from paddock.model.objects import ContainerStatus, HostId, Network, Revision, Service, Unit, UnitId, UnitState, Volume
from paddock.model.reports import UnitReport
from paddock.model.specs import Attachment, NetworkSpec, Placement, ServiceSpec, VolumeMount
from paddock.server.reports import unit_after
from pretend_cluster import ENVIRONMENT, Cluster, make_service


def spec(name: str = "web", **fields: object) -> ServiceSpec:
    fields.setdefault("networks", (Attachment(network=HOME_NETWORK),))
    return make_service(name, mode="standalone", container_name=name, **fields)


def run(cluster: Cluster, wanted: ServiceSpec) -> Unit:
    """Wished for and placed in one commit, as the gateway does."""
    changes = dry_run(cluster.snapshot, wish(cluster.snapshot, ENVIRONMENT, wanted, cluster.now_s), cluster.now_s)
    cluster.commit(changes)
    cluster.decide()
    return cluster.called(wanted.name)


def seen(cluster: Cluster, name: str, state: UnitState, running: bool = True) -> Unit:
    status = ContainerStatus(id=f"{name}-0123456789abcdef", name=name, state="running" if running else "exited")
    now = msgspec.structs.replace(
        cluster.called(name), state=state, healthy=running, containers=(status,) if state >= UnitState.READY else ()
    )
    cluster.commit([Put(object=now, reason="reported")])
    cluster.decide()
    return now


def names_of(cluster: Cluster, host: str) -> list[str]:
    items = assignment(cluster.snapshot, HostId(f"host-{host}")).values()
    return [name for name, addresses in meaning(items).items() if addresses]


def test_it_is_placed_with_an_address_in_the_same_commit() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    network = cluster.snapshot.named(Network, ENVIRONMENT, HOME_NETWORK)
    assert network is not None
    assert (unit.state, unit.standalone, list(unit.addresses)) == (UnitState.PLACED, True, [network.id])
    items = assignment(cluster.snapshot, HostId(unit.host or ""))
    told = next(item for item in items.values() if isinstance(item, UnitAssignment))
    assert told.hands_off
    assert told.containers[0].body == {}
    assert any(isinstance(item, NetworkAssignment) for item in items.values())


def test_an_end_of_its_own_is_no_end_of_the_unit() -> None:
    cluster = Cluster.checked()
    run(cluster, spec())
    for running in (True, False, True):
        seen(cluster, "web", UnitState.READY, running)
        unit = cluster.called("web")
        assert (unit.state, unit.ready, answers(cluster.snapshot, unit)) == (UnitState.READY, running, running)
        assert len(cluster.snapshot.units_named(ENVIRONMENT, "web")) == 1


def test_it_is_named_by_name_short_id_and_alias() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec(networks=(Attachment(network=HOME_NETWORK, aliases=("www",)),)))
    seen(cluster, "web", UnitState.READY)
    host = cluster.host_of(unit)
    assert names_of(cluster, host) == ["web", "web-01234567", "www"]
    seen(cluster, "web", UnitState.READY, running=False)
    assert names_of(cluster, host) == []


def test_what_was_removed_is_forgotten_and_not_made_anew() -> None:
    cluster = Cluster.checked()
    run(cluster, spec())
    seen(cluster, "web", UnitState.READY)
    seen(cluster, "web", UnitState.REMOVED)
    assert cluster.snapshot.units_named(ENVIRONMENT, "web") == []
    assert not cluster.snapshot.table(Service)
    assert not cluster.snapshot.table(Revision)
    run(cluster, spec())


def test_what_could_not_be_prepared_is_tried_elsewhere() -> None:
    cluster = Cluster.checked()
    first = run(cluster, spec())
    seen(cluster, "web", UnitState.REJECTED)
    seen(cluster, "web", UnitState.REMOVED)
    second = cluster.called("web")
    assert second.generation == first.generation + 1
    assert second.host != first.host


def test_it_stays_with_a_host_that_is_lost() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    seen(cluster, "web", UnitState.READY)
    host = cluster.host_of(unit)
    cluster.lose(host)
    waiting = cluster.called("web")
    assert (waiting.host, waiting.state) == (unit.host, UnitState.READY)
    assert waiting.waiting is not None
    assert "docker run" in waiting.waiting.reason
    cluster.bring_back(host)
    assert cluster.called("web").waiting is None


def test_a_name_is_had_once() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    with pytest.raises(NameInUse) as refusal:
        wish(cluster.snapshot, ENVIRONMENT, spec(), cluster.now_s)
    assert refusal.value.unit == unit
    service = cluster.snapshot.get(Service, unit.service)
    assert service is not None
    cluster.commit(forget(cluster.snapshot, service))
    again = run(cluster, spec())
    assert again.id != unit.id


def test_a_network_must_be_there() -> None:
    with pytest.raises(NotFound, match="network nowhere not found"):
        wish(Cluster.checked().snapshot, ENVIRONMENT, spec(networks=(Attachment(network="nowhere"),)), 1.0)


def test_volumes_are_made_and_bind_to_its_host() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec(volumes=(VolumeMount(volume="data", target="/d"),)))
    volume = cluster.snapshot.named(Volume, ENVIRONMENT, "data")
    assert volume is not None
    assert volume.host == unit.host
    for number in range(4):
        other = run(cluster, spec(f"other{number}", volumes=(VolumeMount(volume="data", target="/d"),)))
        assert other.host == unit.host
    assert volume_named(cluster.snapshot, ENVIRONMENT, "data", 1.0) == (volume, [])


def test_constraints_hold() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec(placement=Placement(constraints=("node.hostname==h2",))))
    assert unit.host == "host-h2"


def make_network(cluster: Cluster, name: str) -> Network:
    network, changes = new_network(cluster.snapshot, ENVIRONMENT, NetworkSpec(name=name), cluster.now_s)
    cluster.commit(changes)
    cluster.decide()
    return network


def test_networks_are_joined_and_left() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    seen(cluster, "web", UnitState.READY)
    network = make_network(cluster, "blue")
    before = cluster.snapshot
    made = connect(before, cluster.called("web"), network, Attachment(network="blue", aliases=("w",)), 1.0)
    cluster.commit(made.changes)
    cluster.decide()
    joined = cluster.called("web")
    assert sorted(joined.addresses) == sorted([*unit.addresses, network.id])
    assert problems_between(before, cluster.snapshot) == []
    host = cluster.host_of(unit)
    assert "w" in names_of(cluster, host)
    with pytest.raises(Conflict, match="already exists in network"):
        connect(cluster.snapshot, joined, network, Attachment(network="blue"), 1.0)
    cluster.commit(disconnect(cluster.snapshot, joined, network, 1.0))
    cluster.decide()
    assert cluster.called("web").addresses == unit.addresses
    assert "w" not in names_of(cluster, host)


def test_links_are_told_of_and_taken_away() -> None:
    cluster = Cluster.checked()
    network, changes = new_network(cluster.snapshot, ENVIRONMENT, NetworkSpec(name="blue"), 1.0)
    cluster.commit(changes)
    run(cluster, spec(links=("db:store", "mail:mail")))
    unit = cluster.called("web")
    joining = Attachment(network="blue", links=("far:near",))
    cluster.commit(connect(cluster.snapshot, unit, network, joining, 1.0).changes)
    assert links_of(cluster) == {"store": "db", "mail": "mail", "near": "far"}
    cluster.commit(unlink(cluster.snapshot, cluster.called("web"), "store", 1.0))
    assert links_of(cluster) == {"mail": "mail", "near": "far"}
    assert unlink(cluster.snapshot, cluster.called("web"), "store", 1.0) == []
    cluster.commit(disconnect(cluster.snapshot, cluster.called("web"), network, 1.0))
    assert links_of(cluster) == {"mail": "mail"}


def links_of(cluster: Cluster) -> dict[str, str]:
    unit = cluster.called("web")
    item = assignment(cluster.snapshot, unit.host or HostId(""))[f"unit/{unit.id}"]
    assert isinstance(item, UnitAssignment)
    return item.containers[0].links


def test_auxiliary_addresses_are_given_to_nobody() -> None:
    cluster = Cluster.checked()
    wanted = NetworkSpec(name="blue", subnets=("10.9.0.0/24",), aux_addresses={"printer": "10.9.0.128"})
    cluster.commit(new_network(cluster.snapshot, ENVIRONMENT, wanted, 1.0)[1])
    unit = run(cluster, spec(networks=(Attachment(network="blue"),)))
    assert list(unit.addresses.values()) == ["10.9.0.129"]
    network = cluster.snapshot.named(Network, ENVIRONMENT, "blue")
    assert network is not None
    second = run(cluster, spec("other"))
    with pytest.raises(Conflict, match=r"10\.9\.0\.128"):
        connect(cluster.snapshot, second, network, Attachment(network="blue", ipv4_address="10.9.0.128"), 1.0)


def test_it_is_named_while_it_is_being_started() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    seen(cluster, "web", UnitState.PREPARED)
    cluster.commit([Put(object=msgspec.structs.replace(cluster.called("web"), starting=True), reason="started")])
    assert "web" in names_of(cluster, "h1")
    created = ContainerStatus(id="web-0123456789abcdef", name="web", state="created")
    told = UnitReport(unit=UnitId(unit.id), state=UnitState.READY, containers=(created,))
    after = unit_after(cluster.called("web"), told, 2.0)
    assert after is not None
    assert after.starting, "an engine tells of its creation after it was asked to start it"
    told = msgspec.structs.replace(told, containers=(msgspec.structs.replace(created, state="exited"),))
    after = unit_after(after, told, 2.0)
    assert after is not None
    assert not answers(cluster.snapshot, after)


def test_one_that_its_host_has_forgotten_and_has_no_more_is_gone() -> None:
    """Removed while the agent's ledger was lost: it was said to be there for ever (the simulator, 2575504279)."""
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    told = UnitReport(unit=UnitId(unit.id), state=UnitState.PREPARED)
    assert unit_after(msgspec.structs.replace(unit, state=UnitState.PREPARING), told, 2.0) is not None
    ready = msgspec.structs.replace(unit, state=UnitState.READY)
    assert unit_after(ready, msgspec.structs.replace(told, state=UnitState.PREPARING), 2.0) is None
    assert unit_after(msgspec.structs.replace(ready, remake="start"), told, 2.0) is None, "its host makes it again"
    after = unit_after(ready, told, 2.0)
    assert after is not None
    assert after.state == UnitState.REMOVED
    cluster.commit([Put(object=after, reason="reported")])
    cluster.decide()
    assert not cluster.snapshot.units_named(ENVIRONMENT, "web")


def test_a_short_id_is_told_of_once_it_is_known() -> None:
    cluster = Cluster.checked()
    before = msgspec.structs.replace(run(cluster, spec()), state=UnitState.READY, starting=True)
    cluster.commit([Put(object=before, reason="started")])
    old = cluster.snapshot
    status = ContainerStatus(id="0123456789abcdef", state="created")
    change = Put(object=msgspec.structs.replace(cluster.called("web"), containers=(status,)), reason="reported")
    cluster.commit([change])
    assert hosts_concerned([change], old, cluster.snapshot)
    assert "0123456789ab" in names_of(cluster, "h1")


def test_that_a_container_was_made_is_told_to_nobody() -> None:
    cluster = Cluster.checked()
    run(cluster, spec())
    seen(cluster, "web", UnitState.PREPARED, running=False)
    old = cluster.snapshot
    status = ContainerStatus(id="0123456789abcdef", state="created")
    unit = cluster.called("web")
    made = msgspec.structs.replace(unit, state=UnitState.READY, healthy=False, containers=(status,))
    change = Put(object=made, reason="reported")
    cluster.commit([change])
    assert not hosts_concerned([change], old, cluster.snapshot)
    assert assignment(cluster.snapshot, HostId("host-h1")) == assignment(old, HostId("host-h1"))


def test_an_address_of_somebody_else_is_not_given() -> None:
    cluster = Cluster.checked()
    network = make_network(cluster, "blue")
    first = run(cluster, spec("first", networks=(Attachment(network="blue"),)))
    second = run(cluster, spec("second"))
    address = next(iter(first.addresses.values()))
    fresh = cluster.snapshot.get(Network, network.id)
    assert fresh is not None
    with pytest.raises(Conflict, match="cannot be had"):
        connect(cluster.snapshot, second, fresh, Attachment(network="blue", ipv4_address=address), 1.0)


def test_it_is_renamed() -> None:
    cluster = Cluster.checked()
    unit = run(cluster, spec())
    run(cluster, spec("taken"))
    with pytest.raises(NameInUse):
        rename(cluster.snapshot, unit, "taken")
    before = cluster.snapshot
    cluster.commit(rename(before, cluster.called("web"), "site"))
    cluster.decide()
    assert problems_between(before, cluster.snapshot) == []
    assert cluster.called("site").id == unit.id
    run(cluster, spec())


def test_two_networks_of_one_name_cannot_be() -> None:
    cluster = Cluster.checked()
    make_network(cluster, "blue")
    with pytest.raises(Conflict):
        make_network(cluster, "blue")
