"""Agents over memory, the control plane with its real store, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

import paddock.server.reports as reports_module
from paddock.model.changes import Delete, Put
from paddock.model.objects import HostState, UnitId, UnitState
from paddock.model.reports import UnitReport
from paddock.server.plane import ControlPlane
from paddock.server.views import unit_views
from paddock.sim.loop import run
from paddock.sim.world import simulated_world
from paddock.wire.messages import (
    HEARTBEAT_S,
    PROTOCOL,
    SILENT_AFTER_S,
    Assign,
    Confirm,
    Goodbye,
    Heartbeat,
    Report,
    Reported,
    Welcome,
)
from paddock.world.probes import Probes
from pretend_cluster import Cluster, make_service, make_stack
from serving import PlayedAgent, add_host, host_of, running_plane
from waiting import until_async

Scene = Callable[[ControlPlane], Awaitable[None]]


def play(tmp_path: Path, scene: Scene) -> Probes:
    probes = Probes()

    async def main() -> None:
        async with running_plane(tmp_path, simulated_world("sessions", probes)) as plane:
            await scene(plane)

    run(main())
    return probes


def test_a_session_begins_with_a_welcome_and_the_whole_assignment(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        agent = PlayedAgent(plane, host)
        welcome = await agent.hello()
        assert isinstance(welcome, Welcome)
        assert (welcome.protocol, welcome.session, welcome.name, welcome.environment) == (PROTOCOL, 1, "h1", "default")
        assign = await agent.hears(Assign)
        assert assign.whole
        assert assign.since == 0
        assert host_of(plane, host).state == HostState.ACTIVE
        assert host_of(plane, host).facts.cpus == 4
        await agent.say(Confirm(assignment=assign.version))
        await until_async(lambda: plane.sessions.live[host].confirmed == assign.version, "confirmed")
        await agent.leave()

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("protocols", "words"),
    [((PROTOCOL + 1, PROTOCOL + 3), "upgrade the server"), ((2, 2), "upgrade paddock on this host")],
)
def test_agents_too_new_or_too_old_are_told_who_has_to_be_upgraded(
    tmp_path: Path, protocols: tuple[int, int], words: str
) -> None:
    async def scene(plane: ControlPlane) -> None:
        goodbye = await PlayedAgent(plane, await add_host(plane)).hello(protocols)
        assert isinstance(goodbye, Goodbye)
        assert not goodbye.final, "it goes on looking after what its host has, and comes back once that is done"
        assert words in goodbye.reason

    play(tmp_path, scene)


def test_a_newer_agent_that_still_speaks_ours_is_welcome(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        welcome = await PlayedAgent(plane, await add_host(plane)).hello((PROTOCOL, PROTOCOL + 5))
        assert isinstance(welcome, Welcome)
        assert welcome.protocol == PROTOCOL

    play(tmp_path, scene)


def test_a_certificate_of_another_host_and_a_removed_host_are_sent_away_for_good(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        goodbye = await PlayedAgent(plane, host).hello(host="host-of-somebody-else")
        assert isinstance(goodbye, Goodbye)
        assert goodbye.final
        agent = PlayedAgent(plane, host)
        await agent.hello()
        await plane.store.commit([Delete(object=host_of(plane, host), reason="removed")])
        goodbye = await agent.hears(Goodbye)
        assert goodbye.final
        assert "h1 was removed" in goodbye.reason
        goodbye = await PlayedAgent(plane, host).hello()
        assert isinstance(goodbye, Goodbye)
        assert goodbye.final
        assert "join it again" in goodbye.reason

    play(tmp_path, scene)


def test_a_doubled_agent_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        first = PlayedAgent(plane, host, "first", "10.0.0.1")
        await first.hello()
        clone = PlayedAgent(plane, host, "clone", "10.0.0.99")
        goodbye = await clone.hello()
        assert isinstance(goodbye, Goodbye)
        assert not goodbye.final
        assert "connected from 10.0.0.1" in goodbye.reason
        assert plane.sessions.live[host].instance == "first"
        await first.leave()
        again = await PlayedAgent(plane, host, "clone", "10.0.0.99").hello()
        assert isinstance(again, Welcome)

    probes = play(tmp_path, scene)
    assert probes.hits["doubled agent identity refused"] == 1


@pytest.mark.parametrize(
    ("home", "neighbours", "now", "refused"),
    [
        ("engine-1", "engine-2", "engine-2", True),
        ("engine-1", "engine-2", "engine-3", False),
        ("engine-1", "engine-1", "engine-1", False),
        ("", "engine-2", "engine-2", False),
    ],
    ids=["copied to another host", "a new engine", "engines of one image", "engine never known"],
)
def test_an_agent_is_refused_on_what_is_known_as_another_hosts_engine(
    tmp_path: Path, home: str, neighbours: str, now: str, refused: bool
) -> None:
    """The true one is away, so there are not two: admitted, it would remove the other host's containers."""

    async def scene(plane: ControlPlane) -> None:
        host, other = await add_host(plane), await add_host(plane, "h2")
        for who, engine in ((host, home), (other, neighbours)):
            agent = PlayedAgent(plane, who)
            agent.engine_id = engine
            assert isinstance(await agent.hello(), Welcome)
            await agent.leave()
        again = PlayedAgent(plane, host, "another")
        again.engine_id = now
        answer = await again.hello()
        assert isinstance(answer, Goodbye if refused else Welcome)
        if isinstance(answer, Goodbye):
            assert (answer.doubled, answer.final) == (True, False)
            assert "is that of host h2" in answer.reason
            assert host_of(plane, host).session == 1

    play(tmp_path, scene)


def test_the_same_instance_takes_its_old_sessions_place_at_once(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        old = PlayedAgent(plane, host)
        await old.hello()
        new = PlayedAgent(plane, host)
        welcome = await new.hello()
        assert isinstance(welcome, Welcome)
        assert welcome.session == 2
        assert "anew" in await old.gone()
        assert host_of(plane, host).state == HostState.ACTIVE

    play(tmp_path, scene)


def test_a_closed_connection_makes_a_host_silent_at_once(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        agent = PlayedAgent(plane, host)
        await agent.hello()
        left_s = plane.world.now_s()
        await agent.leave()
        await until_async(lambda: host_of(plane, host).state == HostState.SILENT, "silent", within_s=1.0)
        assert abs(host_of(plane, host).since_s - left_s) < 0.1

    play(tmp_path, scene)


def test_silence_ends_a_session_and_is_counted_from_the_last_word(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        agent = PlayedAgent(plane, host)
        await agent.hello()
        for _ in range(3):
            await agent.hears(Heartbeat)
            await agent.say(Heartbeat())
        spoke_s = plane.world.now_s()
        assert host_of(plane, host).state == HostState.ACTIVE
        await until_async(
            lambda: host_of(plane, host).state == HostState.SILENT, "silent", within_s=SILENT_AFTER_S + 1.0
        )
        assert abs(host_of(plane, host).since_s - spoke_s) < 0.2
        assert plane.world.now_s() - spoke_s >= SILENT_AFTER_S
        assert "nothing heard" in await agent.gone()

    play(tmp_path, scene)


def test_after_a_restart_hosts_have_a_fresh_grace(tmp_path: Path) -> None:
    async def main() -> None:
        world = simulated_world("restart", Probes())
        async with running_plane(tmp_path, world) as plane:
            host = await add_host(plane)
            await PlayedAgent(plane, host).hello()
        async with running_plane(tmp_path, world) as plane:
            started_s = world.now_s()
            assert host_of(plane, host).state == HostState.ACTIVE
            await until_async(
                lambda: host_of(plane, host).state == HostState.SILENT, "silent", within_s=SILENT_AFTER_S + 1.0
            )
            assert world.now_s() - started_s >= SILENT_AFTER_S
            assert host_of(plane, host).since_s >= started_s
        async with running_plane(tmp_path, world) as plane:
            opened_s = world.now_s()
            await until_async(lambda: host_of(plane, host).since_s >= opened_s, "forgiven", within_s=1.0)

    run(main())


def test_the_server_beats_when_it_has_nothing_to_say(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        await agent.hears(Assign)
        before_s = plane.world.clock.monotonic_s()
        await agent.hears(Heartbeat)
        assert plane.world.clock.monotonic_s() - before_s <= HEARTBEAT_S + 0.1

    play(tmp_path, scene)


@pytest.mark.parametrize(
    "message",
    [b"", b"{", b'{"type":"report","sess', b"\xff\xfe", b"[]", b'{"type":"nonsense"}', b'{"type":"heartbeat"'],
)
def test_a_message_that_cannot_be_read_ends_the_session_and_nothing_else(tmp_path: Path, message: bytes) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        agent = PlayedAgent(plane, host)
        await agent.channel.send(message)
        goodbye = await agent.heard()
        assert isinstance(goodbye, Goodbye)
        assert not goodbye.final
        agent = PlayedAgent(plane, host)
        await agent.hello()
        await agent.channel.send(message)
        goodbye = await agent.hears(Goodbye)
        assert "could not be read" in goodbye.reason
        assert isinstance(await PlayedAgent(plane, host).hello(), Welcome)

    play(tmp_path, scene)


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        async with asyncio.timeout(60.0):
            goodbye = decode(await agent.channel.receive())
        assert "no hello" in goodbye.reason

    play(tmp_path, scene)


def decode(data: bytes) -> Goodbye:
    from paddock.wire.messages import decode_from_server

    message = decode_from_server(data)
    assert isinstance(message, Goodbye)
    return message


def test_a_stale_report_changes_nothing_and_is_not_acknowledged(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        await agent.hears(Assign)
        version = plane.store.snapshot().version
        await agent.say(Report(session=agent.session + 1, number=1, units=()))
        await agent.say(Heartbeat())
        assert isinstance(await agent.heard(), Heartbeat)
        assert plane.store.snapshot().version == version

    probes = play(tmp_path, scene)
    assert probes.hits["report of a stale session ignored"] == 1


def test_a_stopping_server_says_so_and_calls_nobody_silent(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        agent = PlayedAgent(plane, host)
        await agent.hello()
        plane.sessions.stop()
        goodbye = await agent.hears(Goodbye)
        assert not goodbye.final
        await plane.sessions.all_gone()
        await plane.presence.check()
        assert host_of(plane, host).state == HostState.ACTIVE

    play(tmp_path, scene)


def test_a_server_that_was_away_itself_calls_nobody_silent(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        host = await add_host(plane)
        agent = PlayedAgent(plane, host)
        await agent.hello()
        plane.sessions.live[host].last_heard_s -= 60.0
        plane.presence.looked_s -= 60.0
        await plane.presence.check()
        assert not plane.sessions.live[host].over.is_set()
        assert host_of(plane, host).state == HostState.ACTIVE

    probes = play(tmp_path, scene)
    assert probes.hits["the server itself was away: nobody is called silent for it"] == 1


def test_what_was_known_before_a_host_was_away_counts_once_it_is_heard_of_again(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane) -> None:
        id = await add_host(plane)
        agent = PlayedAgent(plane, id)
        await agent.hello()
        assert not host_of(plane, id).unheard
        await agent.leave()
        lost = msgspec.structs.replace(host_of(plane, id), state=HostState.LOST)
        await plane.store.commit([Put(object=lost, reason="test")])
        again = PlayedAgent(plane, id)
        await again.hello()
        assert host_of(plane, id).unheard
        await again.say(Report(session=again.session, number=1, units=()))
        await again.hears(Reported)
        assert host_of(plane, id).unheard
        await again.say(Report(session=again.session, number=2, units=(), whole=True))
        await again.hears(Reported)
        assert not host_of(plane, id).unheard

    play(tmp_path, scene)


def test_what_a_create_waits_for_is_not_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports_module, "GATHER_S", 1000.0)

    async def scene(plane: ControlPlane) -> None:
        agent = PlayedAgent(plane, await add_host(plane))
        await agent.hello()
        for number, state in enumerate((UnitState.PREPARING, UnitState.PREPARED), start=1):
            told = UnitReport(unit=UnitId("u"), state=state)
            await agent.say(Report(session=agent.session, number=number, units=(told,)))
            assert (await agent.hears(Reported)).number == number

    play(tmp_path, scene)


def test_views_do_not_show_as_running_what_is_of_before() -> None:
    cluster = Cluster.of(1)
    cluster.up(make_stack(make_service("web")))
    cluster.settle()
    unit = cluster.running("web")[0]
    cluster.now_s += 100.0
    cluster.set_host("h1", unheard=True, since_s=cluster.now_s)
    (view,) = unit_views(cluster.snapshot, unit)
    assert (view.state, view.ready) == ("unknown", False)
    cluster.set_host("h1", unheard=False)
    (view,) = unit_views(cluster.snapshot, unit)
    assert (view.state, view.ready) == ("running", True)
