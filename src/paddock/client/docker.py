"""The cluster's Docker API by the server's own port: bytes as messages of a WebSocket, with the API key."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from paddock.client.connection import Connections
from paddock.client.websocket import opened
from paddock.wire.engine_connection import READ_BYTES, ByteStream
from paddock.wire.engine_http import EngineHttp


@asynccontextmanager
async def docker_api(connections: Connections, path: str) -> AsyncIterator[EngineHttp]:
    """Connections are closed on leaving."""
    async with asyncio.TaskGroup() as tasks:
        carrying: list[asyncio.Task[None]] = []

        async def dial() -> ByteStream:
            there = await opened(connections, path)
            ours, theirs = socket.socketpair()
            near = await asyncio.open_unix_connection(sock=theirs, limit=READ_BYTES)
            carrying.append(tasks.create_task(_carry(there, *near)))
            return await asyncio.open_unix_connection(sock=ours, limit=READ_BYTES)

        engine = EngineHttp(dial, where=f"the Docker API of {connections.server}")
        try:
            yield engine
        finally:
            await engine.close()
            for task in carrying:
                task.cancel()


async def _carry(there: ClientConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the server ends it, or nobody listens to it here any more."""
    async with asyncio.TaskGroup() as tasks:
        up = tasks.create_task(_up(reader, there))
        try:
            await _down(there, writer)
        finally:
            up.cancel()
            writer.close()
            there.transport.abort()


async def _up(reader: asyncio.StreamReader, there: ClientConnection) -> None:
    try:
        while data := await reader.read(READ_BYTES):
            await there.send(data)
        await there.send(b"")
    except (OSError, ConnectionClosed):
        return


async def _down(there: ClientConnection, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await there.recv():
            assert isinstance(data, bytes)
            writer.write(data)
            await writer.drain()
    except (OSError, ConnectionClosed):
        return
