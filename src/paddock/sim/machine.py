"""A host: power, an engine, a kernel that remembers, a disk, a clock, a link, and an agent that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from paddock.agent.agent import Agent, Surroundings
from paddock.agent.files import FileOf
from paddock.agent.ledger import Ledger
from paddock.agent.sealing import Sealing
from paddock.core.names.records import NameRecords
from paddock.drivers.vxlan import WantedNetwork
from paddock.model.assignment import ContainerAssignment
from paddock.model.errors import Refused, Transient
from paddock.model.objects import HostFacts, HostId
from paddock.server.session import Peer
from paddock.sim.container import Container
from paddock.sim.disk import SimulatedDisk
from paddock.sim.engine import SimulatedEngine
from paddock.sim.engine_client import CPUS, MEMORY_BYTES, EngineClient
from paddock.sim.link import SimulatedChannel, Weather
from paddock.sim.stage import Stage, described, failure_of
from paddock.sim.world import SimulatedClock
from paddock.wire.messages import OpenStream
from paddock.world.world import World

DIAL_TIMEOUT_S = 10.0
ENDS_WITHIN_S = 30.0
RESTART_S = 2.0
LEDGER = Path("/var/lib/paddock/ledger.db")

Dial = Callable[[Peer, Weather], SimulatedChannel]
"""Raises `Transient` when the server is not there."""


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    problems: dict[str, str] = {}


class Kernel:
    """The overlay and the names server: what they were told outlives the agent, not a power failure."""

    def __init__(self) -> None:
        self.networks: tuple[WantedNetwork, ...] = ()
        self.names = NameRecords()
        self.touched = asyncio.Event()

    async def apply(self, wanted: Sequence[WantedNetwork]) -> Applied:
        await asyncio.sleep(0.002)
        self.networks = tuple(wanted)
        return Applied()

    async def update(self, records: NameRecords) -> Mapping[str, str]:
        await asyncio.sleep(0.001)
        self.names = records
        return {}

    def changes(self) -> AsyncIterator[None]:
        return _Touches(self)

    def forget(self) -> None:
        """Somebody else took it all down."""
        self.networks = ()
        self.touched.set()


class _Touches:
    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def __aiter__(self) -> _Touches:
        return self

    async def __anext__(self) -> None:
        await self._kernel.touched.wait()
        self._kernel.touched.clear()


class MemoryFiles:
    """A `FileKeeper` whose files are gone with the power."""

    def __init__(self) -> None:
        self.placed: dict[str, bytes] = {}

    def place(self, container: ContainerAssignment, file_of: FileOf) -> dict[str, str]:
        binds: dict[str, str] = {}
        for placement in container.files:
            file = file_of(placement.file)
            if file is None:
                raise Transient(f"{container.name} waits for {placement.purpose} {placement.file}")
            path = f"/run/paddock/files/{placement.file}-{placement.uid}-{placement.mode:o}"
            self.placed[path] = file.content
            binds[path] = placement.target
        return binds

    def tidy(self, containers: object, file_of: FileOf) -> None:
        return None


class KeyInMemory(Sealing):
    def __init__(self, world: World) -> None:
        super().__init__(Path("/var/lib/paddock/ledger.key"), world)
        self._key = bytes(32)


class _Process:
    """One life of the agent."""

    def __init__(self) -> None:
        self.alive = True
        self.task: asyncio.Task[None] | None = None
        self.channel: SimulatedChannel | None = None
        self.agent: Agent | None = None
        self.ledger: Ledger | None = None


class Machine:
    """`agent` is the one that runs now, None while there is none."""

    def __init__(self, stage: Stage, name: str, number: int, dial: Dial) -> None:
        self.stage = stage
        self.name = name
        self.id = HostId(f"host-{name}")
        self.address = f"10.88.0.{number}"
        self.clock = SimulatedClock()
        self.chance = stage.chance(f"machine/{name}")
        self.weather = Weather(f"{stage.seed}/link/{name}")
        self.engine = SimulatedEngine(name, stage.chance(f"engine/{name}"), self.clock, stage.mood)
        self.kernel = Kernel()
        self.files = MemoryFiles()
        self.disk = SimulatedDisk(self.chance.getrandbits(30))
        self.disk.on_cut = self._cut
        self.powered = True
        self.sent_away = ""
        self.link_up_since_s = 0.0
        self.on_ledger: Callable[[Machine, Ledger], None] = lambda machine, ledger: None
        self.on_harm: Callable[[Machine, Container], None] = lambda machine, container: None
        """Told of a container that the agent stops or removes."""
        self._dial = dial
        self._lives = 0
        self._process: _Process | None = None
        self._lose_writes = False

    @property
    def agent(self) -> Agent | None:
        return self._process.agent if self._process is not None and self._process.alive else None

    @property
    def agent_ledger(self) -> Ledger | None:
        return self._process.ledger if self._process is not None else None

    def facts(self) -> HostFacts:
        return HostFacts(
            address=self.address, engine_version="24.0.7", api_version="1.43", engine_id=self.name, os="simulated",
            architecture="x86_64", cpus=CPUS, memory_bytes=MEMORY_BYTES,
        )  # fmt: skip

    # The agent's life

    def start_agent(self) -> None:
        if not self.powered or self._process is not None:
            return
        self._lives += 1
        self._process = process = _Process()
        process.task = self.stage.group.create_task(self._live(process), name=f"agent {self.name} {self._lives}")
        self.stage.trace.note(self.name, "agent starts", life=self._lives)

    def kill_agent(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.alive = False
        if process.channel is not None:
            process.channel.drop("the agent died")
        if process.task is not None:
            process.task.cancel()
            asyncio.get_running_loop().call_later(ENDS_WITHIN_S, self._must_have_ended, process)
        self.disk.abandon()
        self.stage.trace.note(self.name, "agent is dead")

    def _must_have_ended(self, process: _Process) -> None:
        if process.task is not None and not process.task.done():
            self.stage.wrong(f"the agent of {self.name} has not ended {ENDS_WITHIN_S:.0f} s after it was told to")

    async def _live(self, process: _Process) -> None:
        """An agent that ends by itself is a finding, unless its disk was taken away."""
        error = await failure_of(self._run_agent(process))
        if error is not None and process.alive:
            self._ended(process, error)

    async def _run_agent(self, process: _Process) -> None:
        world = self.stage.world(f"{self.name}/{self._lives}", self.clock, lambda: process.alive)
        try:
            ledger = Ledger(LEDGER, KeyInMemory(world), self.disk)
        except Transient as error:
            self._not_started(process, error)
            return
        process.ledger = ledger
        self.on_ledger(self, ledger)
        process.agent = Agent(self.id, self._surroundings(process, world, ledger))
        await process.agent.run()

    def _not_started(self, process: _Process, error: Transient) -> None:
        """Its ledger cannot be opened. The service manager tries it again."""
        self.stage.probes.hit("an agent cannot open its ledger")
        self.stage.trace.note(self.name, "agent cannot start", why=error.message)
        self._process = None
        process.alive = False
        self.disk.abandon()
        asyncio.get_running_loop().call_later(RESTART_S, self.start_agent)

    def _ended(self, process: _Process, error: Exception) -> None:
        self._process = None
        process.alive = False
        self.disk.abandon()
        errors = error.exceptions if isinstance(error, BaseExceptionGroup) else (error,)
        if any(isinstance(one, Refused) for one in errors):
            self.sent_away = str(errors[0])
            self.stage.trace.note(self.name, "agent is sent away", why=self.sent_away)
        else:
            self.stage.wrong(f"the agent of {self.name} ended: {described(error)}")

    def _surroundings(self, process: _Process, world: World, ledger: Ledger) -> Surroundings:
        engine = EngineClient(self.engine, self.stage.group, lambda: process.alive)
        engine.on_harm = lambda container: self.on_harm(self, container)

        async def dial() -> SimulatedChannel:
            await asyncio.sleep(self.weather.random.uniform(*self.weather.delay_s) * 2)
            if self.weather.cut:
                await asyncio.sleep(DIAL_TIMEOUT_S)
                raise Transient("the server cannot be reached")
            process.channel = self._dial(Peer(host=self.id, address=self.address), self.weather)
            return process.channel

        async def carry(stream: OpenStream) -> None:
            self.stage.wrong(f"{self.name} was asked for stream {stream.stream}")

        async def facts() -> HostFacts:
            await engine.facts()
            return self.facts()

        return Surroundings(
            world=world, engine=engine, overlay=self.kernel, names=self.kernel, files=self.files, ledger=ledger,
            dial=dial, carry=carry, facts=facts,
        )  # fmt: skip

    # Fate

    def kill_agent_at_write(self, number: int, *, power: bool) -> None:
        """Before the `number`th write, sync or rename from now on."""
        self._lose_writes = power
        self.disk.arm(cut_at=number)

    def _cut(self) -> None:
        self.stage.probes.hit("agent killed between two ledger writes")
        later = asyncio.get_running_loop().call_later
        if self._lose_writes:
            self.power_off()
            later(self.chance.uniform(1.0, 40.0), self.power_on)
        else:
            self.kill_agent()
            later(self.chance.uniform(0.1, 8.0), self.start_agent)

    def power_off(self) -> None:
        if not self.powered:
            return
        self.powered = False
        self.kill_agent()
        self.engine.power_off()
        self.kernel.networks, self.kernel.names = (), NameRecords()
        self.files.placed.clear()
        self.disk.restart()
        self.stage.trace.note(self.name, "power is off")

    def power_on(self) -> None:
        if self.powered:
            return
        self.powered = True
        self.engine.come_up()
        self.stage.trace.note(self.name, "power is on")
        self.start_agent()

    def lose_ledger(self) -> None:
        """The agent comes back with an empty disk, knowing nothing."""
        self.kill_agent()
        for suffix in ("-wal", "-journal", ""):
            self.disk.remove(LEDGER.with_name(LEDGER.name + suffix))
        self.stage.trace.note(self.name, "ledger is lost")
        self.start_agent()

    def join_anew(self, id: HostId) -> None:
        """Its agent's data was deleted, for good, and it has another identity. What the engine has is still there."""
        self.kill_agent()
        self.disk.wipe()
        before, self.id, self.sent_away = self.id, id, ""
        self.stage.trace.note(self.name, "is joined anew", before=before, now=id)
        if any(container.unit is not None for container in self.engine.containers.values()):
            self.stage.probes.hit("a host joined anew beside its old containers")
        if self.engine.networks:
            self.stage.probes.hit("a host joined anew beside its old networks")
        self.start_agent()

    def drop_connection(self, reason: str) -> None:
        if self._process is not None and self._process.channel is not None:
            self._process.channel.drop(reason)
