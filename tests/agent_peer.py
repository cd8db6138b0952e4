"""The server's end of an agent's control connection, scripted by a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from paddock.agent.agent import Agent, Surroundings
from paddock.agent.ledger import Ledger
from paddock.core.names.records import NameRecords
from paddock.drivers.engine import Engine
from paddock.drivers.vxlan import WantedNetwork
from paddock.model.assignment import AnyItem, key_of
from paddock.model.objects import HostFacts, UnitState
from paddock.model.reports import UnitReport
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.messages import (
    PROTOCOL,
    Assign,
    Confirm,
    FetchedImage,
    FetchImage,
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
from paddock.world.world import World
from waiting import until_async

M = TypeVar("M")
QUEUED = 100


class End:
    """One end of a connection in memory. `cut` breaks it for both."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUED)
        self.other: End = self
        self.closed = ""

    async def send(self, message: bytes) -> None:
        if self.closed:
            raise ChannelClosed(self.closed)
        await self.other.inbox.put(message)

    async def receive(self) -> bytes:
        message = await self.inbox.get() if not (self.closed and self.inbox.empty()) else None
        if message is None:
            raise ChannelClosed(self.closed)
        return message

    async def close(self, reason: str = "") -> None:
        self.cut(reason)

    def cut(self, reason: str = "") -> None:
        for end in (self, self.other):
            if not end.closed:
                end.closed = reason or "cut"
                end.inbox.put_nowait(None)


def pair() -> tuple[End, End]:
    one, other = End(), End()
    one.other, other.other = other, one
    return one, other


class Peer:
    """Accepts every connection, answers hello and heartbeats, confirms reports, and keeps what it was told."""

    def __init__(self) -> None:
        self.reachable = True
        self.refusal: Goodbye | None = None
        self.confirms_reports = True
        self.items: dict[str, AnyItem] = {}
        self.version = 0
        self.session = 0
        self.hellos: list[Hello] = []
        self.messages: list[FromAgent] = []
        self.reports: dict[str, list[UnitReport]] = {}
        self.confirmed = 0
        self._end: End | None = None
        self._connected = asyncio.Event()
        self._arrivals: asyncio.Queue[End] = asyncio.Queue(QUEUED)

    async def dial(self) -> Channel:
        if not self.reachable:
            raise ChannelClosed("the test's server is away")
        mine, theirs = pair()
        self.accept(mine)
        return theirs

    def accept(self, end: End) -> None:
        self._arrivals.put_nowait(end)

    async def serve(self) -> None:
        """Runs for ever, one connection after the other."""
        while True:
            self._end = await self._arrivals.get()
            try:
                while True:
                    await self._handle(decode_from_agent(await self._end.receive()))
            except ChannelClosed:
                self._connected.clear()

    def cut(self) -> None:
        self.reachable = False
        self._connected.clear()
        if self._end is not None:
            self._end.cut("the test cut the connection")

    def heal(self) -> None:
        self.reachable = True

    async def say(self, message: FromServer) -> None:
        assert self._end is not None
        await self._end.send(encode(message))

    async def assign(self, *items: AnyItem, dropped: Sequence[str] = ()) -> int:
        """Changes the assignment, and sends the difference when the agent is here."""
        since, self.version = self.version, self.version + 1
        self.items.update({key_of(item): item for item in items})
        for key in dropped:
            self.items.pop(key, None)
        if self._connected.is_set():
            await self.say(Assign(version=self.version, since=since, items=items, dropped=tuple(dropped)))
        return self.version

    def last(self, unit: str) -> UnitReport | None:
        return self.reports.get(unit, [None])[-1]

    async def until_state(self, unit: str, state: UnitState, within_s: float = 20.0) -> UnitReport:
        def there() -> UnitReport | None:
            last = self.last(unit)
            return last if last is not None and last.state == state else None

        found = await until_async(there, f"{unit} is {state.name}, last report {self.last(unit)}", within_s)
        assert found is not None
        return found

    async def until_message(self, unit: str, words: str, within_s: float = 20.0) -> UnitReport:
        def there() -> UnitReport | None:
            last = self.last(unit)
            return last if last is not None and words in last.message else None

        found = await until_async(there, f"{unit} says {words!r}", within_s)
        assert found is not None
        return found

    async def _handle(self, message: FromAgent) -> None:
        self.messages.append(message)
        match message:
            case Hello():
                await self._greet(message)
            case Heartbeat():
                await self.say(Heartbeat())
            case Report():
                for unit in message.units:
                    self.reports.setdefault(unit.unit, []).append(unit)
                if self.confirms_reports:
                    await self.say(Reported(number=message.number))
            case Confirm(assignment=version):
                self.confirmed = version
            case FetchImage(request=request):
                await self.say(FetchedImage(request=request, found=False))

    async def _greet(self, hello: Hello) -> None:
        self.hellos.append(hello)
        if self.refusal is not None:
            await self.say(self.refusal)
            return
        self.session += 1
        await self.say(Welcome(protocol=PROTOCOL, session=self.session, name="h1", environment="default"))
        if self.version:
            await self.say(Assign(version=self.version, whole=True, items=tuple(self.items.values())))
        self._connected.set()


class QuietOverlay:
    """Notes what the kernel would be told; the kernel's own tests are the network driver's."""

    def __init__(self) -> None:
        self.wanted: Sequence[WantedNetwork] = ()
        self.problems: Mapping[str, str] = {}

    async def apply(self, wanted: Sequence[WantedNetwork]) -> QuietOverlay:
        self.wanted = wanted
        return self

    async def changes(self) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield


class QuietNames:
    def __init__(self) -> None:
        self.records = NameRecords()

    async def update(self, records: NameRecords) -> Mapping[str, str]:
        self.records = records
        return {}


async def no_streams(stream: OpenStream) -> None:
    raise AssertionError(f"no stream was to be opened, but {stream} was")


@asynccontextmanager
async def running_agent(around: Surroundings, peer: Peer) -> AsyncIterator[Agent]:
    """The agent and its peer until the block ends, as if the agent were killed."""
    agent = Agent("host-1", around)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(peer.serve()), group.create_task(agent.run())]
        try:
            yield agent
        finally:
            for task in tasks:
                task.cancel()
            peer.cut()
            peer.heal()


def surroundings(world: World, engine: Engine, ledger: Ledger, peer: Peer, files: object) -> Surroundings:
    async def facts() -> HostFacts:
        return HostFacts(address="10.123.0.2", cpus=2)

    return Surroundings(
        world=world,
        engine=engine,
        overlay=QuietOverlay(),
        names=QuietNames(),
        files=files,  # type: ignore[arg-type]
        ledger=ledger,
        dial=peer.dial,
        carry=no_streams,
        facts=facts,
    )
