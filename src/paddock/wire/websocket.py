"""What both ends make of a WebSocket between server and agent: a channel of messages, or one stream's bytes."""

from __future__ import annotations

import asyncio
from typing import cast

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from paddock.wire.channel import ChannelClosed
from paddock.wire.raw_stream import KEPT, RAW, RawStream

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2
QUEUED_MESSAGES = 16
SPOKEN = (Subprotocol(KEPT), Subprotocol(RAW))
"""On streams; agents offer them in this order and the server takes the first it knows."""
_CLOSE_REASON_BYTES = 120
"""A close frame has room for 123 bytes."""


class RawConnection(Connection):
    """A WebSocket, until its handshake has agreed on frames of our own: what comes then belongs to `raw`."""

    raw: RawStream | None = None

    def go_raw(self, *, kept: bool) -> None:
        self.raw = RawStream(self._plain, kept=kept)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._plain = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.raw is not None:
            self.raw.feed(data)
        else:
            super().data_received(data)

    def eof_received(self) -> None:
        if self.raw is None:
            super().eof_received()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.raw is not None:
            self.raw.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.raw is not None:
            self.raw.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.raw is not None:
            self.raw.lost(exc)
        super().connection_lost(exc)


class WebSocketChannel:
    """A `Channel`; text and binary messages both arrive as bytes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, message: bytes) -> None:
        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as closed:
            raise ChannelClosed(_why(closed)) from closed

    async def receive(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise ChannelClosed(_why(closed)) from closed

    async def close(self, reason: str = "") -> None:
        await self._connection.close(reason=_short(reason))


class WebSocketStream:
    """A `StreamChannel`, with those of before that know no frames of our own: binary is bytes, text is text."""

    kept = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise ChannelClosed(_why(closed)) from closed

    async def receive(self) -> bytes | str:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise ChannelClosed(_why(closed)) from closed

    async def close(self, reason: str = "") -> None:
        await self._connection.close(reason=_short(reason))

    async def gone(self) -> None:
        await self._connection.wait_closed()


def stream_over(connection: Connection) -> RawStream | WebSocketStream:
    """As its handshake has agreed."""
    raw = connection.raw if isinstance(connection, RawConnection) else None
    return raw or WebSocketStream(connection)


def _why(closed: ConnectionClosed) -> str:
    received = closed.rcvd
    return received.reason if received is not None and received.reason else str(closed)


def _short(reason: str) -> str:
    return reason.encode()[:_CLOSE_REASON_BYTES].decode("utf-8", "ignore")
