"""From a wish to what agents are told and what they report, with the real deciders and store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from paddock.client import Client
from paddock.core.commands import scale
from paddock.core.stacks import apply_stack
from paddock.model.assignment import FileAssignment, UnitAssignment
from paddock.model.objects import (
    ContainerStatus,
    RevisionId,
    Service,
    ServiceId,
    StackId,
    Unit,
    UnitDesired,
    UnitId,
    UnitState,
)
from paddock.model.reports import UnitReport
from paddock.model.specs import ContainerSpec, FileMount, FileSpec, ServiceSpec, StackSpec
from paddock.server.main import Running
from paddock.server.plane import ControlPlane
from paddock.server.reports import unit_after
from paddock.sim.loop import run
from paddock.sim.world import simulated_world
from paddock.wire.messages import Assign, Report, Reported
from paddock.world.probes import Probes
from serving import PlayedAgent, add_host, admin, running_plane
from waiting import until_async

SECRET = b"correct horse battery"
MOUNT = FileMount(kind="secret", source="password", target="/run/secrets/password")


def shop(replicas: int = 1) -> StackSpec:
    web = ServiceSpec(name="web", container=ContainerSpec(image="shop/web:1", files=(MOUNT,)), replicas=replicas)
    return StackSpec(
        name="shop", services={"web": web}, secrets={"password": FileSpec(name="shop_password", content=SECRET)}
    )


async def wish(plane: ControlPlane, spec: StackSpec) -> None:
    environment = plane.store.snapshot().environment_named("default")
    assert environment is not None
    sealed = plane.sealer.seal_all(environment.id, spec)
    await plane.store.commit(
        apply_stack(plane.store.snapshot(), environment.id, spec, plane.world.now_s(), sealed=sealed)
    )


def units(plane: ControlPlane) -> list[Unit]:
    return [unit for _, unit in sorted(plane.store.snapshot().table(Unit).items())]


def told_units(assign: Assign) -> list[UnitAssignment]:
    return [item for item in assign.items if isinstance(item, UnitAssignment)]


async def assigned_units(agent: PlayedAgent) -> list[UnitAssignment]:
    return told_units(await agent.hears(Assign, lambda assign: bool(told_units(assign))))


def play(tmp_path: Path, scene: Callable[[ControlPlane], Awaitable[None]]) -> Probes:
    probes = Probes()

    async def main() -> None:
        async with running_plane(tmp_path, simulated_world("stacks", probes)) as plane:
            await scene(plane)

    run(main())
    return probes


def report(agent: PlayedAgent, *told: UnitReport, number: int = 1) -> Report:
    return Report(session=agent.session, number=number, units=told)


def test_a_wish_reaches_the_agent_as_a_difference_with_the_secret_opened(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        first = await agent.hears(Assign)
        assert first.whole
        await wish(plane, shop())
        told = await agent.hears(Assign, lambda assign: bool(told_units(assign)))
        assert not told.whole
        assert told.since == first.version
        assert [one.containers[0].image for one in told_units(told)] == ["shop/web:1"]
        files = [item for item in told.items if isinstance(item, FileAssignment)]
        assert [file.content for file in files] == [SECRET]
        again = PlayedAgent(plane, agent.host)
        await again.hello()
        whole = await again.hears(Assign)
        assert whole.whole
        assert told_units(whole) == told_units(told)

    play(tmp_path, scene)


def test_only_the_hosts_concerned_are_told(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agents = [PlayedAgent(plane, await add_host(plane, f"h{number}")) for number in (1, 2)]
        for agent in agents:
            await agent.hello()
            await agent.hears(Assign)
        await wish(plane, shop())
        await until_async(lambda: [unit.host for unit in units(plane) if unit.host], "placed")
        placed_on = units(plane)[0].host
        chosen = next(agent for agent in agents if agent.host == placed_on)
        other = next(agent for agent in agents if agent.host != placed_on)
        assert await assigned_units(chosen)
        assert type(await other.heard()).__name__ == "Heartbeat"

    play(tmp_path, scene)


def test_reports_are_committed_acknowledged_and_only_climb(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        await wish(plane, shop())
        unit = (await assigned_units(agent))[0].unit
        status = ContainerStatus(id="c0ffee" * 8, name="shop-web-1", state="running")
        running = UnitReport(unit=unit, state=UnitState.RUNNING, healthy=True, containers=(status,))
        await agent.say(report(agent, UnitReport(unit=unit, state=UnitState.READY)))
        await agent.say(report(agent, running, number=2))
        assert (await agent.hears(Reported, lambda told: told.number == 2)).number == 2
        now = plane.store.snapshot().get(Unit, unit)
        assert now is not None
        assert (now.state, now.healthy, now.containers) == (UnitState.RUNNING, True, (status,))
        assert now.running_since_s == plane.world.now_s() or now.running_since_s > 0
        await agent.say(report(agent, UnitReport(unit=unit, state=UnitState.PREPARING), number=3))
        await agent.say(report(agent, UnitReport(unit=UnitId("nobody.1.1"), state=UnitState.RUNNING), number=4))
        await agent.hears(Reported, lambda told: told.number == 4)
        after = plane.store.snapshot().get(Unit, unit)
        assert after is not None
        assert after.state == UnitState.RUNNING

    probes = play(tmp_path, scene)
    assert probes.hits["report that would take a unit back ignored"] == 1
    assert probes.hits["report on an unknown unit ignored"] == 1


def test_a_host_cannot_report_on_anothers_units(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane, "h1"))
        await agent.hello()
        await wish(plane, shop())
        unit = (await assigned_units(agent))[0].unit
        other = PlayedAgent(plane, await add_host(plane, "h2"))
        await other.hello()
        await other.say(report(other, UnitReport(unit=unit, state=UnitState.FAILED)))
        await other.hears(Reported)
        known = plane.store.snapshot().get(Unit, unit)
        assert known is not None
        assert known.state < UnitState.FAILED

    probes = play(tmp_path, scene)
    assert probes.hits["report on an unknown unit ignored"] == 1


def test_a_dead_container_gets_a_next_generation_and_scaling_down_takes_it_away(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        await wish(plane, shop(replicas=2))
        await until_async(lambda: len([unit for unit in units(plane) if unit.host]) == 2, "both placed")
        names = [unit.id for unit in units(plane)]
        await agent.say(report(agent, *(ran(id) for id in names)))
        await agent.hears(Reported)
        failed = UnitReport(unit=UnitId(names[0]), state=UnitState.FAILED, message="exit code 1")
        await agent.say(report(agent, failed, number=2))
        await until_async(lambda: [unit for unit in units(plane) if unit.id not in names], "a next generation")
        successor = next(unit for unit in units(plane) if unit.id not in names)
        assert (successor.slot, successor.generation) == (units(plane)[0].slot, units(plane)[0].generation + 1)
        service = plane.store.snapshot().get(Service, successor.service)
        assert service is not None
        await plane.store.commit(scale(plane.store.snapshot(), service, 0))
        await until_async(
            lambda: all(unit.desired >= UnitDesired.STOPPED for unit in units(plane) if unit.live), "all to go"
        )

    play(tmp_path, scene)


def ran(id: str) -> UnitReport:
    return UnitReport(unit=UnitId(id), state=UnitState.RUNNING, healthy=True)


def test_a_lost_hosts_units_run_elsewhere(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agents = [PlayedAgent(plane, await add_host(plane, f"h{number}")) for number in (1, 2, 3)]
        for agent in agents:
            await agent.hello()
        await wish(plane, shop())
        await until_async(lambda: [unit for unit in units(plane) if unit.host], "placed")
        home = units(plane)[0].host
        lost = next(agent for agent in agents if agent.host == home)
        await lost.say(report(lost, ran(units(plane)[0].id)))
        await lost.hears(Reported)
        lost_s = plane.world.now_s()
        await lost.leave()
        keeping = asyncio.gather(*(keep(agent) for agent in agents if agent is not lost))
        await until_async(
            lambda: [unit for unit in units(plane) if unit.live and unit.host not in (None, home)], "moved", 20.0
        )
        assert plane.world.now_s() - lost_s < 15.0
        keeping.cancel()

    play(tmp_path, scene)


async def keep(agent: PlayedAgent) -> None:
    """Beats whenever the server does."""
    from paddock.wire.messages import Heartbeat

    while True:
        await agent.hears(Heartbeat)
        await agent.say(Heartbeat())


@pytest.mark.parametrize("state", list(UnitState))
def test_a_units_state_never_goes_down(state: UnitState) -> None:
    unit = Unit(
        id="s.1.1",
        environment="e",
        stack=StackId("st"),
        service=ServiceId("s"),
        stack_name="st",
        service_name="s",
        slot=1,
        generation=1,
        revision=RevisionId("s@1"),
        name="st-s-1",
        state=state,
    )
    for told in UnitState:
        after = unit_after(unit, UnitReport(unit=UnitId("s.1.1"), state=told), 100.0)
        assert (after is None) == (told < state)
        if after is not None:
            assert after.state == told


def test_views_show_what_runs_where(tmp_path: Path) -> None:
    async def scene(running: Running, client: Client) -> None:
        host = await add_host(running.plane)
        agent = PlayedAgent(running.plane, host)
        await agent.hello()
        await client.apply_stack(shop(replicas=2))
        await until_async(lambda: len([unit for unit in units(running.plane) if unit.host]) == 2, "placed")
        ids = [unit.id for unit in units(running.plane)]
        statuses = [ContainerStatus(id=f"{number}" * 64, name=f"shop-web-{number}") for number in (1, 2)]
        told = [
            msgspec.structs.replace(ran(id), containers=(status,)) for id, status in zip(ids, statuses, strict=True)
        ]
        await agent.say(report(agent, *told))
        await agent.hears(Reported)
        shown = await client.containers(stack="shop")
        assert [(one.name, one.host, one.state, one.ready) for one in shown] == [
            ("shop-web-1", "h1", "running", True),
            ("shop-web-2", "h1", "running", True),
        ]
        assert (await client.container("1111")).name == shown[0].name
        service = await client.service("shop", "web")
        assert (service.state, service.running, service.ready) == ("running", 2, 2)
        assert (await client.stack("shop")).state == "running"
        assert (await client.host("h1")).reserved.units == 2
        explained = await client.explain("shop-web-1")
        assert explained.kind == "container"
        assert explained.placed_because
        assert isinstance(await failed(client.remove_host("h1")), Exception)
        drained = await client.drain_host("h1")
        assert sorted([*drained.moving, *drained.staying]) == ["shop-web-1", "shop-web-2"]
        assert (await client.host("h1")).state == "draining"
        assert (await client.activate_host("h1")).state == "active"
        await client.remove_container("shop-web-1")
        await until_async(lambda: len(units(running.plane)) > 2 or retired(running.plane, ids[0]), "next generation")
        await agent.leave()

    async def main() -> None:
        async with admin(tmp_path) as (running, client):
            await scene(running, client)

    asyncio.run(main())


def retired(plane: ControlPlane, id: str) -> bool:
    unit = plane.store.snapshot().get(Unit, id)
    return unit is None or unit.desired == UnitDesired.REMOVED


async def failed(call: Awaitable[object]) -> BaseException | None:
    from paddock.model.errors import Conflict

    try:
        await call
    except Conflict as error:
        return error
    return None
