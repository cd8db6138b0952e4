"""A byte stream of the server's to this host's engine: a connection of its own, joined to the engine's socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from paddock.wire.channel import ChannelClosed
from paddock.wire.engine_http import ByteStream, Dial
from paddock.world.world import World

EOF = "eof"
READ_BYTES = 65536
DIAL_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0


class StreamChannel(Protocol):
    """Binary messages are content; the text message `EOF` says that no more comes this way. Raises `ChannelClosed`."""

    async def send(self, message: bytes | str) -> None: ...

    async def receive(self) -> bytes | str: ...

    async def close(self, reason: str = "") -> None: ...


class Streams:
    """`dial` opens the connection for a stream by its id, `engine` one to the engine."""

    def __init__(self, dial: Callable[[str], Awaitable[StreamChannel]], engine: Dial, world: World) -> None:
        self._dial = dial
        self._engine = engine
        self._world = world

    async def carry(self, stream: str) -> None:
        """Until both ways have ended. Never raises for what goes wrong on the way: the server sees it end."""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                channel = await self._dial(stream)
        except (ChannelClosed, OSError, TimeoutError) as error:
            self._world.log.warning("a stream could not be dialled", stream=stream, error=str(error))
            return
        reason = ""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                engine = await self._engine()
            await join(channel, engine)
        except (OSError, TimeoutError) as error:
            reason = f"the engine's socket: {error or 'no answer in time'}"
        finally:
            await _close(channel, reason)


async def join(channel: StreamChannel, engine: ByteStream) -> None:
    """Both ways at once; back-pressure is the sockets' own. When one way breaks, the other is ended too."""
    reader, writer = engine
    broken = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            ways = [
                group.create_task(_to_engine(channel, writer, broken)),
                group.create_task(_from_engine(reader, channel, broken)),
            ]
            watch = group.create_task(_end_both(ways, broken))
            await asyncio.wait(ways)
            watch.cancel()
    finally:
        writer.close()


async def _end_both(ways: list[asyncio.Task[None]], broken: asyncio.Event) -> None:
    await broken.wait()
    for way in ways:
        way.cancel()


async def _to_engine(channel: StreamChannel, writer: asyncio.StreamWriter, broken: asyncio.Event) -> None:
    try:
        while True:
            message = await channel.receive()
            if isinstance(message, str):
                if message == EOF and writer.can_write_eof():
                    writer.write_eof()
                    return
                continue
            writer.write(message)
            await writer.drain()
    except (ChannelClosed, OSError):
        broken.set()


async def _from_engine(reader: asyncio.StreamReader, channel: StreamChannel, broken: asyncio.Event) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            await channel.send(data)
        await channel.send(EOF)
    except (ChannelClosed, OSError):
        broken.set()


async def _close(channel: StreamChannel, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await channel.close(reason)
    except (ChannelClosed, OSError, TimeoutError):
        return
