"""A session over a connection in memory: hello, assignments, reports, heartbeats, goodbyes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent_peer import End, pair
from paddock.agent.ledger import Ledger
from paddock.agent.reports import MOST_UNCONFIRMED, Reports
from paddock.agent.sealing import Sealing
from paddock.agent.session import SentAway, Session, Told
from paddock.model.assignment import NameAssignment
from paddock.model.objects import HostFacts, NetworkId, UnitId, UnitState
from paddock.model.reports import UnitReport
from paddock.wire.messages import (
    Assign,
    Confirm,
    Facts,
    FromAgent,
    FromServer,
    Goodbye,
    Heartbeat,
    Hello,
    OpenStream,
    Report,
    Reported,
    Welcome,
    decode_from_agent,
    encode,
)
from paddock.world.world import machine_world
from waiting import until_async

WELCOME = Welcome(protocol=1, session=4, name="h1", environment="default")


class Stage:
    """A session and the server's end of its connection."""

    def __init__(self, data: Path) -> None:
        self.world = machine_world()
        self.ledger = Ledger(data / "ledger.db", Sealing(data / "key", self.world))
        self.reports = Reports()
        self.assigned: list[tuple[str, ...]] = []
        self.streams: list[OpenStream] = []
        self.end = End()
        self.session: Session | None = None
        self.running: asyncio.Task[str] | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Hello]:
        self.end, agents = pair()
        told = Told(assigned=self.assigned.append, open_stream=self.streams.append, welcomed=lambda welcome: None)
        self.session = Session(agents, self.ledger, self.reports, told, self.world)
        async with asyncio.TaskGroup() as group:
            self.running = group.create_task(self.session.run("host-1", "instance-1", HostFacts(cpus=2)))
            hello = await self.hear()
            assert isinstance(hello, Hello)
            yield hello
            self.end.cut("over")

    async def hear(self) -> FromAgent:
        async with asyncio.timeout(10):
            message: FromAgent = decode_from_agent(await self.end.receive())
            return message

    async def hear_a(self, kind: type) -> FromAgent:
        """The next message of that kind; heartbeats in between are passed over."""
        while isinstance(message := await self.hear(), Heartbeat) and kind is not Heartbeat:
            continue
        assert isinstance(message, kind), message
        return message

    async def say(self, *messages: FromServer) -> None:
        for message in messages:
            await self.end.send(encode(message))

    async def outcome(self) -> str:
        assert self.running is not None
        async with asyncio.timeout(10):
            return await self.running


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    async def begin() -> None:
        async with asyncio.timeout(30):
            await scene()

    asyncio.run(begin())


def report(unit: str, state: UnitState = UnitState.RUNNING) -> UnitReport:
    return UnitReport(unit=UnitId(unit), state=state)


NAME = NameAssignment(network=NetworkId("n"), name="db")


def test_assignments_are_confirmed_when_they_are_in_the_ledger(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.connected() as hello:
            assert (hello.host, hello.assignment, hello.facts.cpus) == ("host-1", 0, 2)
            await stage.say(WELCOME, Assign(version=5, whole=True, items=(NAME,)))
            assert await stage.hear_a(Confirm) == Confirm(assignment=5)
            assert stage.assigned == [("name/n/db",)]
            await stage.say(Assign(version=4, since=3, items=()), OpenStream(stream="s1"))
            assert await stage.hear_a(Confirm) == Confirm(assignment=5)
            assert stage.assigned == [("name/n/db",)]
            await until_async(lambda: stage.streams == [OpenStream(stream="s1")], "the stream is opened")
        async with stage.connected() as hello:
            assert hello.assignment == 5

    play(scene)


def test_a_gap_in_the_assignments_ends_the_session(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.connected():
            await stage.say(WELCOME, Assign(version=9, since=8))
            assert "goes from version 8, the ledger holds 0" in await stage.outcome()

    play(scene)


def test_an_assignment_the_disk_does_not_take_is_not_confirmed(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.connected():
            page_count = stage.ledger._database.pragma("page_count")
            stage.ledger._database.pragma("max_page_count", page_count)
            names = tuple(NameAssignment(network=NetworkId("n"), name=f"name-{n}" * 30) for n in range(500))
            await stage.say(WELCOME, Assign(version=9, whole=True, items=names))
            assert "cannot be written" in await stage.outcome()
            assert stage.ledger.version == 0
            assert stage.assigned == []

    play(scene)


def test_reports_are_sent_again_until_they_are_confirmed(stage: Stage) -> None:
    async def scene() -> None:
        stage.reports.put(report("a"))
        async with stage.connected():
            await stage.say(WELCOME)
            assert await stage.hear_a(Report) == Report(session=4, number=1, units=(report("a"),))
            stage.reports.put(report("b"))
            assert await stage.hear_a(Report) == Report(session=4, number=2, units=(report("b"),))
            await stage.say(Reported(number=1))
        async with stage.connected():
            await stage.say(WELCOME)
            again = await stage.hear_a(Report)
            assert again == Report(session=4, number=1, units=(report("a"), report("b")))
            await stage.say(Reported(number=1))
            await until_async(lambda: stage.reports.unconfirmed == 0, "all is confirmed")

    play(scene)


def test_a_server_that_confirms_nothing_is_not_flooded(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.connected():
            await stage.say(WELCOME)
            for number in range(MOST_UNCONFIRMED):
                stage.reports.put(report(f"u{number}"))
                await stage.hear_a(Report)
            stage.reports.put(report("late"))
            stage.reports.put(report("late", UnitState.FAILED))
            assert isinstance(await stage.hear_a(Heartbeat), Heartbeat)
            await stage.say(Reported(number=3))
            assert await stage.hear_a(Report) == Report(
                session=4, number=MOST_UNCONFIRMED + 1, units=(report("late", UnitState.FAILED),)
            )

    play(scene)


def test_a_server_that_goes_quiet_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paddock.agent.session.SILENT_AFTER_S", 0.1)

    async def scene() -> None:
        async with stage.connected():
            await stage.say(WELCOME)
            assert "nothing was heard from the server" in await stage.outcome()

    play(scene)


@pytest.mark.parametrize("first", [WELCOME, None])
def test_a_final_goodbye_sends_the_agent_away(stage: Stage, first: Welcome | None) -> None:
    async def scene() -> None:
        async with stage.connected():
            await stage.say(*([first] if first else []), Goodbye(reason="host h1 was removed", final=True))
            await until_async(lambda: stage.running is not None and stage.running.done(), "it ends")

    with pytest.raises(ExceptionGroup) as caught:
        play(scene)
    assert caught.group_contains(SentAway, match="host h1 was removed")


def test_an_ordinary_goodbye_is_a_reason_to_come_back(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.connected():
            await stage.say(WELCOME, Goodbye(reason="the server stops"))
            assert await stage.outcome() == "the server stops"

    play(scene)


@pytest.mark.parametrize("rubbish", [b"", b"{", b'{"type":"unheard"}', b"\xff\xfe", encode(WELCOME)[:-5]])
def test_what_cannot_be_read_ends_the_session(stage: Stage, rubbish: bytes) -> None:
    async def scene() -> None:
        async with stage.connected():
            await stage.say(WELCOME)
            await stage.end.send(rubbish)
            assert "could not be read" in await stage.outcome()

    play(scene)


def test_facts_are_told_within_a_session(stage: Stage) -> None:
    async def scene() -> None:
        async with stage.connected():
            await stage.say(WELCOME)
            assert stage.session is not None
            await until_async(lambda: stage.session is not None and stage.session.number == 4, "it is welcome")
            await stage.session.tell_facts(HostFacts(cpus=8))
            assert await stage.hear_a(Facts) == Facts(session=4, facts=HostFacts(cpus=8))

    play(scene)
