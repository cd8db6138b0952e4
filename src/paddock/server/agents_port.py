"""The agents' port: WebSockets over mutual TLS. `/session` is a control connection, `/streams/<id>` a byte stream.

Streams leave the WebSocket behind where the agent knows how (`paddock.wire.raw_stream`).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from paddock.model.objects import HostId
from paddock.server.authority import common_name
from paddock.server.session import Peer
from paddock.server.sessions import Sessions
from paddock.server.streams import Streams
from paddock.wire.channel import ChannelClosed
from paddock.wire.raw_stream import KEPT, RAW, RawStream

MOST_MESSAGE_BYTES = 16 * 2**20
CONTROL_PATH = "/session"
STREAM_PATH = "/streams/"
SPOKEN = (KEPT, RAW)
"""On streams; the first that an agent offers."""
_CLOSE_REASON_BYTES = 120
"""A close frame has room for 123 bytes."""


class WebSocketChannel:
    """A `Channel`; text and binary messages both arrive as bytes."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def send(self, message: bytes) -> None:
        try:
            await self._connection.send(message, text=True)
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from closed

    async def receive(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from closed

    async def close(self, reason: str = "") -> None:
        await self._connection.close(reason=_short(reason))


class AgentConnection(ServerConnection):
    """A WebSocket, until its handshake has agreed on `RAW`: what comes then belongs to `raw`."""

    raw: RawStream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._plain = cast(asyncio.Transport, transport)

    def go_raw(self, *, kept: bool) -> None:
        self.raw = RawStream(self._plain, kept=kept)

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

    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.raw is not None:
            await self.raw.close(reason)
        else:
            await super().close(code, reason)


class WebSocketTunnel:
    """A `TunnelChannel`: binary is bytes, text is text."""

    kept = False

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    async def send(self, message: bytes | str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from closed

    async def receive(self) -> bytes | str:
        try:
            return await self._connection.recv()
        except ConnectionClosed as closed:
            raise ChannelClosed(str(closed)) from closed

    async def close(self, reason: str = "") -> None:
        await self._connection.close(reason=_short(reason))


def _short(reason: str) -> str:
    return reason.encode()[:_CLOSE_REASON_BYTES].decode("utf-8", "ignore")


def _selected(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """None is agreed with agents of before; that is no reason to refuse them."""
    del connection
    return next((Subprotocol(known) for known in SPOKEN if known in offered), None)


def _begin_raw(connection: ServerConnection, request: Request, response: Response) -> None:
    """Before the answer goes out: the agent's first bytes may follow at once."""
    del request
    agreed = response.headers.get("Sec-WebSocket-Protocol")
    if isinstance(connection, AgentConnection) and agreed in SPOKEN:
        connection.go_raw(kept=agreed == KEPT)


STREAM_SETTINGS: Mapping[str, Any] = {
    "subprotocols": [Subprotocol(known) for known in SPOKEN],
    "select_subprotocol": _selected,
    "process_response": _begin_raw,
    "create_connection": AgentConnection,
}


class AgentsPort:
    def __init__(self, sessions: Sessions, streams: Streams) -> None:
        self._sessions = sessions
        self._streams = streams

    async def listen(self, sockets: Sequence[socket.socket], tls: ssl.SSLContext) -> list[Server]:
        """No pings of its own: sessions have heartbeats, and a stream whose reader is slow answers no ping."""
        return [
            await serve(
                self._serve,
                sock=sock,
                ssl=tls,
                compression=None,
                max_size=MOST_MESSAGE_BYTES,
                max_queue=16,
                ping_interval=None,
                close_timeout=2,
                open_timeout=10,
                server_header=None,
                **STREAM_SETTINGS,
            )
            for sock in sockets
        ]

    async def _serve(self, connection: ServerConnection) -> None:
        tls = connection.transport.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        host = HostId(common_name(certificate)) if certificate else HostId("")
        path = connection.request.path if connection.request is not None else ""
        if not host:
            await connection.close(1008, "a client certificate of this server's CA is needed")
        elif path == CONTROL_PATH:
            peer = Peer(host=host, address=_address(connection))
            await self._sessions.serve(WebSocketChannel(connection), peer)
        elif path.startswith(STREAM_PATH):
            raw = connection.raw if isinstance(connection, AgentConnection) else None
            await self._streams.accept(path.removeprefix(STREAM_PATH), host, raw or WebSocketTunnel(connection))
        else:
            await connection.close(1008, f"there is no {path[:60]} here")


def _address(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if peer else ""
