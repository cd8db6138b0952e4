"""A copy of an agent's identity and ledger, started on another host's engine: a machine's image was used twice.

It must do nothing there, whatever becomes of the true agent, the links and the server while it lives: not while the
true one is connected, for there are two; and not when that is cut off or gone, for the engine is known to be another
host's. One thing cannot be told from a host that boots while its server is away: a copy that was never answered. So
here it is begun while it will be refused, and ended if that goes wrong before the first answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from paddock.agent.agent import Agent, Surroundings
from paddock.agent.ledger import Ledger
from paddock.core.names.records import NameRecords
from paddock.drivers.engine import Say, say_nothing
from paddock.drivers.vxlan import WantedNetwork
from paddock.model.errors import Refused, Transient
from paddock.model.objects import Host, HostFacts
from paddock.model.snapshot import Snapshot
from paddock.model.steps import AnyStep
from paddock.server.session import Peer
from paddock.sim.engine_client import EngineClient
from paddock.sim.link import SimulatedChannel
from paddock.sim.machine import LEDGER, Applied, KeyInMemory, Machine, MemoryFiles
from paddock.sim.server import SimulatedServer
from paddock.sim.stage import described, failure_of
from paddock.wire.channel import Channel
from paddock.wire.messages import Goodbye, OpenStream, Welcome, decode_from_server


class Clone:
    """A copy of `true`'s agent on the engine of `where`, until `end`."""

    def __init__(self, true: Machine, where: Machine, server: SimulatedServer, number: int) -> None:
        self.stage = true.stage
        self.true = true
        self.server = server
        self.where = where
        self.name = f"{true.name}-copy-{number}"
        self.alive = True
        self.refused = False
        self._peer = Peer(host=true.id, address=where.address)
        self._disk = true.disk.copy(number)
        self._channel: SimulatedChannel | None = None
        self._task = self.stage.group.create_task(self._live(), name=self.name)
        self.stage.trace.note(where.name, "a copy of an agent starts", of=true.id, as_=self.name)

    def end(self) -> None:
        if not self.alive:
            return
        self.alive = False
        if self._channel is not None:
            self._channel.drop("the agent died")
        self._task.cancel()
        self._disk.abandon()
        self.stage.trace.note(self.where.name, "a copy of an agent ends", as_=self.name)

    async def _live(self) -> None:
        error = await failure_of(self._run())
        if error is None or not self.alive:
            return
        self.alive = False
        errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        if not any(isinstance(one, Refused) for one in errors):
            self.stage.wrong(f"{self.name} ended: {described(error)}")

    async def _run(self) -> None:
        world = self.stage.world(self.name, self.where.clock, lambda: self.alive)
        engine = _Untouched(self)
        untouched = _UntouchedKernel(self)

        async def facts() -> HostFacts:
            await engine.facts()
            return self.where.facts()

        around = Surroundings(
            world=world, engine=engine, overlay=untouched, names=untouched, files=MemoryFiles(),
            ledger=Ledger(LEDGER, KeyInMemory(world), self._disk), dial=self._dialled, carry=self._carry, facts=facts,
        )  # fmt: skip
        await Agent(self._peer.host, around).run()

    async def _carry(self, stream: OpenStream) -> None:
        self.stage.wrong(f"{self.name} was asked for stream {stream.stream}")

    async def _dialled(self) -> Channel:
        weather = self.where.weather
        await asyncio.sleep(weather.random.uniform(*weather.delay_s) * 2)
        self._end_unless_known()
        try:
            if weather.cut:
                raise Transient("the server cannot be reached")
            self._channel = self.server.dial(self._peer, weather)
        except Transient:
            self.not_answered()
            self.stage.probes.hit("a copy that was refused loses its server")
            raise
        return _Answers(self, self._channel)

    def not_answered(self) -> None:
        if not self.refused:
            self.end()
            raise asyncio.CancelledError

    def _end_unless_known(self) -> None:
        """An engine whose own host was taken out is anybody's."""
        view = self.server.snapshot()
        if view is not None and not known(view, self.where):
            self.end()
            raise asyncio.CancelledError

    def heard(self, message: bytes) -> None:
        match decode_from_server(message):
            case Goodbye(doubled=True):
                self.refused = True
                agent = self.true.agent
                away = agent is None or not agent.connected or self.true.weather.cut
                whose = "an agent that is away" if away else "an agent"
                self.stage.probes.hit(f"a copy of {whose} is refused")
            case Goodbye(final=False):
                self.not_answered()
            case Welcome():
                self._end_unless_known()
            case _:
                pass

    def touched(self, what: str) -> None:
        if self.alive:
            self.stage.wrong(f"{self.name} on {self.where.name}: {what}")


def known(view: Snapshot, machine: Machine) -> bool:
    """The server knows whose engine it is."""
    host = view.get(Host, machine.id)
    return host is not None and host.facts.engine_id == machine.facts().engine_id


class _Answers:
    """The copy's end of a connection: sees what it is answered, or that it never is."""

    def __init__(self, clone: Clone, channel: SimulatedChannel) -> None:
        self._clone = clone
        self._channel = channel

    async def send(self, message: bytes) -> None:
        await self._channel.send(message)

    async def receive(self) -> bytes:
        try:
            message = await self._channel.receive()
        except BaseException:
            self._clone.not_answered()
            raise
        self._clone.heard(message)
        return message

    async def close(self, reason: str = "") -> None:
        await self._channel.close(reason)


class _Untouched(EngineClient):
    """May be looked at."""

    def __init__(self, clone: Clone) -> None:
        super().__init__(clone.where.engine, clone.stage.group, lambda: clone.alive)
        self._clone = clone

    async def apply(self, step: AnyStep, say: Say = say_nothing) -> str:
        self._clone.touched(type(step).__name__)
        return await super().apply(step, say)


class _UntouchedKernel:
    def __init__(self, clone: Clone) -> None:
        self._clone = clone

    async def apply(self, wanted: Sequence[WantedNetwork]) -> Applied:
        self._clone.touched(f"the kernel is to have {len(wanted)} networks")
        return Applied()

    async def update(self, records: NameRecords) -> dict[str, str]:
        self._clone.touched("its names are answered")
        return {}

    def changes(self) -> AsyncIterator[None]:
        return _Never()


class _Never:
    def __aiter__(self) -> _Never:
        return self

    async def __anext__(self) -> None:
        await asyncio.Event().wait()
