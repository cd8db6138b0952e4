"""Logs, exec, stats, top and inspect of real containers: client -> server -> tunnel -> engine."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engines.one_engine import IMAGE, Machine, machine, shared_machine
from paddock.agent.identity import load_identity, tls_of
from paddock.agent.join import join
from paddock.agent.streams import Streams
from paddock.agent.websocket import Dialler
from paddock.client import Client
from paddock.model.assignment import UnitAssignment
from paddock.model.errors import Transient
from paddock.model.objects import ContainerStatus, HostFacts, UnitId, UnitState
from paddock.model.reports import UnitReport
from paddock.model.specs import ContainerSpec, ServiceSpec, StackSpec
from paddock.server.main import Running
from paddock.wire.api import ExecStart, LogLine
from paddock.wire.channel import Channel, ChannelClosed
from paddock.wire.engine_http import unix_dial
from paddock.wire.messages import (
    OLDEST_PROTOCOL,
    PROTOCOL,
    Assign,
    Heartbeat,
    Hello,
    OpenStream,
    Report,
    Welcome,
    decode_from_server,
    encode,
)
from paddock.world.world import machine_world
from serving import admin
from waiting import until_async

__all__ = ["machine", "shared_machine"]
pytestmark = pytest.mark.engines
TALKS = "echo one; echo two >&2; echo three; sleep 1000"
Scene = Callable[["Scenery"], Awaitable[None]]


class Scenery:
    """A server, its client, and a host whose one container runs on a real engine."""

    def __init__(self, running: Running, client: Client, machine: Machine) -> None:
        self.running = running
        self.client = client
        self.machine = machine
        self.name = "shop-web-1"

    @asynccontextmanager
    async def host(self) -> AsyncIterator[None]:
        """Joins as a host does; of an agent it has the identity, the session and the streams."""
        with tempfile.TemporaryDirectory() as directory:
            token = (await self.client.create_join_token()).token
            await asyncio.to_thread(join, token, Path(directory), "h1")
            identity = load_identity(Path(directory))
            dialler = Dialler((identity.server, identity.agents_port), tls_of(Path(directory)))
            channel = await dialler.session()
            carrying = Streams(dialler.stream, unix_dial(str(self.machine.socket)), machine_world())
            serving = asyncio.create_task(self._serve(channel, identity.host, carrying))
            try:
                yield
            finally:
                await channel.close("the test is over")
                await serving

    async def _serve(self, channel: Channel, host: str, streams: Streams) -> None:
        hello = Hello(
            protocols=(OLDEST_PROTOCOL, PROTOCOL), host=host, instance="i", agent_version="0",
            facts=HostFacts(address="10.0.0.1", cpus=4, memory_bytes=2**33),
        )  # fmt: skip
        await channel.send(encode(hello))
        carried: set[asyncio.Task[None]] = set()
        session = 0
        try:
            while True:
                message = decode_from_server(await channel.receive())
                await channel.send(encode(Heartbeat()))
                match message:
                    case Welcome(session=number):
                        session = number
                    case OpenStream():
                        carried.add(asyncio.create_task(streams.carry(message)))
                    case Assign(items=items):
                        for item in items:
                            if isinstance(item, UnitAssignment):
                                await channel.send(encode(await self._run(item.unit, session)))
        except ChannelClosed:
            await asyncio.gather(*carried)

    async def _run(self, unit: UnitId, session: int) -> Report:
        id = await asyncio.to_thread(self._start)
        status = ContainerStatus(id=id, name=self.name, state="running")
        told = UnitReport(unit=unit, state=UnitState.RUNNING, healthy=True, containers=(status,))
        return Report(session=session, number=1, units=(told,))

    def _start(self) -> str:
        body = {"Image": IMAGE, "Cmd": ["sh", "-c", TALKS]}
        made: dict[str, Any] = self.machine.api("POST", "/containers/create", query={"name": self.name}, body=body)
        self.machine.api("POST", f"/containers/{made['Id']}/start")
        return str(made["Id"])


def play(tmp_path: Path, machine: Machine, scene: Scene) -> None:
    async def main() -> None:
        async with asyncio.timeout(90), admin(tmp_path) as (running, client):
            scenery = Scenery(running, client, machine)
            async with scenery.host():
                web = ServiceSpec(name="web", container=ContainerSpec(image=IMAGE))
                await client.apply_stack(StackSpec(name="shop", services={"web": web}))

                async def runs() -> bool:
                    return [one.state for one in await client.containers()] == ["running"]

                await until_async(runs, "the container runs", 30.0)
                await scene(scenery)

    asyncio.run(main())


def test_logs_come_by_stream_and_line_and_are_followed(machine: Machine, tmp_path: Path) -> None:
    async def scene(on: Scenery) -> None:
        async def lines(**asked: Any) -> set[tuple[str, str]]:
            return {(line.stream, line.text) async for line in on.client.logs(on.name, **asked)}

        async def written() -> bool:
            return len(await lines()) == 3

        await until_async(written, "all is written")
        assert await lines() == {("stdout", "one"), ("stderr", "two"), ("stdout", "three")}
        assert len(await lines(tail="1")) == 1
        timed = [line async for line in on.client.logs(on.name, timestamps=True)]
        assert all(line.at.endswith("Z") and line.text in ("one", "two", "three") for line in timed)
        follower = on.client.logs(on.name, follow=True)
        seen = [(await anext(follower)).text, (await anext(follower)).text]
        assert {*seen} <= {"one", "two", "three"}
        await asyncio.to_thread(on.machine.api, "POST", f"/containers/{on.name}/kill")
        rest = [line.text async for line in follower]
        assert {*seen, *rest} == {"one", "two", "three"}

    play(tmp_path, machine, scene)


def test_exec_carries_input_output_and_exit_code(machine: Machine, tmp_path: Path) -> None:
    async def scene(on: Scenery) -> None:
        start = ExecStart(command=("sh", "-c", "cat; echo done >&2; exit 7"), stdin=True, environment=("A=b",))
        async with on.client.exec(on.name, start) as stream:
            big = b"0123456789abcdef" * 20_000
            sending = asyncio.create_task(send_all(stream.write, stream.close_stdin, big))
            out = {1: b"", 2: b""}
            async for number, data in stream:
                out[number] += data
            await sending
            assert (out[1], out[2]) == (big, b"done\n")
            assert stream.end is not None
            assert stream.end.exit_code == 7
        missing = ExecStart(command=("no-such-program",))
        async with on.client.exec(on.name, missing) as stream:
            async for _ in stream:
                pass
            assert stream.end is not None
            assert stream.end.exit_code != 0
        async with on.client.exec("nobody", start) as stream:
            assert [piece async for piece in stream] == []
            assert stream.end is not None
            assert "no container 'nobody'" in stream.end.error

    play(tmp_path, machine, scene)


async def send_all(
    write: Callable[[bytes], Awaitable[None]], close: Callable[[], Awaitable[None]], data: bytes
) -> None:
    for at in range(0, len(data), 30_000):
        await write(data[at : at + 30_000])
    await close()


def test_a_terminal_has_the_size_it_is_given(machine: Machine, tmp_path: Path) -> None:
    async def scene(on: Scenery) -> None:
        start = ExecStart(command=("sh",), stdin=True, tty=True, rows=33, columns=99)
        async with on.client.exec(on.name, start) as stream:
            await stream.resize(40, 120)
            await stream.write(b"echo to the terminal; exit 3\n")
            out = b"".join([data async for _, data in stream])
            assert b"to the terminal\r\n" in out
            assert stream.end is not None
            assert stream.end.exit_code == 3

    play(tmp_path, machine, scene)


def test_stats_top_and_inspect_are_the_engines_own(machine: Machine, tmp_path: Path) -> None:
    async def scene(on: Scenery) -> None:
        samples = [sample async for sample in on.client.stats(on.name, stream=False)]
        assert len(samples) == 1
        assert (samples[0].container, samples[0].host) == (on.name, "h1")
        assert samples[0].memory_limit_bytes > 0
        top = await on.client.top(on.name)
        assert any("sleep" in " ".join(row) for row in top.processes)
        inspected = await on.client.inspect(on.name)
        assert inspected["Name"] == f"/{on.name}"
        assert inspected == await asyncio.to_thread(on.machine.inspect, on.name)

    play(tmp_path, machine, scene)


def test_streams_end_with_their_host_and_are_refused_without_it(machine: Machine, tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(90), admin(tmp_path) as (running, client):
            scenery = Scenery(running, client, machine)
            async with scenery.host():
                web = ServiceSpec(name="web", container=ContainerSpec(image=IMAGE))
                await client.apply_stack(StackSpec(name="shop", services={"web": web}))

                async def runs() -> bool:
                    return [one.state for one in await client.containers()] == ["running"]

                await until_async(runs, "the container runs", 30.0)
                follower = client.logs(scenery.name, follow=True)
                await anext(follower)
            with pytest.raises(Transient, match="closed connection"):
                await exhausted(follower)
            with pytest.raises(Transient, match="not connected"):
                await client.inspect(scenery.name)

    asyncio.run(main())


async def exhausted(lines: AsyncIterator[LogLine]) -> None:
    async for _ in lines:
        pass
