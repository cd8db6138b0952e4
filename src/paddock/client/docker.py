"""The cluster's Docker API by the server's own port: bytes as messages of a WebSocket, with the API key."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from paddock.client.connection import CONNECT_TIMEOUT_S, Connections, error_of
from paddock.model.errors import Transient
from paddock.wire.engine_http import READ_BYTES, ByteStream, EngineHttp

MOST_MESSAGE_BYTES = 2**20


@asynccontextmanager
async def docker_api(connections: Connections, path: str) -> AsyncIterator[EngineHttp]:
    """Connections are closed on leaving."""
    async with asyncio.TaskGroup() as tasks:
        carrying: list[asyncio.Task[None]] = []

        async def dial() -> ByteStream:
            there = await _connected(connections, path)
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


async def _connected(connections: Connections, path: str) -> ClientConnection:
    headers = [(name, value) for name, value in connections.headers() if name == "Authorization"]
    host = f"[{connections.host}]" if ":" in connections.host else connections.host
    try:
        return await connect(
            f"wss://{host}:{connections.port}{path}",
            ssl=connections.tls,
            additional_headers=headers,
            compression=None,
            open_timeout=CONNECT_TIMEOUT_S,
            ping_interval=None,
            max_size=MOST_MESSAGE_BYTES,
            proxy=None,
        )
    except InvalidStatus as refused:
        raise error_of(refused.response.status_code, bytes(refused.response.body or b"")) from refused
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise Transient(f"the server at {connections.server} cannot be reached: {error}") from error


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
