"""An agent alone, on a simulated engine and disk: when it acts, and what it outlives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest

from paddock.agent.ledger import Ledger
from paddock.model.assignment import AnyItem, ContainerAssignment, Endpoint, NetworkAssignment, UnitAssignment
from paddock.model.errors import Transient
from paddock.model.objects import NetworkId, UnitDesired, UnitId
from paddock.model.steps import CreateContainer, EnsureNetwork
from paddock.server.session import Peer
from paddock.sim.engine_client import EngineClient
from paddock.sim.link import SimulatedChannel, Weather, connect
from paddock.sim.loop import run
from paddock.sim.machine import LEDGER, KeyInMemory, Machine
from paddock.sim.stage import Stage
from paddock.wire.messages import Assign, FromServer, Goodbye, Welcome, encode

LONG_S = 120.0
FRONT = NetworkAssignment(
    network=NetworkId("n-1"), engine_name="front", subnet="10.1.0.0/20", gateway="10.1.0.1", ip_range="10.1.0.0/28",
    vni=77, mtu=1450,
)  # fmt: skip
BACK = msgspec.structs.replace(
    FRONT, network=NetworkId("n-2"), engine_name="back", subnet="10.2.0.0/20", gateway="10.2.0.1",
    ip_range="10.2.0.0/28", vni=78,
)  # fmt: skip
WELCOME = Welcome(protocol=1, session=1, name="h1", environment="default")
COPY = Goodbye(reason="another agent with this identity is connected", doubled=True)
WEB = UnitAssignment(
    unit=UnitId("s.1.1"), desired=UnitDesired.RUN, containers=(ContainerAssignment(name="web", image="app/steady:1"),)
)


class Answers:
    """A server's: one for each time it is dialled, the last one for ever. None: it cannot be reached.

    After a welcome the assignment goes on as it was, once the agent knows what its engine has.
    """

    def __init__(self, stage: Stage, *answers: FromServer | None) -> None:
        self.stage = stage
        self.answers = list(answers)
        self.machine: Machine | None = None
        self.items: tuple[AnyItem, ...] = ()

    def dial(self, peer: Peer, weather: Weather) -> SimulatedChannel:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            raise Transient("connection refused")
        agents, mine = connect(weather)

        async def say() -> None:
            await mine.receive()
            await mine.send(encode(answer))
            if answer == WELCOME and self.machine is not None and self.machine.agent is not None:
                async with asyncio.timeout(LONG_S):
                    await self.machine.agent.observer.listed.wait()
                await mine.send(encode(Assign(version=2, whole=True, items=self.items)))

        self.stage.spawn(say(), "the server's answer")
        return agents


Scene = Callable[[Stage, Machine], Awaitable[None]]


def play(scene: Scene, *answers: FromServer | None, items: Sequence[AnyItem] = (WEB,)) -> list[str]:
    """-> the containers' states, a long time after an agent with `items` in its ledger was started."""

    async def main() -> list[str]:
        async with asyncio.TaskGroup() as group:
            stage = Stage("alone", group)
            server = Answers(stage, *answers)
            server.items = tuple(items)
            server.machine = machine = Machine(stage, "h1", 1, server.dial)
            ledger = Ledger(LEDGER, KeyInMemory(stage.world("before", machine.clock, lambda: True)), machine.disk)
            ledger.apply(Assign(version=1, whole=True, items=tuple(items)))
            ledger.close()
            await scene(stage, machine)
            found: list[str] = [container.state for container in machine.engine.containers.values()]
            assert not stage.wrongs
            stage.finished = True
            if machine.agent_ledger is not None:
                machine.agent_ledger.close()
            machine.kill_agent()
            machine.engine.go_down()
        return found

    return run(main())


async def long_after(stage: Stage, machine: Machine) -> None:
    machine.start_agent()
    await nothing_wrong(stage)


async def nothing_wrong(stage: Stage) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(LONG_S):
            await stage.over.wait()


@pytest.mark.parametrize(
    ("answers", "acts"),
    [
        ((WELCOME,), True),
        ((None,), True),
        ((Goodbye(reason="upgrade paddock on this host"),), True),
        ((COPY,), False),
        ((COPY, None), False),
        ((COPY, Goodbye(reason="the server stops"), None), False),
        ((COPY, None, COPY, WELCOME), True),
    ],
    ids=[
        "welcome",
        "no server",
        "too old",
        "a copy",
        "a copy cut off",
        "a copy, and the server stops",
        "true after all",
    ],
)
def test_who_was_told_to_be_a_copy_acts_when_it_is_welcomed_and_not_before(
    answers: tuple[FromServer | None, ...], acts: bool
) -> None:
    assert play(long_after, *answers) == (["running"] if acts else [])


def test_a_container_that_was_made_while_its_second_network_could_not_be_is_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The unit was rejected, and a good update rolled back: connecting it took the network to be there."""
    whole, failures = EngineClient._ensure_network, [Transient("network of before has active endpoints")]

    async def ensure_network(self: EngineClient, step: EnsureNetwork) -> None:
        if step.network == BACK and failures:
            raise failures.pop()
        await whole(self, step)

    monkeypatch.setattr(EngineClient, "_ensure_network", ensure_network)
    on_both = tuple(
        Endpoint(network=one.network, ipv4=ip, mac="") for one, ip in ((FRONT, "10.1.8.0"), (BACK, "10.2.8.0"))
    )
    container = msgspec.structs.replace(WEB.containers[0], endpoints=on_both)
    unit = msgspec.structs.replace(WEB, containers=(container,))

    async def scene(stage: Stage, machine: Machine) -> None:
        machine.engine.images["app/steady:1"] = None
        await long_after(stage, machine)

    assert play(scene, None, items=(unit, FRONT, BACK)) == ["running"]
    assert not failures


@pytest.mark.parametrize("write", ["leave", "forget"])
def test_an_agent_outlives_a_disk_that_does_not_take_that_a_unit_is_gone(
    monkeypatch: pytest.MonkeyPatch, write: str
) -> None:
    """It ended, and with it all that it did for the others."""
    whole, failures = getattr(Ledger, write), [Transient("no space left"), Transient("no space left")]

    def full(self: Ledger, unit: UnitId) -> None:
        if failures:
            raise failures.pop()
        whole(self, unit)

    async def scene(stage: Stage, machine: Machine) -> None:
        monkeypatch.setattr(Ledger, write, full)
        client, left = EngineClient(machine.engine, stage.group, lambda: True), UnitId("s.2.1")
        machine.engine.images["app/steady:1"] = None
        await client.apply(CreateContainer(unit=left, container=WEB.containers[0], networks={}))
        machine.start_agent()
        await nothing_wrong(stage)

    assert play(scene, WELCOME, items=()) == []
    assert not failures
