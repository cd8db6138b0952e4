"""The server process: the real store on a simulated disk, the real control plane, killed and started at will."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

from paddock.model.errors import PaddockError, Transient
from paddock.model.snapshot import Snapshot
from paddock.server.plane import ControlPlane
from paddock.server.sealing import Sealer
from paddock.server.session import Peer
from paddock.sim.disk import SimulatedDisk
from paddock.sim.link import SimulatedChannel, Weather, connect
from paddock.sim.stage import Stage, described, failure_of
from paddock.sim.world import SimulatedClock
from paddock.store.journaled import JournaledStore
from paddock.store.sqlite import SqliteOptions, open_sqlite

T = TypeVar("T")
DATABASE = Path("/var/lib/paddock/paddock.db")
POOLS = ("10.200.0.0/16",)


class _Process:
    """One life of the server."""

    def __init__(self) -> None:
        self.alive = True
        self.tasks: list[asyncio.Task[None]] = []
        self.channels: list[SimulatedChannel] = []
        self.calls: dict[asyncio.Task[Any], None] = {}
        self.plane: ControlPlane | None = None


class SimulatedServer:
    """`on_open` sees each store as it was opened, before anything else does; `on_report` every message received."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.clock = SimulatedClock()
        self.disk = SimulatedDisk(stage.chance("server/disk").getrandbits(30))
        self.disk.on_cut = self._cut
        self.chance = stage.chance("server")
        self.on_open: Callable[[JournaledStore], None] = lambda store: None
        self.on_message: Callable[[str, int, bytes], None] = lambda host, life, message: None
        self.changed = asyncio.Event()
        """Set when it starts, is ready, or dies."""
        self.restart_after_s = (0.5, 8.0)
        self.lives = 0
        self._process: _Process | None = None
        self._power = False

    @property
    def plane(self) -> ControlPlane | None:
        """None while it is down or starting."""
        return self._process.plane if self._process is not None else None

    def store(self) -> JournaledStore | None:
        plane = self.plane
        return plane.store if plane is not None and isinstance(plane.store, JournaledStore) else None

    def snapshot(self) -> Snapshot | None:
        """What is durable, as the server that runs now has it."""
        store = self.store()
        return store.durable() if store is not None else None

    # Life

    def start(self) -> None:
        if self._process is not None:
            return
        self.lives += 1
        self._process = process = _Process()
        process.tasks.append(self.stage.group.create_task(self._live(process), name=f"server {self.lives}"))
        self.stage.trace.note("server", "starts", life=self.lives)

    async def _live(self, process: _Process) -> None:
        """A server that ends by itself is a finding, unless its disk was taken away."""
        error = await failure_of(self._run_plane(process))
        if error is not None and process.alive:
            self.stage.wrong(f"the server ended: {described(error)}")

    async def _run_plane(self, process: _Process) -> None:
        world = self.stage.world(f"server/{self.lives}", self.clock, lambda: process.alive)
        store = await open_sqlite(DATABASE, world, SqliteOptions(writer="inline", disk=self.disk, debug=True))
        self.on_open(store)
        plane = ControlPlane(world, store, Sealer(bytes(32), world))
        await plane.first_start(POOLS)
        process.plane = plane
        self.changed.set()
        await plane.run()

    def kill(self, *, power: bool) -> None:
        """`power`: what was never synced may be lost as well."""
        process, self._process = self._process, None
        if process is None:
            return
        process.alive = False
        process.plane = None
        for channel in process.channels:
            channel.drop("the server died")
        for task in (*process.tasks, *process.calls):
            task.cancel()
        if power:
            self.disk.restart()
        else:
            self.disk.abandon()
        if not self.stage.finished:
            self.stage.probes.hit("server killed with its power" if power else "server killed")
        self.stage.trace.note("server", "is dead", power=power)
        self.changed.set()

    def kill_at_write(self, number: int, *, power: bool) -> None:
        """Before the `number`th write, sync, rename or removal from now on."""
        self._power = power
        self.disk.arm(cut_at=number)

    def _cut(self) -> None:
        """In the middle of the write: nothing more is said from this moment on, the tasks end on the next turn."""
        self.stage.probes.hit("server killed between two writes")
        process = self._process
        if process is not None:
            process.alive = False
            for channel in process.channels:
                channel.drop("the server died")
        asyncio.get_running_loop().call_soon(self._after_cut)

    def _after_cut(self) -> None:
        if self._process is None:
            # It was opening its store, or died meanwhile for another reason.
            self.disk.abandon()
        self.kill(power=self._power)
        delay_s = self.chance.uniform(*self.restart_after_s)
        asyncio.get_running_loop().call_later(delay_s, self.start)

    async def call(self, work: Coroutine[Any, Any, T]) -> T:
        """A request to this life of the server. Raises `Transient` when it dies before the answer."""
        process = self._process
        if process is None or not process.alive:
            work.close()
            raise Transient("the server is not there")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        task = self.stage.group.create_task(self._answered(process, work, answer))
        process.calls[task] = None
        task.add_done_callback(lambda done: process.calls.pop(done, None))
        task.add_done_callback(lambda done: work.close())
        task.add_done_callback(lambda done: _settle(answer, None, Transient("the server died before it began")))
        return await answer

    async def _answered(self, process: _Process, work: Coroutine[Any, Any, T], answer: asyncio.Future[T]) -> None:
        async def answering() -> None:
            result = await work
            _settle(answer, result, None if process.alive else died)

        died = Transient("the server died before it answered")
        error = await failure_of(answering())
        if error is not None and not isinstance(error, PaddockError):
            self.stage.wrong(f"a request failed: {described(error)}")
        if error is not None:
            _settle(answer, None, error if process.alive and isinstance(error, PaddockError) else died)

    # Agents

    def dial(self, peer: Peer, weather: Weather) -> SimulatedChannel:
        process = self._process
        if process is None or process.plane is None or not process.alive:
            raise Transient("connection refused")
        agent_end, server_end = connect(weather)
        life = self.lives
        server_end.heard = lambda message: self.on_message(peer.host, life, message)
        process.channels = [channel for channel in process.channels if not channel.over]
        process.channels.append(server_end)
        serving = self._serve(process, server_end, peer)
        process.tasks = [task for task in process.tasks if not task.done()]
        process.tasks.append(self.stage.group.create_task(serving, name=f"session of {peer.host}"))
        return agent_end

    async def _serve(self, process: _Process, channel: SimulatedChannel, peer: Peer) -> None:
        plane = process.plane
        if plane is None:
            return
        error = await failure_of(plane.sessions.serve(channel, peer))
        if error is not None and process.alive:
            self.stage.wrong(f"a session of {peer.host} ended: {described(error)}")


def _settle(answer: asyncio.Future[T], result: T | None, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(cast(T, result))
