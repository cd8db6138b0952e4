"""Connections to the server: WebSockets over mutual TLS, dialled out."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Subprotocol

from paddock.model.errors import Transient
from paddock.wire.channel import ChannelClosed
from paddock.wire.raw_stream import KEPT, RAW, RawStream

OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2
MOST_MESSAGE_BYTES = 64 * 2**20
QUEUED_MESSAGES = 16
MOST_ANSWER_BYTES = 64 * 1024
_CLOSE_REASON_BYTES = 120
"""A close frame has room for 123 bytes."""


class Dialler:
    """`place` is the server's address and its port for agents; `ended` says what to do once `tls` cannot be used."""

    def __init__(self, place: tuple[str, int], tls: ssl.SSLContext, ended: Callable[[], str] = str) -> None:
        host, port = place
        self._origin = f"wss://[{host}]:{port}" if ":" in host else f"wss://{host}:{port}"
        self._tls = tls
        self._ended = ended

    async def session(self) -> ControlConnection:
        """Raises `Transient`."""
        return ControlConnection(await self._connect("/session"))

    async def stream(self, stream: str) -> StreamConnection | RawStream:
        """Raises `ChannelClosed`."""
        try:
            connection = await self._connect(f"/streams/{stream}", subprotocols=[Subprotocol(KEPT), Subprotocol(RAW)])
        except Transient as error:
            raise ChannelClosed(error.message) from error
        raw = connection.raw if isinstance(connection, ServerStream) else None
        return raw or StreamConnection(connection)

    async def _connect(self, path: str, subprotocols: Sequence[Subprotocol] | None = None) -> ClientConnection:
        """No pings: sessions have heartbeats of their own, and a stream whose reader is slow answers none."""
        try:
            return await connect(
                self._origin + path,
                ssl=self._tls,
                compression=None,
                max_size=MOST_MESSAGE_BYTES,
                max_queue=QUEUED_MESSAGES,
                open_timeout=OPEN_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                ping_interval=None,
                proxy=None,
                user_agent_header=None,
                subprotocols=subprotocols,
                create_connection=ServerStream if subprotocols else None,
            )
        except ssl.SSLCertVerificationError as error:
            raise Transient(
                f"{self._origin} shows a certificate that does not hold: {error.verify_message}",
                hint="is it the server this host joined, and is this host's clock right?",
            ) from error
        except (OSError, TimeoutError, InvalidHandshake, InvalidMessage, EOFError) as error:
            raise Transient(
                f"{self._origin} cannot be reached: {error or type(error).__name__}", hint=self._ended()
            ) from error


class ServerStream(ClientConnection):
    """A WebSocket, until its handshake has agreed on `RAW`: what comes then belongs to `raw`."""

    raw: RawStream | None = None
    _answer = b""
    """The server's answer to the handshake as far as it has come; None once it is over."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._plain = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.raw is not None:
            self.raw.feed(data)
        elif self.response is not None:
            super().data_received(data)
        else:
            self._answer_received(data)

    def _answer_received(self, data: bytes) -> None:
        """Its head only, since the server's first bytes may follow at once."""
        self._answer += data
        head, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end and len(self._answer) < MOST_ANSWER_BYTES:
            return
        super().data_received(head + end)
        if self.protocol.handshake_exc is None and self.protocol.subprotocol in (KEPT, RAW):
            self.raw = RawStream(self._plain, kept=self.protocol.subprotocol == KEPT)
        if rest:
            self.data_received(rest)

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


class ControlConnection:
    """A `Channel`."""

    def __init__(self, connection: ClientConnection) -> None:
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


class StreamConnection:
    """A `StreamChannel`: binary messages are content, text is text."""

    kept = False

    def __init__(self, connection: ClientConnection) -> None:
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


def _why(closed: ConnectionClosed) -> str:
    received = closed.rcvd
    return received.reason if received is not None and received.reason else str(closed)


def _short(reason: str) -> str:
    return reason.encode()[:_CLOSE_REASON_BYTES].decode("utf-8", "ignore")
