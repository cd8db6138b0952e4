"""The Docker API behind the REST API's port: who has an API key needs no certificate.

Its bytes come as binary messages of a WebSocket, an empty one where a side says no more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from paddock.server.docker_access import Holder
from paddock.wire.channel import ChannelClosed
from paddock.wire.engine_connection import READ_BYTES, ByteStream

CLOSE_TIMEOUT_S = 2.0
Receive = Callable[[], Awaitable[bytes | None]]
"""The client's next message; None when it has gone."""
Send = Callable[[bytes], Awaitable[None]]
"""Raises `ChannelClosed`."""


class DockerDoor(Protocol):
    async def serve(self, stream: ByteStream, holder: Holder) -> None:
        """Docker's API on that stream until either side ends it."""
        ...


async def carry(door: DockerDoor, holder: Holder, receive: Receive, send: Send) -> None:
    ours, theirs = socket.socketpair()
    near = await asyncio.open_unix_connection(sock=ours, limit=READ_BYTES)
    far = await asyncio.open_unix_connection(sock=theirs, limit=READ_BYTES)
    async with asyncio.TaskGroup() as tasks:
        inwards = tasks.create_task(_inwards(receive, near[1]))
        outwards = tasks.create_task(_outwards(near[0], send))
        handling = tasks.create_task(door.serve(far, holder))
        await asyncio.wait([inwards, outwards], return_when=asyncio.FIRST_COMPLETED)
        if inwards.done() and inwards.result():
            await asyncio.wait([outwards])
        near[1].close()
        inwards.cancel()
        outwards.cancel()
        await asyncio.wait([handling], timeout=CLOSE_TIMEOUT_S)
        handling.cancel()


async def _inwards(receive: Receive, writer: asyncio.StreamWriter) -> bool:
    """-> whether the client said that no more comes and waits for the rest of the answer; False when it has gone."""
    try:
        while (data := await receive()) is not None:
            if not data:
                writer.write_eof()
                return True
            writer.write(data)
            await writer.drain()
    except OSError:
        return False
    return False


async def _outwards(reader: asyncio.StreamReader, send: Send) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            await send(data)
        await send(b"")
    except (OSError, ChannelClosed):
        return
