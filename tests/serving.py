"""A real server on a temporary directory and free ports, its control plane alone, and agents played over memory."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from paddock.client import Client, Endpoint
from paddock.model.changes import Put
from paddock.model.objects import Host, HostFacts, HostId
from paddock.server.config import ServerConfig
from paddock.server.main import Running, serve
from paddock.server.plane import ControlPlane
from paddock.server.sealing import Sealer
from paddock.server.session import Peer
from paddock.server.sessions import Sign
from paddock.store.runner import Writer
from paddock.store.sqlite import SqliteOptions, open_sqlite
from paddock.wire.channel import ChannelClosed
from paddock.wire.messages import (
    OLDEST_PROTOCOL,
    PROTOCOL,
    FromAgent,
    FromServer,
    Hello,
    Welcome,
    decode_from_server,
    encode,
)
from paddock.world.world import World, machine_world

M = TypeVar("M")
DEADLINE_S = 10.0


def config_in(directory: Path) -> ServerConfig:
    return ServerConfig(data=str(directory), listen="127.0.0.1", api_port=0, agents_port=0, names=("127.0.0.1",))


@asynccontextmanager
async def running_server(config: ServerConfig) -> AsyncIterator[Running]:
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(config, machine_world(), ready.set_result))
    serving.add_done_callback(lambda _: ready.done() or ready.cancel())
    try:
        running = await ready
    except asyncio.CancelledError:
        serving.result()
        raise
    try:
        yield running
    finally:
        running.stop.set()
        async with asyncio.timeout(DEADLINE_S):
            await serving


def client_of(running: Running, key: str | None = None, environment: str = "default") -> Client:
    key = running.admin_key or "" if key is None else key
    return Client(Endpoint(server=running.address, ca=running.ca, key=key, environment=environment))


@asynccontextmanager
async def admin(directory: Path) -> AsyncIterator[tuple[Running, Client]]:
    async with running_server(config_in(directory)) as running, client_of(running) as client:
        yield running, client


@asynccontextmanager
async def running_plane(
    directory: Path, world: World | None = None, sign: Sign | None = None
) -> AsyncIterator[ControlPlane]:
    """The real store and loops, no sockets. Every invariant of the model is checked on every commit.

    With a simulated `world` it runs in virtual time (`sim.loop.run`).
    """
    writer: Writer = "thread" if world is None else "inline"
    world = world or machine_world()
    store = await open_sqlite(directory / "paddock.db", world, SqliteOptions(debug=True, writer=writer))
    plane = ControlPlane(world, store, Sealer.open(directory / "sealing.key", world), sign)
    await plane.first_start()
    running = asyncio.create_task(plane.run())
    try:
        yield plane
    finally:
        running.cancel()
        await asyncio.wait([running])
        await store.close()
        if not running.cancelled() and running.exception() is not None:
            running.result()


class MemoryChannel:
    """One end of a control connection; `pair` makes both."""

    def __init__(self) -> None:
        self._incoming: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._closed: str | None = None
        self.other: MemoryChannel

    @staticmethod
    def pair() -> tuple[MemoryChannel, MemoryChannel]:
        one, other = MemoryChannel(), MemoryChannel()
        one.other, other.other = other, one
        return one, other

    async def send(self, message: bytes) -> None:
        if self._closed is not None:
            raise ChannelClosed(self._closed)
        self.other._incoming.append(message)
        self.other._arrived.set()

    async def receive(self) -> bytes:
        while not self._incoming:
            if self._closed is not None:
                raise ChannelClosed(self._closed)
            self._arrived.clear()
            await self._arrived.wait()
        return self._incoming.popleft()

    async def close(self, reason: str = "") -> None:
        for end in (self, self.other):
            if end._closed is None:
                end._closed = reason or "closed"
            end._arrived.set()


async def add_host(plane: ControlPlane, name: str = "h1") -> HostId:
    """A host that has joined and never connected."""
    environment = plane.store.snapshot().environment_named("default")
    assert environment is not None
    host = Host(id=plane.world.new_id("host"), environment=environment.id, name=name, since_s=plane.world.now_s())
    await plane.store.commit([Put(object=host, reason="joined")])
    return HostId(host.id)


def host_of(plane: ControlPlane, id: HostId) -> Host:
    found = plane.store.snapshot().get(Host, id)
    assert found is not None
    return found


class PlayedAgent:
    """Says what a test wants said, and keeps what it hears."""

    def __init__(self, plane: ControlPlane, host: HostId, instance: str = "first", address: str = "10.0.0.1") -> None:
        self.host = host
        self.engine_id = ""
        self.instance = instance
        self.session = 0
        self.channel, server_end = MemoryChannel.pair()
        self.serving = asyncio.create_task(plane.sessions.serve(server_end, Peer(host=host, address=address)))

    async def say(self, message: FromAgent) -> None:
        await self.channel.send(encode(message))

    async def hello(
        self, protocols: tuple[int, int] = (OLDEST_PROTOCOL, PROTOCOL), host: str | None = None
    ) -> FromServer:
        await self.say(
            Hello(
                protocols=protocols,
                host=host or self.host,
                instance=self.instance,
                agent_version="0",
                facts=HostFacts(address="10.0.0.1", engine_id=self.engine_id, cpus=4, memory_bytes=2**33, mtu=1500),
            )
        )
        answer = await self.heard()
        if isinstance(answer, Welcome):
            self.session = answer.session
        return answer

    async def heard(self) -> FromServer:
        async with asyncio.timeout(DEADLINE_S):
            message: FromServer = decode_from_server(await self.channel.receive())
            return message

    async def hears(self, kind: type[M], where: Callable[[M], bool] = lambda _: True) -> M:
        """The next message of the kind (and that `where` holds for); others are passed over."""
        while True:
            message = await self.heard()
            if isinstance(message, kind) and where(message):
                return message

    async def gone(self) -> str:
        """Waits for the connection's end; -> its reason."""
        try:
            while True:
                await self.heard()
        except ChannelClosed as closed:
            return closed.reason

    async def leave(self) -> None:
        await self.channel.close("agent left")
        async with asyncio.timeout(DEADLINE_S):
            await self.serving


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])
