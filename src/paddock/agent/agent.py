"""The agent as a whole, on any engine, channel and world: `main` builds it for a machine, the simulator for its own.

While cut off from the server it keeps its ledger's assignment by itself; it never moves anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from paddock.agent.certificate import Renewable, keep_renewed
from paddock.agent.files import FileKeeper
from paddock.agent.images import Images
from paddock.agent.keeper import Keeper, Parts
from paddock.agent.ledger import Ledger
from paddock.agent.networks import NamesDriver, Networks, OverlayDriver
from paddock.agent.observer import Observer
from paddock.agent.reports import Reports
from paddock.agent.session import Session, Told
from paddock.agent.volumes import Volumes
from paddock.drivers.engine import Engine
from paddock.model.errors import Refused, Transient
from paddock.model.objects import HostFacts
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.messages import OpenStream, Welcome
from paddock.world.backoff import Backoff
from paddock.world.world import World

FIRST_RECONNECT_S, MOST_RECONNECT_S = 0.2, 4.0
STEADY_SESSION_S = 10.0
FACTS_EVERY_S = 30.0
MOST_STREAMS = 2048
FACTS_TIMEOUT_S = 30.0
ENGINE_GRACE_S = 20.0
"""A restart of the engine takes less. Without one a host is of no use: it hangs up, and its units go elsewhere."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent is given. `dial` opens a control connection and raises `Transient`, `ChannelClosed` or `Refused`;
    `carry` joins one stream to the engine until it ends; `facts` looks at the machine."""

    world: World
    engine: Engine
    overlay: OverlayDriver
    names: NamesDriver
    files: FileKeeper
    ledger: Ledger
    dial: Callable[[], Awaitable[Channel]]
    carry: Callable[[OpenStream], Coroutine[Any, Any, None]]
    facts: Callable[[], Awaitable[HostFacts]]
    certificate: Renewable | None = None
    """None where connections need none."""


class Agent:
    """`run` until it is cancelled or the server sends it away for good (`SentAway`)."""

    def __init__(self, host: str, around: Surroundings) -> None:
        self._host = host
        self._around = around
        self._world = around.world
        self._instance = around.world.new_id("instance")
        self._connected = True
        """Until the first try has failed: a container that ended while the agent was away is not judged before."""
        self._alone = asyncio.Event()
        """Set once the server has welcomed us, or could not be asked. Until then we may be the copy of an agent, on a
        host whose containers are in nobody's assignment but that host's own."""
        self._doubted = False
        """It has told us that we are a copy, or look like one: that it is away now makes us no truer."""
        self._usable = asyncio.Event()
        self._usable.set()
        self._session: Session | None = None
        self._facts = HostFacts()
        self._streams: asyncio.Queue[OpenStream] = asyncio.Queue(MOST_STREAMS)
        self.reports = Reports()
        self.observer = Observer(around.engine, self._world)
        self.networks = Networks(around.ledger, around.engine, (around.overlay, around.names), self._world)
        self.volumes = Volumes(around.ledger, around.engine, self.reports, self._world)
        self.images = Images(around.engine, self._world)
        self.keeper = Keeper(
            Parts(
                ledger=around.ledger,
                engine=around.engine,
                observer=self.observer,
                networks=self.networks,
                volumes=self.volumes,
                files=around.files,
                images=self.images,
                reports=self.reports,
                world=self._world,
                connected=lambda: self._connected,
            )
        )

    @property
    def connected(self) -> bool:
        return self._session is not None and self._session.number > 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for forever in (
                self.observer.follow,
                self.observer.look,
                self.images.follow,
                self.images.run,
                self._keep_connected,
                self._follow_facts,
                self._follow_engine,
                self._keep_certificate,
            ):
                group.create_task(forever(), name=forever.__qualname__)
            group.create_task(self._act(), name="act")
            await self._carry_streams(group)

    async def _act(self) -> None:
        """What changes the host."""
        await self._alone.wait()
        async with asyncio.TaskGroup() as group:
            for forever in (self.networks.run, self.networks.follow_kernel, self.volumes.run, self.keeper.run):
                group.create_task(forever(), name=forever.__qualname__)

    async def _keep_connected(self) -> None:
        backoff = Backoff(self._world, FIRST_RECONNECT_S, MOST_RECONNECT_S)
        await self._first_facts()
        told = ""
        while True:
            started_s = self._world.clock.monotonic_s()
            reason = await self._one_session()
            self._session = None
            self.images.end_session()
            self._set_connected(connected=False)
            if self._world.clock.monotonic_s() - started_s > STEADY_SESSION_S:
                backoff.reset()
                told = ""
            if reason != told:
                self._world.log.warning("not connected to the server", reason=reason)
                told = reason
            await backoff.wait()
            await self._usable.wait()
            await self._look_at_machine()

    async def _follow_engine(self) -> None:
        """Runs for ever. As long as the engine is given up, nobody is told that this host is there."""
        while True:
            trouble = await self.observer.given_up(ENGINE_GRACE_S)
            self._usable.clear()
            if self._session is not None:
                self._session.leave(f"its engine has not answered for {ENGINE_GRACE_S:.0f} s: {trouble}")
            await self.observer.answers.wait()
            self._usable.set()

    async def _follow_facts(self) -> None:
        """Runs for ever: the server hears when this machine is not what it was."""
        while True:
            await asyncio.sleep(FACTS_EVERY_S)
            before = self._facts
            await self._look_at_machine()
            if before != self._facts and self._session is not None:
                await self._session.tell_facts(self._facts)

    async def _keep_certificate(self) -> None:
        if self._around.certificate is not None:
            await keep_renewed(self._around.certificate, lambda: self._session, self._world)

    async def _one_session(self) -> str:
        try:
            channel = await self._around.dial()
        except (Transient, ChannelClosed) as error:
            self._not_welcomed()
            return str(error)
        told = Told(
            assigned=self.keeper.assigned,
            open_stream=self._open_stream,
            welcomed=self._welcomed,
            image_news=self.images.heard,
        )
        self._session = session = Session(channel, self._around.ledger, self.reports, told, self._world)
        reason = await session.run(self._host, self._instance, self._facts)
        self._doubted = self._doubted or session.doubled
        self._not_welcomed()
        return reason

    def _not_welcomed(self) -> None:
        if not self._doubted:
            self._alone.set()

    def _welcomed(self, welcome: Welcome) -> None:
        self._world.log.info("connected", host=welcome.name, environment=welcome.environment, session=welcome.session)
        try:
            self._around.ledger.set_session(welcome.session)
        except Transient as trouble:
            self._world.log.error("the session number cannot be kept", error=str(trouble))
        self._alone.set()
        self._set_connected(connected=True)
        if self._session is not None:
            self.images.begin_session(self._session)

    def _set_connected(self, *, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            self.keeper.hurry_all()

    async def _first_facts(self) -> None:
        """Waits for the engine: without its facts a host is of no use to anybody."""
        backoff = Backoff(self._world, FIRST_RECONNECT_S, MOST_RECONNECT_S)
        while trouble := await self._look_at_machine():
            if not backoff.failures:
                self._world.log.warning("waiting for the engine", error=trouble)
            self._set_connected(connected=False)
            await backoff.wait()

    async def _look_at_machine(self) -> str:
        """ "" when it could be looked at; otherwise what was known stays."""
        try:
            async with asyncio.timeout(FACTS_TIMEOUT_S):
                self._facts = await self._around.facts()
        except (Transient, Refused, TimeoutError) as error:
            return str(error) or "no answer in time"
        self._use(self._facts)
        return ""

    def _use(self, facts: HostFacts) -> None:
        if facts.address and facts.address != self.networks.local_address:
            self.networks.local_address = facts.address
            self.networks.changed()

    def _open_stream(self, stream: OpenStream) -> None:
        try:
            self._streams.put_nowait(stream)
        except asyncio.QueueFull:
            self._world.log.error("too many streams are asked for at once", stream=stream.stream)

    async def _carry_streams(self, group: asyncio.TaskGroup) -> None:
        """At most so many at a time; those beyond wait for a place, and the server for them no longer than it likes."""
        places = asyncio.Semaphore(MOST_STREAMS)
        while True:
            stream = await self._streams.get()
            await places.acquire()
            task = group.create_task(self._around.carry(stream), name=f"stream {stream.stream}")
            task.add_done_callback(lambda _: places.release())
