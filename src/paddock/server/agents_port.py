"""The agents' port: WebSockets over mutual TLS. `/session` is a control connection, `/streams/<id>` a byte stream.

Streams leave the WebSocket behind where the agent knows how (`paddock.wire.raw_stream`).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from paddock.model.objects import HostId
from paddock.server.authority import common_name
from paddock.server.session import Peer
from paddock.server.sessions import Sessions
from paddock.server.streams import Streams
from paddock.wire.raw_stream import KEPT
from paddock.wire.websocket import (
    CLOSE_TIMEOUT_S,
    OPEN_TIMEOUT_S,
    QUEUED_MESSAGES,
    SPOKEN,
    RawConnection,
    WebSocketChannel,
    stream_over,
)

MOST_MESSAGE_BYTES = 16 * 2**20
CONTROL_PATH = "/session"
STREAM_PATH = "/streams/"


class AgentConnection(RawConnection, ServerConnection):
    async def close(self, code: int = 1000, reason: str = "") -> None:
        if self.raw is not None:
            await self.raw.close(reason)
        else:
            await super().close(code, reason)


def _selected(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """None is agreed with agents of before; that is no reason to refuse them."""
    del connection
    return next((known for known in SPOKEN if known in offered), None)


def _begin_raw(connection: ServerConnection, request: Request, response: Response) -> None:
    """Before the answer goes out: the agent's first bytes may follow at once."""
    del request
    agreed = response.headers.get("Sec-WebSocket-Protocol")
    if isinstance(connection, AgentConnection) and agreed in SPOKEN:
        connection.go_raw(kept=agreed == KEPT)


STREAM_SETTINGS: Mapping[str, Any] = {
    "subprotocols": SPOKEN,
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
                max_queue=QUEUED_MESSAGES,
                ping_interval=None,
                close_timeout=CLOSE_TIMEOUT_S,
                open_timeout=OPEN_TIMEOUT_S,
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
            await self._streams.accept(path.removeprefix(STREAM_PATH), host, stream_over(connection))
        else:
            await connection.close(1008, f"there is no {path[:60]} here")


def _address(connection: ServerConnection) -> str:
    peer = connection.remote_address
    return str(peer[0]) if peer else ""
