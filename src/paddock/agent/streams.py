"""A byte stream of the server's to this host's engine: a connection of its own, joined to the engine's socket.

An image that another host needs goes out on one as well; what that host has of it is left out here, at its origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import msgspec

from paddock.core.images.saved import SavedFilter
from paddock.core.images.tar import BadArchive
from paddock.model.images import SaveImage
from paddock.wire.channel import EOF, ChannelClosed, StreamChannel
from paddock.wire.engine_connection import ByteStream
from paddock.wire.engine_errors import EngineError, EngineUnreachable
from paddock.wire.engine_http import Dial, EngineHttp
from paddock.wire.messages import OpenStream, decode_from_server
from paddock.wire.raw_stream import TAKEN
from paddock.world.world import World

READ_BYTES = 256 * 1024
DIAL_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 5.0
KEPT_S = 120.0
"""The server gives an idle connection up well before."""
SMALL_BYTES = 16 * 1024
FEW = 8
GATHER_S = 0.001
"""An engine writes logs line by line, and every message costs: after a few small ones, more is read at a time."""
GATHERED_BYTES = 256 * 1024
SAVE_SILENCE_S = 600.0
"""An engine writes the whole image to its disk before it sends the first byte."""


class Streams:
    """`dial` opens the connection for a stream by its id, `engine` one to the engine."""

    def __init__(self, dial: Callable[[str], Awaitable[StreamChannel]], engine: Dial, world: World) -> None:
        self._dial = dial
        self._engine = engine
        self._world = world

    async def carry(self, stream: OpenStream) -> None:
        """Until both ways have ended. Never raises for what goes wrong on the way: the server sees it end."""
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                channel = await self._dial(stream.stream)
        except (ChannelClosed, OSError, TimeoutError) as error:
            self._world.log.warning("a stream could not be dialled", stream=stream.stream, error=str(error))
            return
        reason = ""
        following: OpenStream | None = stream
        try:
            while following is not None:
                if following.save is not None:
                    reason = await self._save(channel, following.save)
                    return
                ended_well = await self._join(channel)
                following = await _following(channel) if ended_well and channel.kept else None
        except (OSError, TimeoutError) as error:
            reason = f"the engine's socket: {error or 'no answer in time'}"
        finally:
            await _close(channel, reason)

    async def _join(self, channel: StreamChannel) -> bool:
        async with asyncio.timeout(DIAL_TIMEOUT_S):
            engine = await self._engine()
        return await join(channel, engine)

    async def _save(self, channel: StreamChannel, save: SaveImage) -> str:
        """-> why it could not be sent whole. Then no `EOF` is said, and the server takes none of it for the image."""
        http = EngineHttp(self._engine)
        archive = SavedFilter(save)
        query = {"names": save.image}
        try:
            async with http.stream("GET", "/images/get", query=query, idle_timeout_s=SAVE_SILENCE_S) as answer:
                async for data in _gathered(answer.chunks(), archive):
                    await channel.send(data)
            if not archive.done:
                return f"the engine did not give the whole of {save.image}"
            await channel.send(EOF)
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while await channel.receive() != EOF:
                    pass
        except (EngineError, EngineUnreachable, BadArchive) as error:
            self._world.log.warning("an image could not be given", image=save.image, error=str(error))
            return str(error)
        except (ChannelClosed, TimeoutError):
            return ""
        finally:
            await http.close()
        return ""


async def _gathered(chunks: AsyncIterator[bytes], archive: SavedFilter) -> AsyncIterator[bytes]:
    """Engines write in small chunks, and every message costs."""
    parts: list[bytes] = []
    size = 0
    async for data in chunks:
        parts.append(archive.feed(data))
        size += len(parts[-1])
        if size >= GATHERED_BYTES:
            yield b"".join(parts)
            parts, size = [], 0
    if size:
        yield b"".join(parts)


async def join(channel: StreamChannel, engine: ByteStream) -> bool:
    """Both ways at once; back-pressure is the sockets' own. When one way breaks, the other is ended too.

    -> whether both came to their end.
    """
    reader, writer = engine
    broken = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            ways = [
                group.create_task(_to_engine(channel, writer, broken)),
                group.create_task(_from_engine(reader, channel, broken)),
            ]
            watches = [
                group.create_task(_end_both(ways, broken)),
                group.create_task(_left(channel, ways[0], broken)),
            ]
            await asyncio.wait(ways)
            for watch in watches:
                watch.cancel()
    finally:
        writer.close()
    return not broken.is_set()


async def _end_both(ways: list[asyncio.Task[None]], broken: asyncio.Event) -> None:
    await broken.wait()
    for way in ways:
        way.cancel()


async def _left(channel: StreamChannel, to_engine: asyncio.Task[None], broken: asyncio.Event) -> None:
    """An engine that has no more to read may be silent for ever: that nobody listens is seen here alone."""
    await asyncio.wait([to_engine])
    await channel.gone()
    broken.set()


async def _to_engine(channel: StreamChannel, writer: asyncio.StreamWriter, broken: asyncio.Event) -> None:
    try:
        while True:
            message = await channel.receive()
            if isinstance(message, str):
                if message != EOF:
                    continue
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(message)
            await writer.drain()
    except (ChannelClosed, OSError):
        broken.set()


async def _from_engine(reader: asyncio.StreamReader, channel: StreamChannel, broken: asyncio.Event) -> None:
    small = 0
    try:
        while data := await reader.read(READ_BYTES):
            await channel.send(data)
            small = small + 1 if len(data) < SMALL_BYTES else 0
            if small > FEW:
                await asyncio.sleep(GATHER_S)
        await channel.send(EOF)
    except (ChannelClosed, OSError):
        broken.set()


async def _following(channel: StreamChannel) -> OpenStream | None:
    """The next stream that this connection is to carry; None when there is none."""
    try:
        async with asyncio.timeout(KEPT_S):
            message = await channel.receive()
        asked = decode_from_server(message.encode()) if isinstance(message, str) else None
        if isinstance(asked, OpenStream):
            await channel.send(TAKEN)
            return asked
    except (ChannelClosed, TimeoutError, msgspec.DecodeError):
        return None
    return None


async def _close(channel: StreamChannel, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await channel.close(reason)
    except (ChannelClosed, OSError, TimeoutError):
        return
