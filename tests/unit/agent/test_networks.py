"""Networks of a host come and go in an order of their own, whatever follows what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import msgspec
import pytest

from paddock.agent.ledger import Ledger
from paddock.agent.networks import Networks
from paddock.agent.sealing import Sealing
from paddock.core.names.records import NameRecords
from paddock.drivers.engine import Engine, NetworkHeld, StepRefused
from paddock.drivers.vxlan import WantedNetwork
from paddock.model.assignment import ContainerAssignment, Endpoint, NetworkAssignment, UnitAssignment
from paddock.model.errors import Transient
from paddock.model.objects import NetworkId, UnitDesired, UnitId, UnitState
from paddock.model.observed import Progress
from paddock.model.steps import AnyStep, EnsureNetwork, RemoveNetwork
from paddock.wire.messages import Assign
from paddock.world.world import machine_world
from waiting import until_async

FIRST = NetworkAssignment(
    network=NetworkId("n-1"), engine_name="first", subnet="10.98.0.0/20", gateway="10.98.0.1", ip_range="10.98.0.0/28",
    vni=77, mtu=1450,
)  # fmt: skip
SECOND = msgspec.structs.replace(FIRST, network=NetworkId("n-2"), engine_name="second")
"""It has the number and the addresses that the first one had."""


class Gated:
    """An engine that removes networks when it is let, and refuses what one engine refuses: two with one number."""

    def __init__(self) -> None:
        self.there: dict[NetworkId, str] = {}
        self.removing = asyncio.Event()
        self.let = asyncio.Event()

    async def networks(self) -> dict[NetworkId, str]:
        return dict(self.there)

    async def apply(self, step: AnyStep) -> str:
        match step:
            case EnsureNetwork(network=network):
                assert list(self.there) in ([], [network.network]), "networks have same bridge name"
                self.there[network.network] = network.engine_name
            case RemoveNetwork(name=name):
                assert name in self.there.values(), f"network {name} not found"
                self.removing.set()
                await self.let.wait()
                self.there = {id: known for id, known in self.there.items() if known != name}
        return ""


class Quiet:
    """A kernel and a names server to whom everything is right."""

    problems: Mapping[str, str] = {}

    async def apply(self, wanted: Sequence[WantedNetwork]) -> Quiet:
        return self

    async def changes(self) -> AsyncIterator[None]:
        return
        yield

    async def update(self, records: NameRecords) -> Mapping[str, str]:
        return {}


def unit(name: str, network: NetworkAssignment) -> UnitAssignment:
    endpoint = Endpoint(network=network.network, ipv4="10.98.8.0", mac="02:42:0a:62:08:00")
    container = ContainerAssignment(name=name, image="i", endpoints=(endpoint,))
    return UnitAssignment(unit=UnitId(name), desired=UnitDesired.RUN, containers=(container,))


class Held(Gated):
    """An engine on which containers hold the network as it was."""

    async def networks(self) -> dict[NetworkId, str]:
        return {}

    async def apply(self, step: AnyStep) -> str:
        raise NetworkHeld("the network has active endpoints")


@pytest.mark.parametrize(
    ("desired", "state", "passes"),
    [
        (UnitDesired.REMOVED, UnitState.RUNNING, True),
        (UnitDesired.STOPPED, UnitState.RUNNING, True),
        (UnitDesired.STOPPED, UnitState.SHUTDOWN, False),
        (UnitDesired.RUN, UnitState.RUNNING, False),
        (UnitDesired.REMOVED, UnitState.REMOVED, False),
    ],
)
def test_a_network_of_before_is_waited_for_only_while_its_containers_leave(
    tmp_path: Path, desired: UnitDesired, state: UnitState, *, passes: bool
) -> None:
    """A host was given up for lost, came back, and got another gateway: units that were refused made a good update
    roll back."""
    world = machine_world()
    ledger = Ledger(tmp_path / "ledger.db", Sealing(tmp_path / "key", world))
    networks = Networks(ledger, cast(Engine, Held()), (Quiet(), Quiet()), world)
    old, new = msgspec.structs.replace(unit("old", FIRST), desired=desired), unit("new", FIRST)
    ledger.apply(Assign(version=1, whole=True, items=(old, new, FIRST)))
    ledger.record(old.unit, Progress(state=state))
    with pytest.raises(Transient if passes else NetworkHeld, match="active endpoints"):
        asyncio.run(networks.ensure(new.containers[0]))
    ledger.close()


def test_a_network_that_was_taken_away_meanwhile_is_waited_for(tmp_path: Path) -> None:
    """The assignment changed between a step's beginning and its network's turn (hosts, seed 2018)."""
    world = machine_world()
    ledger = Ledger(tmp_path / "ledger.db", Sealing(tmp_path / "key", world))
    networks = Networks(ledger, cast(Engine, Gated()), (Quiet(), Quiet()), world)
    with pytest.raises(Transient, match="one waits for network n-1"):
        asyncio.run(networks.ensure(unit("one", FIRST).containers[0]))
    ledger.close()


def test_a_network_makes_room_for_the_one_that_has_its_number_now(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = machine_world()
        ledger = Ledger(tmp_path / "ledger.db", Sealing(tmp_path / "key", world))
        engine = Gated()
        networks = Networks(ledger, cast(Engine, engine), (Quiet(), Quiet()), world)
        one, other = unit("one", FIRST), unit("other", SECOND)
        ledger.apply(Assign(version=1, whole=True, items=(one, FIRST)))
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(networks.run())
            await networks.ensure(one.containers[0])
            await networks.settle(one.containers[0])
            ledger.apply(Assign(version=2, whole=True, items=(other, SECOND)))
            ledger.forget(one.unit)
            coming = tasks.create_task(networks.ensure(other.containers[0]))
            await engine.removing.wait()
            networks.changed()
            await until_async(lambda: networks._ensuring._waiters, "the tidying waits for its turn")
            engine.let.set()
            await coming
            await networks.settle(other.containers[0])
            assert engine.there == {SECOND.network: "second"}
            assert not running.done()
            running.cancel()
        ledger.close()

    asyncio.run(scenario())


def test_a_network_of_an_earlier_life_makes_room(tmp_path: Path) -> None:
    """A host was removed and joined anew: its agent's ledger knows nothing of the networks that are still there."""
    world = machine_world()
    ledger = Ledger(tmp_path / "ledger.db", Sealing(tmp_path / "key", world))
    engine = Gated()
    engine.there[NetworkId("n-0")] = "anything"
    engine.let.set()
    networks = Networks(ledger, cast(Engine, engine), (Quiet(), Quiet()), world)
    ledger.apply(Assign(version=1, whole=True, items=(unit("one", FIRST), FIRST)))
    asyncio.run(networks.ensure(unit("one", FIRST).containers[0]))
    assert engine.there == {FIRST.network: "first"}
    ledger.close()


class Overlapping(Gated):
    """It has a network with the subnet, and containers on that; `late`: it comes to be after the first list."""

    late = False

    async def networks(self) -> dict[NetworkId, str]:
        late, self.late = self.late, False
        return {} if late else {SECOND.network: SECOND.engine_name}

    async def apply(self, step: AnyStep) -> str:
        raise StepRefused("Pool overlaps with other one on this address space")


@pytest.mark.parametrize("going", [True, False])
def test_a_subnet_is_waited_for_while_units_of_before_leave_the_network_that_had_it(
    tmp_path: Path, *, going: bool
) -> None:
    """A host was off while a stack went and another came: its units were refused for want of the subnet."""
    world = machine_world()
    ledger = Ledger(tmp_path / "ledger.db", Sealing(tmp_path / "key", world))
    networks = Networks(ledger, cast(Engine, Overlapping()), (Quiet(), Quiet()), world)
    old = msgspec.structs.replace(unit("old", SECOND), desired=UnitDesired.REMOVED if going else UnitDesired.RUN)
    new = unit("new", FIRST)
    ledger.apply(Assign(version=1, whole=True, items=(old, new, FIRST)))
    ledger.record(UnitId("old"), Progress(state=UnitState.RUNNING))
    with pytest.raises(Transient if going else StepRefused):
        asyncio.run(networks.ensure(new.containers[0]))
    ledger.close()


def test_a_network_that_a_slow_engine_made_for_an_agent_that_is_dead_is_found(tmp_path: Path) -> None:
    """A unit was refused for want of the subnet (identities, seed 1014)."""
    world = machine_world()
    ledger = Ledger(tmp_path / "ledger.db", Sealing(tmp_path / "key", world))
    engine = Overlapping()
    engine.late = True
    networks = Networks(ledger, cast(Engine, engine), (Quiet(), Quiet()), world)
    new = unit("new", FIRST)
    ledger.apply(Assign(version=1, whole=True, items=(new, FIRST)))
    with pytest.raises(Transient, match="Pool overlaps"):
        asyncio.run(networks.ensure(new.containers[0]))
    with pytest.raises(StepRefused):
        asyncio.run(networks.ensure(new.containers[0]))
    ledger.close()
