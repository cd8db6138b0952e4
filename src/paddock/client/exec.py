"""A command in a container, from the client's side (`wire.api.ExecStart`)."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from paddock.client.connection import Connections
from paddock.client.websocket import opened
from paddock.model.errors import Transient
from paddock.wire.api import ExecControl, ExecEnd, ExecStart


class ExecStream:
    """Iterate over it for output; when that ends, `end` says how the command did."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.end: ExecEnd | None = None

    async def __aiter__(self) -> AsyncIterator[tuple[int, bytes]]:
        """(1 for stdout or 2 for stderr, bytes). Raises `Transient` when the connection breaks before the end."""
        while True:
            try:
                message = await self._connection.recv()
            except ConnectionClosed as closed:
                raise Transient("the connection broke before the command ended") from closed
            if isinstance(message, str):
                self.end = msgspec.json.decode(message, type=ExecEnd)
                return
            if message:
                yield message[0], message[1:]

    async def write(self, data: bytes) -> None:
        """To the command's stdin. What comes after its end is dropped."""
        await self._say(data)

    async def close_stdin(self) -> None:
        await self._say(msgspec.json.encode(ExecControl(eof=True)).decode())

    async def resize(self, rows: int, columns: int) -> None:
        await self._say(msgspec.json.encode(ExecControl(rows=rows, columns=columns)).decode())

    async def _say(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed:
            return


@asynccontextmanager
async def open_exec(connections: Connections, path: str, start: ExecStart) -> AsyncIterator[ExecStream]:
    """Raises what the server answers when it refuses; what the engine refuses is in `ExecEnd.error`."""
    connection = await opened(connections, path)
    try:
        with contextlib.suppress(ConnectionClosed):  # what the server had to say instead can still be read
            await connection.send(msgspec.json.encode(start).decode())
        yield ExecStream(connection)
    finally:
        await connection.close()
