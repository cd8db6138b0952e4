"""Tunnels over memory: both ways, half-closed, refused, and ended with their host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import paddock.server.streams as streams_module
from paddock.model.errors import Transient
from paddock.model.objects import HostId
from paddock.server.plane import ControlPlane
from paddock.wire.channel import EOF, ChannelClosed
from paddock.wire.messages import OpenStream, decode_from_server
from paddock.wire.raw_stream import TAKEN
from serving import PlayedAgent, add_host, running_plane
from waiting import until_async


class Tunnel:
    """The agent's end, as a queue each way."""

    def __init__(self, bound: int = 4, *, kept: bool = False) -> None:
        self.kept = kept
        self.to_server: asyncio.Queue[bytes | str | None] = asyncio.Queue(bound)
        self.from_server: asyncio.Queue[bytes | str | None] = asyncio.Queue(bound)
        self.closed = asyncio.Event()

    async def send(self, message: bytes | str) -> None:
        if self.closed.is_set():
            raise ChannelClosed("closed")
        await self.from_server.put(message)

    async def receive(self) -> bytes | str:
        message = await self.to_server.get()
        if message is None:
            raise ChannelClosed("closed")
        return message

    async def close(self, reason: str = "") -> None:
        self.closed.set()

    async def gone(self) -> None:
        await self.closed.wait()


def play(tmp_path: Path, scene: Callable[[ControlPlane, PlayedAgent], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20.0), running_plane(tmp_path) as plane:
            agent = PlayedAgent(plane, await add_host(plane))
            await agent.hello()
            await scene(plane, agent)

    asyncio.run(main())


async def opened(
    plane: ControlPlane, agent: PlayedAgent, tunnel: Tunnel
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Task[None]]:
    dialling = asyncio.create_task(plane.streams.dial(agent.host))
    asked = await agent.hears(OpenStream)
    carrying = asyncio.create_task(plane.streams.accept(asked.stream, agent.host, tunnel))
    reader, writer = await dialling
    return reader, writer, carrying


def test_bytes_go_both_ways_and_each_way_ends_by_itself(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel()
        reader, writer, carrying = await opened(plane, agent, tunnel)
        writer.write(b"question")
        writer.write_eof()
        assert await tunnel.from_server.get() == b"question"
        assert await tunnel.from_server.get() == EOF
        await tunnel.to_server.put(b"ans")
        await tunnel.to_server.put(b"wer")
        await tunnel.to_server.put(EOF)
        assert await reader.read() == b"answer"
        await carrying
        assert tunnel.closed.is_set()
        writer.close()

    play(tmp_path, scene)


def test_a_slow_reader_holds_the_sender_back(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel()
        reader, writer, carrying = await opened(plane, agent, tunnel)
        sent = 0
        piece = b"x" * 65536
        try:
            async with asyncio.timeout(0.5):
                while sent < 2**26:
                    await tunnel.to_server.put(piece)
                    sent += len(piece)
        except TimeoutError:
            pass
        assert sent < 2**23, "nobody reads, yet everything was taken"
        taken = 0
        while taken < sent:
            data = await reader.read(65536)
            assert data, "ended early"
            taken += len(data)
        writer.close()
        await tunnel.to_server.put(EOF)
        await carrying

    play(tmp_path, scene)


def test_who_walks_away_ends_the_stream(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel()
        _, writer, carrying = await opened(plane, agent, tunnel)
        writer.close()
        await carrying
        assert tunnel.closed.is_set()

    play(tmp_path, scene)


def test_streams_end_with_their_host(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel()
        reader, writer, carrying = await opened(plane, agent, tunnel)
        waiting = asyncio.create_task(plane.streams.dial(agent.host))
        await agent.hears(OpenStream)
        await agent.leave()
        assert await reader.read() == b""
        await carrying
        with pytest.raises(Transient, match="not connected any more"):
            await waiting
        with pytest.raises(Transient, match="not connected"):
            await plane.streams.dial(agent.host)
        writer.close()

    play(tmp_path, scene)


def test_only_the_host_that_was_asked_may_dial_and_only_once(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        dialling = asyncio.create_task(plane.streams.dial(agent.host))
        asked = await agent.hears(OpenStream)
        for id, host in ((asked.stream, HostId("host-of-another")), ("guessed", agent.host)):
            stranger = Tunnel()
            await plane.streams.accept(id, host, stranger)
            assert stranger.closed.is_set()
        tunnel, twice = Tunnel(), Tunnel()
        carrying = asyncio.create_task(plane.streams.accept(asked.stream, agent.host, tunnel))
        _, writer = await dialling
        await plane.streams.accept(asked.stream, agent.host, twice)
        assert twice.closed.is_set()
        writer.close()
        await carrying

    play(tmp_path, scene)


def test_an_agent_that_does_not_dial_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "OPEN_TIMEOUT_S", 0.05)

    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        with pytest.raises(Transient, match="did not open a stream"):
            await plane.streams.dial(agent.host)
        asked = await agent.hears(OpenStream)
        late = Tunnel()
        await plane.streams.accept(asked.stream, agent.host, late)
        assert late.closed.is_set()
        assert plane.streams.open == 0

    play(tmp_path, scene)


def test_the_number_of_streams_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "MOST_STREAMS_OF_HOST", 5)
    monkeypatch.setattr(streams_module, "KEPT_FREE", 3)

    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        waiting: list[asyncio.Task[object]] = []
        waiting += [asyncio.create_task(plane.streams.dial(agent.host)) for _ in range(2)]
        await until_async(lambda: plane.streams.open == 2, "both are asked for")
        with pytest.raises(Transient, match="too many"):
            await plane.streams.dial(agent.host)
        engine = plane.streams.engine(agent.host, "h1")
        waiting.append(asyncio.create_task(engine.json("GET", "/_ping")))
        await until_async(lambda: plane.streams.open == 3, "a question of our own is asked all the same")
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert plane.streams.open == 0

    play(tmp_path, scene)


async def ended(plane: ControlPlane, tunnel: Tunnel, writer: asyncio.StreamWriter) -> None:
    """The engine ends its way, then the stream's owner ends the other."""
    await tunnel.to_server.put(EOF)
    writer.close()
    assert await tunnel.from_server.get() == EOF
    await until_async(lambda: plane.streams.idle == 1, "the connection waits for its next stream")


def test_a_connection_that_is_kept_carries_the_next_stream(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel(kept=True)
        _, writer, carrying = await opened(plane, agent, tunnel)
        await ended(plane, tunnel, writer)
        for _ in range(3):
            dialling = asyncio.create_task(plane.streams.dial(agent.host))
            asked = await tunnel.from_server.get()
            assert isinstance(asked, str)
            assert isinstance(decode_from_server(asked.encode()), OpenStream)
            await tunnel.to_server.put(TAKEN)
            reader, writer = await dialling
            writer.write(b"question")
            assert await tunnel.from_server.get() == b"question"
            await tunnel.to_server.put(b"answer")
            assert await reader.read(100) == b"answer"
            await ended(plane, tunnel, writer)
        assert not tunnel.closed.is_set()
        await agent.leave()
        await carrying
        assert tunnel.closed.is_set()

    play(tmp_path, scene)


def test_a_kept_connection_that_has_died_is_replaced(tmp_path: Path) -> None:
    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel(kept=True)
        _, writer, carrying = await opened(plane, agent, tunnel)
        await ended(plane, tunnel, writer)
        dialling = asyncio.create_task(plane.streams.dial(agent.host))
        await tunnel.from_server.get()
        await tunnel.to_server.put(None)
        await carrying
        fresh = Tunnel()
        asked = await agent.hears(OpenStream)
        following = asyncio.create_task(plane.streams.accept(asked.stream, agent.host, fresh))
        _, writer = await dialling
        writer.close()
        await following

    play(tmp_path, scene)


def test_a_connection_left_in_the_middle_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "END_TIMEOUT_S", 0.05)

    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel(kept=True)
        _, writer, carrying = await opened(plane, agent, tunnel)
        writer.close()
        await carrying
        assert tunnel.closed.is_set()

    play(tmp_path, scene)


@pytest.mark.parametrize("most", [1024, 8])
def test_what_an_engine_says_to_who_has_gone_is_let_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """`wait` answers that it was broken off: its connection is kept all the same. Who says too much loses it."""
    monkeypatch.setattr(streams_module, "MOST_LAST_WORDS", most)

    async def scene(plane: ControlPlane, agent: PlayedAgent) -> None:
        tunnel = Tunnel(kept=True)
        _, writer, carrying = await opened(plane, agent, tunnel)
        writer.close()
        assert await tunnel.from_server.get() == EOF
        for words in (b"context ", b"canceled"):
            await tunnel.to_server.put(words)
        await tunnel.to_server.put(EOF)
        if most < 16:
            await carrying
            return
        await until_async(lambda: plane.streams.idle == 1, "the connection waits for its next stream")
        await agent.leave()
        await carrying

    play(tmp_path, scene)
